"""Sound that comes through a pipe: raw samples, or a WAV whose end is not known yet."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from ..errors import FurrowError
from .audio import HIGHEST_RATE, LOWEST_RATE, RATE, UNKNOWN_SIZES

_AT_ONCE = 65536  # bytes taken at once at most; a pipe gives what it has
_MOST_HEADER = 1 << 20  # bytes before the samples of a WAV: more is no WAV
# The tag of a WAV's format and its bits -> how NumPy reads a sample, and its full scale.
_SAMPLES = {
    (1, 16): ("<i2", 2.0**15),
    (1, 32): ("<i4", 2.0**31),
    (3, 32): ("<f4", 1.0),
    (3, 64): ("<f8", 1.0),
}
_EXTENSIBLE = 0xFFFE
_OTHERS = {b"fLaC": "FLAC", b"OggS": "OGG", b"ID3": "MP3", b"FORM": "AIFF", b"caff": "CAF"}


class Pipe(Protocol):
    """A buffered binary file, such as ``sys.stdin.buffer``."""

    def read(self, size: int, /) -> bytes: ...
    def read1(self, size: int, /) -> bytes: ...


class _Format(NamedTuple):
    """Of samples that follow: how NumPy reads one, full scale, channels, Hz, bytes or None."""

    dtype: str
    scale: float
    channels: int
    rate: int
    size: int | None


def blocks(pipe: Pipe, rate: int = RATE) -> Iterator[np.ndarray]:
    """Yield sound as it comes: mono blocks float32 (n,), n > 0, at 16 kHz, full scale +-1.

    What begins with a WAV header is read by it (16 or 32 bits, or floats; channels are averaged);
    anything else is 16-bit little-endian mono at `rate` Hz. Sound of another rate than 16 kHz comes
    40 ms later at 44.1 and 48 kHz, and 0.12 s at 8 kHz: the resampler hears that far ahead.

    Raises
    ------
    FurrowError
        If nothing comes, for another kind of file, or samples that are not numbers.
    """
    import soxr

    start = pipe.read(4)
    if not start:
        raise FurrowError("Standard input holds no sound.")
    kind = next((name for mark, name in _OTHERS.items() if start.startswith(mark)), None)
    if kind is not None:
        raise FurrowError(f"Standard input is {kind}; a stream must be WAV or raw 16-bit samples.")
    form = _Format("<i2", 2.0**15, 1, rate, None)
    if start in (b"RIFF", b"RF64"):
        form, start = _header(pipe), b""
    if not LOWEST_RATE <= form.rate <= HIGHEST_RATE:
        raise FurrowError(
            f"{form.rate} samples a second is no rate that Furrow reads; it reads {LOWEST_RATE} to {HIGHEST_RATE}."
        )
    stream = soxr.ResampleStream(form.rate, RATE, 1, dtype="float32", quality="HQ")
    any_sound = False
    for sound in _frames(pipe, form, start):
        any_sound = True
        resampled = stream.resample_chunk(sound)
        if len(resampled):
            yield resampled
    if not any_sound:
        raise FurrowError("Standard input holds no sound.")
    last = stream.resample_chunk(np.zeros(0, np.float32), last=True)
    if len(last):
        yield last


def _header(pipe: Pipe) -> _Format:
    """Read a WAV's header after its first four bytes, up to its samples."""
    if _exactly(pipe, 8)[4:] != b"WAVE":
        raise FurrowError("Standard input is a RIFF file, but no WAV.")
    form: _Format | None = None
    while True:
        name, length = struct.unpack("<4sI", _exactly(pipe, 8))
        if name == b"data":
            break
        if length > _MOST_HEADER:
            raise FurrowError("The WAV header on standard input is damaged.")
        body = _exactly(pipe, length + length % 2)
        if name == b"fmt ":
            form = _format(body)
    if form is None:
        raise FurrowError("The WAV header on standard input says nothing of its samples.")
    # Who writes into a pipe cannot know the length, and leaves about the largest there is.
    unknown = length in UNKNOWN_SIZES or length >= 0x7FFF0000
    return form if unknown else form._replace(size=length)


def _format(body: bytes) -> _Format:
    if len(body) < 16:
        raise FurrowError("The WAV header on standard input is damaged.")
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
    if tag == _EXTENSIBLE and len(body) >= 26:
        tag = struct.unpack("<H", body[24:26])[0]
    if (tag, bits) not in _SAMPLES or not channels:
        raise FurrowError(
            f"The WAV on standard input has samples of {bits} bits in format {tag}, which cannot be"
            " streamed; use 16 or 32 bits, or give the file by name."
        )
    return _Format(*_SAMPLES[tag, bits], channels, rate, None)


def _exactly(pipe: Pipe, size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise FurrowError("The WAV header on standard input is cut off.")
    return data


def _frames(pipe: Pipe, form: _Format, data: bytes) -> Iterator[np.ndarray]:
    """Yield mono sound float32 (n,) as it comes; `data` was read already."""
    width = np.dtype(form.dtype).itemsize * form.channels
    left = form.size
    while True:
        whole = len(data) - len(data) % width
        sound = np.frombuffer(data[:whole], form.dtype).reshape(-1, form.channels)
        if len(sound):
            mono = (sound.astype(np.float32) / np.float32(form.scale)).mean(axis=1)
            if not np.isfinite(mono).all():
                raise FurrowError("Standard input holds samples that are not numbers.")
            yield mono
        more = pipe.read1(_AT_ONCE if left is None else min(_AT_ONCE, left))
        if not more:
            return
        left = None if left is None else left - len(more)
        data = data[whole:] + more
