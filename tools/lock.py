"""Makes requirements.lock anew, or prints what one environment installs from it.

    python tools/lock.py [--upgrade]    by uv, which `make lock` installs; what is locked stays where
                                        it fits, unless --upgrade asks for the newest
    python tools/lock.py ENVIRONMENT    its requirements with hashes, for pip install --no-deps

pyproject.toml says what an environment needs, and why; the lock names every package that this
brings, with the hashes of all its files, so that it serves each Python and processor. PyTorch is
not in it: each of its builds (CPU, CUDA, ROCm) has hashes of its own, and the CUDA build brings
libraries that no other build needs. The packages that every build needs are in it. Nor is
openvino-telemetry, which reports use to OpenVINO's makers and is not needed to run it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"

STAGES = {
    "runtime": ("runtime", "blender"),
    "train": ("train",),
    "dev": ("video", "dev"),
    "peers": ("openvino",),
}
"""What .venv gets one after another, as extras of pyproject.toml; all of them fit together."""

GROUPS = ("bpy42", "bpy50", "lock")
"""Environments of their own, as dependency groups of pyproject.toml."""

_LEFT_OUT = re.compile(r"(torch|triton|cuda|nvidia)(-|$)|openvino-telemetry$")
_HEADER = "# What each environment installs, made by `make lock` from pyproject.toml; see tools/lock.py.\n"
_SECTION = re.compile(r"^# == (\w+) ==\n", re.MULTILINE)
_ENTRY = re.compile(r"^[\w.-]+==.*(?:\n +--hash=.*)*", re.MULTILINE)


def main() -> int:
    """Make the lock, or print a section of it."""
    parser = argparse.ArgumentParser(description="Make requirements.lock anew, or read it.")
    parser.add_argument("environment", nargs="?", choices=[*STAGES, *GROUPS],
                        help="print what this one installs, and make nothing")  # fmt: skip
    parser.add_argument("--upgrade", action="store_true", help="take the newest that pins admit")
    arguments = parser.parse_args()
    if arguments.environment is None:
        LOCK.write_text(resolve_all({} if arguments.upgrade else sections()))
    else:
        print(sections()[arguments.environment])
    return 0


def sections() -> dict[str, str]:
    """Return the text of each environment in the lock; of a stage, what it adds to those before."""
    _, *parts = _SECTION.split(LOCK.read_text())
    return dict(zip(parts[::2], parts[1::2], strict=True))


def entries(section: str) -> dict[str, str]:
    """Return the requirement of each package, hashes included, by its normalised name."""
    return {normalised(entry.split("==")[0]): entry for entry in _ENTRY.findall(section)}


def normalised(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(environment: str) -> list[str]:
    """Return what pyproject.toml needs in an environment; of a stage, beside those before."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    if environment in GROUPS:
        return list(content["dependency-groups"][environment])
    extras = content["project"]["optional-dependencies"]
    pins = [pin for extra in STAGES[environment] for pin in extras[extra]]
    if environment == "runtime":  # Furrow itself is built without isolation, so with these
        pins += content["project"]["dependencies"] + content["build-system"]["requires"]
    return pins


def resolve_all(previous: Mapping[str, str]) -> str:
    """Resolve all environments and return the text of the lock; `previous` are its sections so far."""
    pins = [pin for stage in STAGES for pin in requirements(stage)]
    whole = _resolve(pins, "".join(previous.get(stage, "") for stage in STAGES))
    parts: dict[str, list[str]] = {}
    pins, earlier = [], set[str]()
    for stage in STAGES:
        pins += requirements(stage)
        names = _resolve(pins, "\n".join(whole.values())).keys() - earlier
        parts[stage] = [whole[name] for name in sorted(names)]
        earlier |= names
    for group in GROUPS:
        # The versions of .venv where they fit: what differs between tests is Blender.
        preference = "\n".join(whole.values())
        parts[group] = list(_resolve(requirements(group), preference).values())
    return _HEADER + "".join(
        f"\n# == {name} ==\n" + "\n".join(lines) + "\n" for name, lines in parts.items()
    )


def _resolve(pins: Iterable[str], preference: str) -> dict[str, str]:
    """Return the entries that the pins bring; versions in the text `preference` stay if they fit."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        raise SystemExit("tools/lock.py needs uv beside its Python: make lock")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "requirements.txt"
        output.write_text(preference)
        subprocess.run(
            [uv, "pip", "compile", "-", "--quiet", "--no-config", "--generate-hashes",
             "--no-header", "--no-annotate", "--python-version=3.11",
             "--python-platform=x86_64-manylinux_2_28", f"--output-file={output}"],
            input="\n".join(pins), text=True, check=True, cwd=folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        resolution = entries(output.read_text())
    return {name: entry for name, entry in resolution.items() if not _LEFT_OUT.match(name)}


if __name__ == "__main__":
    sys.exit(main())
