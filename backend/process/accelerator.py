"""OpenVINO as an add-on of the add-on: one pinned wheel, from a file or from the package registry.

It is unpacked into a folder of its own, which the backend puts on its path: no other add-on sees
it, and Blender's Python stays as it is. What it says it depends on is left out: NumPy is there, and
openvino-telemetry, which reports use to its makers, is not needed to run. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import FurrowError
from ..formats.files import sha256
from ..system.wheels import extract, fits, python_tag, whole_folder

VERSION = "2026.0.0"
"""The newest that was compared with ONNX Runtime map by map; it has wheels for Python 3.11, 3.13 and
3.14 on Linux, Windows and macOS."""

_BUILD = "20965"
_SHA256 = {
    "cp311-cp311-manylinux_2_28_x86_64": "ba999f7fea57958a533a715afa976704ea6acf39dfd271a89ce78594e7aaa488",
    "cp313-cp313-manylinux_2_28_x86_64": "452902e4b8fba526e8740622cd5638c457d3ae44da7b39e6d4ef7919be0e95d4",
    "cp314-cp314-manylinux_2_28_x86_64": "79ce4b5d7f3a7f84de878752d97620b84e0c4a8ee550fb3bca9fc36fe5669450",
    "cp311-cp311-win_amd64": "eee912bf4370a4f454c9bcf2cfe31eda85ba6f324c85137d225edffcbc50c456",
    "cp313-cp313-win_amd64": "14069e5af2ac8a77f6ea55d7020d34cc7d3538d49ebda91a18c00d4da830ab58",
    "cp314-cp314-win_amd64": "6d33440d290e67836825418134ecf9e17f150d50d3d9c07cf481997f5b1f0e6d",
    "cp311-cp311-macosx_11_0_arm64": "107743d5d5b8c7f5adfce67ab4a2941e6da86073eb06f77522b95597fe5d16e5",
    "cp313-cp313-macosx_11_0_arm64": "830b42adb5c1ef57c0d7de2e72943f7186783046b0b3b62128f0f6b4bc507fad",
    "cp314-cp314-macosx_11_0_arm64": "f4ef8ddaece0d0815ec7aa6b41390c23551b5a51572cdd46e0136558b2e2d489",
}
"""Hashes of the wheels as the registry lists them, by tags."""

_MEGABYTES = {"manylinux": 53, "win": 69, "macosx": 31}
"""What a wheel takes to download, by system; unpacked it takes three times as much."""

_IMPORT_LIMIT_S = 60.0
_POLL_S = 0.1

Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]


def wheel_name() -> str:
    """Return the file name of the wheel for this Python on this system.

    Raises
    ------
    FurrowError
        With code ``engine_unavailable`` if there is none.
    """
    for tags in _SHA256:
        name = f"openvino-{VERSION}-{_BUILD}-{tags}.whl"
        if fits(name):
            return name
    raise FurrowError(
        f"There is no OpenVINO {VERSION} for Python {sys.version_info[0]}.{sys.version_info[1]} on "
        f"{sysconfig.get_platform()}. ONNX Runtime, which came with Furrow, goes on.",
        "engine_unavailable",
    )


def megabytes() -> int:
    """Return what a download takes; FurrowError as :func:`wheel_name`."""
    platform = wheel_name().rpartition("-")[2]
    return next(size for system, size in _MEGABYTES.items() if platform.startswith(system))


def place(folder: Path) -> Path:
    """Return where OpenVINO lies, or would, below a folder of the user's."""
    return folder / f"openvino-{VERSION}-{python_tag()}"


def installed(folder: Path) -> Path | None:
    """Return the folder to put on ``sys.path``, if OpenVINO was added below `folder`."""
    return place(folder) if place(folder).is_dir() else None


def add(wheel: str | Path, folder: Path, progress: Progress, cancelled: Cancelled) -> Path:
    """Unpack a wheel of OpenVINO below `folder`, whole or not at all, and see that it starts.

    Returns
    -------
    Path
        As :func:`installed`.

    Raises
    ------
    FurrowError
        If the file is missing, damaged, or not the wheel for this Python and system; if it does not
        start; ``write_failed``; ``cancelled``.
    """
    wheel = Path(wheel)
    _check_name(wheel.name)
    progress(0.0, "Checking the file")
    _check_content(wheel)

    def extracting(fraction: float) -> None:
        _stop_if(cancelled)
        progress(0.1 + 0.7 * fraction, "Unpacking OpenVINO")

    with whole_folder(place(folder)) as temporary:
        extract(wheel, temporary, extracting)
        _stop_if(cancelled)
        progress(0.85, "Starting OpenVINO")
        _check_start(temporary)
    for other in folder.glob(f"openvino-*-{python_tag()}"):
        if other != place(folder):
            shutil.rmtree(other, ignore_errors=True)
    return place(folder)


def download(folder: Path, progress: Progress, cancelled: Cancelled) -> Path:
    """Download the wheel with this Python's pip and :func:`add` it.

    pip's own settings hold, so a mirror or proxy that is configured there is used.

    Raises
    ------
    FurrowError
        As :func:`add`; ``engine_unavailable`` if there is no pip or no connection.
    """
    name = wheel_name()
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            temporary = tempfile.TemporaryDirectory(prefix=".partial-", dir=folder)
        except OSError as error:
            raise FurrowError(
                f"{folder} cannot be written: {error.strerror or error}.", "write_failed"
            ) from None
        here = Path(stack.enter_context(temporary))
        _run_pip(here, lambda share: progress(0.6 * share, "Downloading OpenVINO"), cancelled)
        if not (here / name).is_file():
            raise FurrowError(f"pip fetched another file than {name}.", "engine_unavailable")

        def adding(fraction: float, text: str) -> None:
            progress(0.6 + 0.4 * fraction, text)

        return add(here / name, folder, adding, cancelled)


def remove(folder: Path) -> None:
    """Remove what :func:`add` made; raises FurrowError if a file is in use."""
    there = place(folder)
    try:
        # Renamed first: a folder that is half removed must not be taken for OpenVINO.
        remains = there.rename(there.with_name(f".partial-{there.name}-{time.time_ns()}"))
    except OSError as error:
        raise FurrowError(
            f"{there} cannot be removed: {error.strerror or error}. Close other Blenders first.",
            "write_failed",
        ) from None
    shutil.rmtree(remains, ignore_errors=True)


def _check_name(name: str) -> None:
    """Raise FurrowError unless a wheel is OpenVINO's for this Python and system."""
    name_here = wheel_name()
    if name == name_here:
        return
    if not name.startswith("openvino-") or not name.endswith(".whl"):
        raise FurrowError(f"{name} is no wheel of OpenVINO. Choose {name_here}.")
    if not fits(name):
        raise FurrowError(f"{name} is for another Python or system. Choose {name_here}.")
    raise FurrowError(f"{name} is another version of OpenVINO. Choose {name_here}.")


def _check_content(wheel: Path) -> None:
    """Raise FurrowError unless a file is the wheel that its name says, byte for byte."""
    tags = wheel.stem.split("-", 3)[3]
    if sha256(wheel) != _SHA256[tags]:
        raise FurrowError(f"{wheel.name} is damaged, or was altered. Download it again.")


def _check_start(folder: Path) -> None:
    """Raise FurrowError unless OpenVINO in `folder` can be imported and finds the processor."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import openvino; "
        "assert 'CPU' in openvino.Core().available_devices, 'it does not find the processor'"
    )
    try:
        process = subprocess.run(
            [sys.executable, "-I", "-B", "-c", code, str(folder)],
            capture_output=True, text=True, errors="replace", timeout=_IMPORT_LIMIT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        text = f"it did not start within {_IMPORT_LIMIT_S:.0f} s"
        raise FurrowError(f"OpenVINO was not added: {text}.", "engine_unavailable") from None
    if process.returncode:
        lines = process.stderr.strip().splitlines() or [f"exit status {process.returncode}"]
        raise FurrowError(f"OpenVINO was not added: {lines[-1]}.", "engine_unavailable")


def _run_pip(folder: Path, progress: Callable[[float], None], cancelled: Cancelled) -> None:
    """Let pip download the wheel into `folder`; what arrives is seen by its size."""
    command = [*_pip(), "download", "--disable-pip-version-check", "--no-input", "--no-deps",
               "--only-binary=:all:", "--no-cache-dir", "--progress-bar=off",
               f"--dest={folder}", f"openvino=={VERSION}"]  # fmt: skip
    whole = megabytes() * 1e6
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    with (folder / "pip.log").open("w+b") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
        try:
            while process.poll() is None:
                _stop_if(cancelled)
                size = sum(_size(path) for path in folder.rglob("*"))
                progress(min(1.0, size / whole))
                time.sleep(_POLL_S)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if process.returncode:
            log.seek(0)
            raise FurrowError(
                f"OpenVINO was not downloaded. {_error_of(log.read().decode(errors='replace'))} "
                f"Download {wheel_name()} elsewhere and add it from the file.",
                "engine_unavailable",
            )


def _pip() -> list[str]:
    """The command of this Python's pip, or of the one that it carries for new environments."""
    if not subprocess.run(
        [sys.executable, "-m", "pip", "--version"], capture_output=True
    ).returncode:
        return [sys.executable, "-m", "pip"]
    with contextlib.suppress(ImportError):
        import ensurepip

        wheels = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
        if wheels:
            return [sys.executable, str(wheels[-1] / "pip")]
    raise FurrowError(
        f"This Python has no pip. Download {wheel_name()} elsewhere and add it from the file.",
        "engine_unavailable",
    )


def _error_of(log: str) -> str:
    """The last error in what pip printed, as one sentence."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    text = (errors or lines or ["pip said nothing"])[-1]
    return f"{text.rstrip('.')}."


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # moved away in the meantime
        return 0


def _stop_if(cancelled: Cancelled) -> None:
    if cancelled():
        raise FurrowError("Cancelled.", "cancelled")
