"""Builds dist/furrow-<version>-<platform>.zip, the extension that Blender installs.

The zip carries the backend's packages as wheels for the Python of every Blender from 4.2 on, and
Moonshine's encoder, so that it works offline from the first minute.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

import lock

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = "blender_manifest.toml"
WHEELS = ROOT / "wheels"
ENCODER = "assets/speech/moonshine_encoder.ort"

PLATFORM = "linux-x64"
PLATFORM_TAGS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
PYTHONS = ("3.11", "3.13", "3.14")
"""Of Blender 4.2 to 5.0, of 5.1 and of Debian's 4.3, and of Debian's 5.2."""

COMMANDS_ONLY = ("tqdm",)
"""Packages of the runtime extra that only the `furrow` command uses."""

LIMIT_BYTES = 150_000_000


def main() -> int:
    """Build, validate and check the zip; print where it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "dist", metavar="DIR")
    arguments = parser.parse_args()
    if not (ROOT / ENCODER).exists():
        return _fail(f"{ENCODER} is missing; python -m furrow.backend.speech.moonshine fetches it")
    gather_wheels()
    manifest = tomllib.loads((ROOT / MANIFEST).read_text())
    path = arguments.output.resolve() / f"furrow-{manifest['version']}-{PLATFORM}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="furrow-extension-") as folder:
        stage(manifest["build"]["paths"], Path(folder))
        _blender_ext(
            "build", f"--source-dir={folder}", f"--output-filepath={path}", "--valid-tags="
        )
    _blender_ext("validate", "--valid-tags=", str(path))
    if fault := fault_of(path):
        path.unlink()
        return _fail(fault)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def stage(allowed: list[str], folder: Path) -> None:
    """Copy the allow-listed files and folders, and the manifest without its list of them.

    Hidden files are what a program was still writing, or a cache; so is compiled code.
    """
    for name in allowed:
        source = ROOT / name
        if source.is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(source, folder / name, ignore=unwanted)
        else:
            shutil.copy2(source, folder / name)
    text, _, _ = (ROOT / MANIFEST).read_text().partition("\n[build]")
    (folder / MANIFEST).write_text(text + "\n")


def requirements() -> dict[str, str]:
    """Return what the backend process needs, from the runtime extra, as the lock has it: by package
    its pin and the hashes of its wheels."""
    locked = lock.entries(lock.sections()["runtime"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime = (re.split(r"[<>=]", pin)[0] for pin in project["optional-dependencies"]["runtime"])
    return {
        lock.normalised(name): locked[lock.normalised(name)]
        for name in runtime
        if name not in COMMANDS_ONLY
    }


def gather_wheels() -> None:
    """Download the wheels of every Python into wheels/, unless they are there already.

    Dependencies are left out: NumPy is Blender's, and nothing else is imported at run time.
    """
    text = "\n".join(requirements().values())
    state = "\n".join((text, *PYTHONS, PLATFORM))
    stamp = WHEELS / ".stamp"
    if stamp.exists() and stamp.read_text() == state:
        return
    WHEELS.mkdir(exist_ok=True)
    for old in WHEELS.iterdir():
        old.unlink()
    platforms = [f"--platform={tag}_x86_64" for tag in PLATFORM_TAGS]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text(text)
        for python in PYTHONS:
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
                 "--no-deps", "--require-hashes", "--only-binary=:all:", *platforms,
                 f"--python-version={python}", f"--dest={WHEELS}", f"--requirement={file}"],
                check=True,
            )  # fmt: skip
    stamp.write_text(state)


def fault_of(path: Path) -> str | None:
    """Return what is wrong with a built zip, or None."""
    if path.stat().st_size > LIMIT_BYTES:
        return f"{path.name} has {path.stat().st_size / 1e6:.0f} MB, over the limit of 150"
    names = set(zipfile.ZipFile(path).namelist())
    if ENCODER not in names:
        return f"{path.name} lacks {ENCODER}"
    wheels = [name for name in names if name.endswith(".whl")]
    for package in requirements():
        start = f"wheels/{package.replace('-', '_')}-"
        if not any(name.lower().startswith(start) for name in wheels):
            return f"{path.name} lacks a wheel of {package}"
    return None


def _blender_ext(*arguments: str) -> None:
    """Run Blender's own tool for extensions, which comes with the bpy module."""
    spec = importlib.util.find_spec("bpy")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("Building the extension needs bpy: make extension installs it.")
    (tool,) = Path(spec.submodule_search_locations[0]).glob(
        "*/scripts/addons_core/bl_pkg/cli/blender_ext.py"
    )
    subprocess.run([sys.executable, str(tool), *arguments], check=True, stdout=subprocess.DEVNULL)


def _fail(message: str) -> int:
    print(f"tools/extension.py: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
