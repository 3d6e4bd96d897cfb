"""Films of talking people: their sound at 16 kHz and their pictures, on one clock."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...backend.errors import FurrowError
from ...backend.formats.audio import RATE

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")
LONGEST_SIDE = 1280
"""Pixels; larger pictures are scaled down, since the landmarker works on 256 x 256 of a face."""


def library(name: str) -> Any:
    """Return a package that only learning from films needs.

    Raises
    ------
    FurrowError
        If it, or what it needs, is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise FurrowError(
            f"Learning from films needs {name.split('.')[0]}, which cannot be loaded ({error}): "
            'pip install "furrow[train,video]".',
            "engine_unavailable",
        ) from None


class FilmError(FurrowError):
    """A film that is of no use, while the others may be."""


class Film:
    """One film; its clock starts at 0 with the first of picture and sound.

    Attributes
    ----------
    frames
        About how many pictures there are; 0 if the file does not tell.
    damaged
        Packets and pictures so far that could not be decoded; they are left out.

    Raises
    ------
    FilmError
        If the file is no film, or lacks picture or sound.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        with self._open() as container:
            for kind, streams in (
                ("picture", container.streams.video),
                ("sound", container.streams.audio),
            ):
                if not streams:
                    raise FilmError(f"{path} has no {kind}.")
            stream = container.streams.video[0]
            seconds = float((container.duration or 0) / 1e6)
            self.frames = stream.frames or round(seconds * float(stream.average_rate or 0))

    def sound(self) -> np.ndarray:
        """Return the first sound track, channels averaged, float32 (n,); sample k is heard at k / 16000 s."""
        av = library("av")
        pieces: list[np.ndarray] = []
        have = 0
        with self._open() as container:
            resampler = av.AudioResampler("flt", "mono", RATE)
            for frame in itertools.chain(self._decoded(container, "audio"), [None]):
                for chunk in resampler.resample(frame):
                    samples = chunk.to_ndarray()[0]
                    first = round(_time(container, chunk) * RATE)
                    # Sound that starts late, or has a hole, must not move what follows.
                    if first > have + RATE // 50:
                        pieces.append(np.zeros(first - have, np.float32))
                        have = first
                    elif first < have - RATE // 50:  # a coder's run-up before the start
                        samples = samples[have - first :]
                    pieces.append(samples)
                    have += len(samples)
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)

    def pictures(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yield the time in seconds and the pixels, uint8 (H, W, 3) sRGB, upright, of each picture.

        Times are those of the file, so films of variable frame rate keep theirs.
        """
        with self._open() as container:
            aspect = float(container.streams.video[0].sample_aspect_ratio or 1)
            for frame in self._decoded(container, "video"):
                width = frame.width * aspect
                scale = min(1.0, LONGEST_SIDE / max(width, frame.height))
                pixels = frame.to_ndarray(
                    format="rgb24", width=round(width * scale), height=round(frame.height * scale)
                )
                # Phones film on their side and write down how to turn the picture.
                turned = np.rot90(pixels, round(frame.rotation / 90))
                yield _time(container, frame), np.ascontiguousarray(turned)

    def _open(self) -> Any:
        av = library("av")
        try:
            return av.open(str(self.path))
        except (av.FFmpegError, OSError) as error:
            raise FilmError(f"{self.path} is no readable film: {error.strerror}.") from None

    def _decoded(self, container: Any, kind: str) -> Iterator[Any]:
        """Yield the frames of the first stream of a kind; damaged ones are counted and left out."""
        av = library("av")
        stream = getattr(container.streams, kind)[0]
        stream.thread_type = "AUTO"
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                for frame in packet.decode():
                    if frame.is_corrupt:
                        self.damaged += 1
                    else:
                        yield frame
            except av.FFmpegError:
                self.damaged += 1


def _time(container: Any, frame: Any) -> float:
    """Return when a frame is shown or heard, in seconds from the start of the film."""
    stamp = frame.pts if frame.pts is not None else frame.dts  # AVI has no presentation times
    return float(stamp * frame.time_base - (container.start_time or 0) / 1e6)
