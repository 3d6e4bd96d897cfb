"""Sound files as mono blocks at one rate, read as a stream so that memory stays bounded.

:func:`check` needs no library, since the add-on calls it inside Blender; the rest decodes with
libsndfile and resamples with soxr, which the backend process has.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FurrowError

if TYPE_CHECKING:
    import soundfile

RATE = 16000
"""Hz; what speech networks read."""

_BLOCK = 65536  # frames read at once: 2 MB for eight channels
LOWEST_RATE, HIGHEST_RATE = 4000, 768000
"""Hz; outside of this a header is damaged."""
UNKNOWN_SIZES = (0, 0xFFFFFFFF, 0x7FFFFFFF)
"""What writers into a pipe leave in a WAV header as the size of its samples."""


def check(path: str | Path) -> None:
    """Raise FurrowError unless `path` looks like a whole WAV, FLAC or OGG file.

    Reads the header and, of an OGG, the end; sound that is damaged inside shows when it is decoded.

    Raises
    ------
    FurrowError
        ``missing_file`` if there is none; ``bad_input`` if it is empty, truncated or no sound.
    """
    path = Path(path)
    if not path.exists():
        raise FurrowError(f"There is no sound file {path}.", "missing_file")
    if path.is_dir():
        raise FurrowError(f"{path} is a folder, not a sound file.")
    try:
        if path.stat().st_size == 0:
            raise FurrowError(f"{path} is empty.")
        with path.open("rb") as file:
            head = file.read(12)
        if not (
            head[:4] in (b"fLaC", b"OggS") or (head[:3] in (b"RIF", b"RF6") and head[8:] == b"WAVE")
        ):
            raise FurrowError(f"{path} is no sound file that Furrow reads; use WAV, FLAC or OGG.")
        whole = _is_whole(path)
    except OSError as error:
        raise FurrowError(f"{path} cannot be read: {error.strerror or error}.") from None
    if not whole:
        raise FurrowError(f"{path} is cut off: its end is missing. Export it again.")


def duration(path: str | Path) -> float:
    """Return the length of a sound file in seconds.

    Raises
    ------
    FurrowError
        As :func:`check`, and for files that hold no sound or that no decoder reads.
    """
    with _open(Path(path)) as sound:
        return float(sound.frames / sound.samplerate)


def blocks(path: str | Path, rate: int = RATE) -> Iterator[np.ndarray]:
    """Yield the sound as mono blocks, channels averaged, resampled to `rate` Hz.

    Blocks are float32 (n,) of varying n > 0, full scale +-1; together they are
    round(duration x rate) samples, give or take one. Memory does not grow with the file.

    Raises
    ------
    FurrowError
        As :func:`duration`; also when decoding fails or samples are not numbers.
    """
    import soundfile
    import soxr

    path = Path(path)
    with _open(path) as sound:
        stream = soxr.ResampleStream(sound.samplerate, rate, 1, dtype="float32", quality="HQ")
        remaining = sound.frames
        while remaining:
            try:
                frames = sound.read(min(_BLOCK, remaining), dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise FurrowError(f"{path} is damaged: {_reason(error)}.") from None
            if not len(frames):
                raise FurrowError(f"{path} is cut off: its end is missing. Export it again.")
            remaining -= len(frames)
            mono = frames.mean(axis=1)
            if not np.isfinite(mono).all():
                raise FurrowError(f"{path} holds samples that are not numbers. Export it again.")
            resampled = stream.resample_chunk(mono, last=remaining == 0)
            if len(resampled):
                yield resampled


def _open(path: Path) -> soundfile.SoundFile:
    """Open a sound file that passes :func:`check` and has a plausible header; the caller closes it."""
    import soundfile

    check(path)
    try:
        sound = soundfile.SoundFile(str(path))
    except soundfile.SoundFileError as error:
        raise FurrowError(
            f"{path} is no sound file that Furrow reads ({_reason(error)}); use WAV, FLAC or OGG."
        ) from None
    problem = None
    if sound.frames <= 0 or sound.frames >= 2**62:  # libsndfile's mark for an unknown length
        problem = "holds no sound."
    elif not LOWEST_RATE <= sound.samplerate <= HIGHEST_RATE:
        problem = f"claims {sound.samplerate} samples a second, which is no sound Furrow reads."
    if problem:
        sound.close()
        raise FurrowError(f"{path} {problem}")
    return sound


def _reason(error: Exception) -> str:
    """Return libsndfile's own words, without the path that it repeats."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


def _is_whole(path: Path) -> bool:
    """Tell whether a WAV or OGG file holds all that its header promises.

    libsndfile reads a truncated WAV or OGG without a word; FLAC's loss shows when it is decoded.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
            size = path.stat().st_size
            at = 12
            while at + 8 <= size:
                file.seek(at)
                name, length = struct.unpack("<4sI", file.read(8))
                if name == b"data":
                    return length in UNKNOWN_SIZES or at + 8 + length <= size
                at += 8 + length + length % 2
            return False  # no data chunk where the others end
        if head[:4] == b"OggS":
            file.seek(max(0, path.stat().st_size - 65307))  # the longest page there is
            tail = file.read()
            page = tail[tail.rfind(b"OggS") :]
            segments = page[26] if len(page) > 26 else 0
            length = 27 + segments + sum(page[27 : 27 + segments])
            # Bit 4 of a page's flags marks the end of the stream.
            return len(page) >= length and bool(page[5] & 4)
    return True
