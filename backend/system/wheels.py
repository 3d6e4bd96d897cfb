"""Packages out of the wheels that the extension carries, for the Python that runs.

The extension's manifest does not list them: Blender would refuse to enable an add-on with a native
wheel for another Python, and modules it installs are shared with every other add-on.
Standard library only: this runs before any package can be imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import sysconfig
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from ..errors import FurrowError

_ABANDONED_S = 3600


def unpack(wheels: str | Path, target: str | Path) -> Path:
    """Unpack the wheels that fit this Python into a folder of their own below `target`.

    A folder that is there already is used as it is; older ones of other wheels are removed.

    Parameters
    ----------
    wheels
        Folder of ``.whl`` files, for several Pythons and platforms.
    target
        A folder to write in; it is made.

    Returns
    -------
    Path
        The folder to put on ``sys.path``.

    Raises
    ------
    FurrowError
        With code ``engine_unavailable`` if no wheel fits, ``write_failed`` if `target` cannot be
        written, ``bad_input`` if a wheel is damaged or reaches outside its folder.
    """
    packages = fitting(wheels)
    if not packages:
        raise FurrowError(
            f"Furrow carries no packages for Python {sys.version_info[0]}.{sys.version_info[1]} on "
            f"{sysconfig.get_platform()}. Choose another Python in the preferences.",
            "engine_unavailable",
        )
    target = Path(target)
    folder = target / f"{python_tag()}-{_key(packages)}"
    if folder.is_dir():
        return folder
    with whole_folder(folder) as temporary:
        for wheel in packages:
            extract(wheel, temporary)
    _remove_older(target, folder)
    return folder


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the name `folder` if the block succeeds, else is removed.

    Two Blenders may do so at once: each fills its own, the first to rename wins.

    Raises
    ------
    FurrowError
        With code ``write_failed`` if it cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
        try:
            yield temporary
            try:
                temporary.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise FurrowError(
            f"Packages cannot be unpacked to {folder.parent}: {error.strerror or error}. "
            "Free some space or check the folder's permissions.",
            "write_failed",
        ) from None


def fitting(wheels: str | Path) -> list[Path]:
    """Return the wheels of a folder that this Python on this platform can use, sorted by name."""
    return sorted(path for path in Path(wheels).glob("*.whl") if fits(path.name))


def fits(name: str) -> bool:
    """Whether this Python can use a wheel, by the tags at the end of its file name (PEP 427)."""
    parts = name.removesuffix(".whl").split("-")
    if len(parts) < 5:
        return False
    pythons, abis, platforms = (part.split(".") for part in parts[-3:])
    return (
        any(_python_fits(python, abi) for python in pythons for abi in abis)
        and any(map(_platform_fits, platforms))
    )  # fmt: skip


def python_tag() -> str:
    """Return the tag of the Python that runs, as cp311."""
    return f"cp{sys.version_info[0]}{sys.version_info[1]}"


def _python_fits(python: str, abi: str) -> bool:
    if abi == "none":
        return python in ("py3", f"py3{sys.version_info[1]}", python_tag())
    if abi == "abi3":  # built for this Python or an older one
        minor = python.removeprefix("cp3")
        return python.startswith("cp3") and minor.isdigit() and int(minor) <= sys.version_info[1]
    return python == abi == python_tag()


def _platform_fits(tag: str) -> bool:
    """Match processor and system. glibc's and macOS's versions are left to the loader: the wheels
    that a release carries are chosen for the oldest systems that Blender itself runs on."""
    if tag == "any":
        return True
    here = sysconfig.get_platform()  # such as linux-x86_64, win-amd64, macosx-11.0-arm64
    system, _, processor = here.partition("-")
    if system == "linux":
        return tag.startswith(("manylinux", "linux")) and tag.endswith(f"_{processor}")
    if system == "macosx":
        processor = processor.rpartition("-")[2]
        return tag.startswith("macosx") and tag.endswith((f"_{processor}", "_universal2"))
    return tag == here.replace("-", "_").replace(".", "_")


def _key(packages: list[Path]) -> str:
    """Hash of what is unpacked: names and sizes, since a rebuilt wheel may keep its name."""
    facts = "\n".join(f"{path.name} {path.stat().st_size}" for path in packages)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def extract(
    wheel: Path, folder: Path, progress: Callable[[float], None] = lambda fraction: None
) -> None:
    """Unpack one wheel as an installer would: the parts of NAME.data that are code go to the root.

    Raises
    ------
    FurrowError
        With code ``bad_input`` if it is damaged or reaches outside `folder`. OSError if the folder
        cannot be written.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = archive.infolist()
            total, size = sum(entry.file_size for entry in entries) or 1, 0
            for entry in entries:
                progress(size / total)
                size += entry.file_size
                place = _place(entry.filename)
                if entry.is_dir() or place is None:
                    continue
                path = folder / place
                if not path.resolve().is_relative_to(folder.resolve()):
                    raise FurrowError(f"{wheel.name} reaches outside its folder; it was not used.")
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, path.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise FurrowError(f"{wheel} is damaged: {error}. Install Furrow again.") from None


def _place(name: str) -> str | None:
    """Where a file of a wheel goes below the packages' folder; None if nowhere (scripts, data)."""
    parts = PurePosixPath(name).parts
    if parts and parts[0].endswith(".data"):
        return os.path.join(*parts[2:]) if parts[1] in ("purelib", "platlib") else None
    if name.startswith("/") or "\\" in name or ":" in name:
        return os.path.join("..", "outside")  # refused by the caller
    return name


def _remove_older(target: Path, current: Path) -> None:
    """Remove this Python's folders of other wheels, and what a killed process left half unpacked.

    On Windows a folder in use stays until next time.
    """
    for folder in target.glob(f"{python_tag()}-*"):
        if folder != current:
            shutil.rmtree(folder, ignore_errors=True)
    for folder in target.glob(".partial-*"):
        if time.time() - folder.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(folder, ignore_errors=True)
