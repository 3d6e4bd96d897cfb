"""Speech to expression: any sound file -> 52 ARKit weights at a steady rate.

Sound goes through Moonshine-tiny's encoder (what is said) and log-mel energies (when exactly), and
Furrow's own network turns both into the weights of jaw, lips and tongue and into the probability
that lips touch. Long files are worked off in overlapping windows, so memory stays bounded.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from . import audio, lips, liveliness, moonshine
from .errors import FurrowError
from .expressions import EXPRESSIONS, INDEX
from .files import ASSETS
from .performance import Life, Style
from .weights import Weights

STRIDE = 384
"""Samples between two frames of the encoder: 24 ms at 16 kHz."""
CENTRE = 447
"""The sample at the middle of what the encoder's convolutions see for its first frame."""
SUBFRAMES = 2
"""Rows that the network gives for each frame of the encoder: one every 12 ms."""
STEP = STRIDE / SUBFRAMES / audio.RATE
"""Seconds between two rows of the network."""
BANDS = 40
"""Log-mel bands, of each of two subframes."""

_WINDOW, _MARGIN, _FADE = 336, 42, 6  # frames: 8 s, of which 1 s at both ends is only heard
_SPEECH_LEVEL = 0.1  # root mean square that loud syllables are brought to: -20 dB of full scale
_MOST_GAIN = 30.0  # noise of a silent recording is not blown up further than this
_TOUCHING = 0.35  # probability at which lips begin and end to touch
_CERTAIN = 0.6  # probability from which on they meet for sure


@dataclass(frozen=True)
class SpeechModel:
    """The two networks, loaded.

    Attributes
    ----------
    channels
        What the network gives, by name without Left and Right.
    """

    encoder: onnxruntime.InferenceSession
    network: onnxruntime.InferenceSession
    channels: tuple[str, ...]

    @classmethod
    def load(cls, folder: Path = ASSETS / "speech") -> SpeechModel:
        """Load Moonshine's encoder and ``speech.onnx`` with its ``speech.json``.

        Raises
        ------
        FurrowError
            ``missing_model`` if one of them is not there.
        """
        encoder = moonshine.encoder_path()
        try:
            about = json.loads((folder / "speech.json").read_text(encoding="utf-8"))
            network = _session(folder / "speech.onnx")
        except Exception as error:  # onnxruntime's errors share no public base class
            raise FurrowError(
                f"The speech network in {folder} cannot be loaded ({error}). Install Furrow again.",
                "missing_model",
            ) from None
        return cls(_session(encoder), network, tuple(about["channels"]))

    def weights(
        self,
        path: str | Path,
        fps: float,
        style: Style | None = None,
        life: Life | None = None,
        progress: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Weights:
        """Return the weights of a face that says what the sound file holds.

        Parameters
        ----------
        fps
            Frames per second of the result, above 0 and at most 1000; frame k is at k / fps.
        style
            The manner of speaking; the ordinary one if left out.
        life
            Blinks, gaze, brows, breath and head; ordinary if left out. :data:`~.performance.STILL`
            moves the mouth alone.

        Returns
        -------
        Weights
            (N, 52) and the turn of the head (N, 3), N = round(duration x fps) but at least 1. A
            silent file gives a calm face.

        Raises
        ------
        FurrowError
            For files that are no sound (see :mod:`.audio`), a bad rate, a style that the network
            does not know, or ``cancelled``.
        """
        if style is not None and style != Style():
            raise FurrowError("The speech network has no input for a style; leave it out.")
        if not 0 < fps <= 1000:  # false for NaN too
            raise FurrowError(f"The frame rate is {fps}; it must lie above 0 and at most at 1000.")
        rows, touching = self.rows(path, progress, cancelled)
        count = max(1, round(audio.duration(path) * fps))
        times = np.arange(count) / fps
        at = (np.arange(len(rows)) - 0.5) * STEP
        smooth = _smoothed(rows)
        columns = {name: np.interp(times, at, smooth[:, i]) for i, name in enumerate(self.channels)}
        for closure, strength in closures(touching, fps):
            lips.touch(columns, times, closure, strength)
        columns["mouthClose"] = np.minimum(columns["mouthClose"], columns["jawOpen"])
        values = np.zeros((count, len(EXPRESSIONS)), np.float32)
        for name, column in columns.items():
            for full in (name, f"{name}Left", f"{name}Right"):
                if full in INDEX:
                    values[:, INDEX[full]] = column
        around, head = liveliness.perform(audio.blocks(path), fps, count, life or Life())
        return Weights(np.clip(values + around, 0.0, 1.0), float(fps), head)

    def rows(
        self,
        path: str | Path,
        progress: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what the network says every 12 ms; row j is at (j - 0.5) x 12 ms.

        Returns
        -------
        tuple
            Weights (R, channels); probabilities of touch (R, 2): lips to lips, lip to teeth.
        """
        frames = math.ceil(audio.duration(path) * audio.RATE / STRIDE) + 1
        rows = np.zeros((SUBFRAMES * frames, len(self.channels) + 2), np.float32)
        total = np.zeros((len(rows), 1), np.float32)
        for start, window in _windows(path, frames, speech_gain(path)):
            if cancelled is not None and cancelled():
                raise FurrowError("The speech analysis was cancelled.", "cancelled")
            made = self.run(self.encode(window), log_mel(window))
            low, high = max(0, start), min(frames, start + len(made) // SUBFRAMES)
            here = slice(SUBFRAMES * low, SUBFRAMES * high)
            there = slice(SUBFRAMES * (low - start), SUBFRAMES * (high - start))
            share = _share(len(made))[there]
            rows[here] += share * made[there]
            total[here] += share
            if progress is not None:
                progress(high / frames, "Listening")
        rows /= total
        return rows[:, :-2], rows[:, -2:]

    def run(self, encoded: np.ndarray, mel: np.ndarray) -> np.ndarray:
        """Return the network's rows (2 F, channels + 2) for features (F, 288) and (F, 80)."""
        inputs = {"encoded": encoded[None], "mel": mel[None]}
        return np.asarray(self.network.run(["rows"], inputs)[0][0])

    def encode(self, window: np.ndarray) -> np.ndarray:
        """Return Moonshine's features (F, 288) of a window (window_samples(F),)."""
        inputs = {
            "input_values": window[None],
            "attention_mask": np.ones((1, len(window)), np.int64),
        }
        return np.asarray(self.encoder.run(None, inputs)[0][0])


def window_samples(frames: int) -> int:
    """Return how many samples give the encoder exactly `frames` frames."""
    return STRIDE * (frames - 1) + 895


def window_frames(samples: int) -> int:
    """Return how many frames a window of :func:`window_samples` gives."""
    return (samples - 895) // STRIDE + 1


def log_mel(window: np.ndarray) -> np.ndarray:
    """Return log-mel energies float32 (F, 2 x 40) of a window, two subframes for each frame.

    25 ms Hann windows, 40 triangular bands of 80 to 7600 Hz; roughly in [-3, 3] for speech.
    """
    pieces = _pieces(window, 400) * np.hanning(400).astype(np.float32)
    power = np.abs(np.fft.rfft(pieces, 512, axis=1)) ** 2
    bands = np.log(power @ _mel_bands() + 1e-4)
    return ((bands + 1.0) / 4.0).astype(np.float32).reshape(-1, SUBFRAMES * BANDS)


def speech_gain(path: str | Path) -> float:
    """Return the factor that brings a file's loud syllables to the level the networks know."""
    powers = [
        np.add.reduceat(block.astype(np.float64) ** 2, np.arange(0, len(block), STRIDE)) / STRIDE
        for block in audio.blocks(path)
    ]
    return gain_of(np.concatenate(powers)) if powers else 1.0


def gain_of(powers: np.ndarray) -> float:
    """Return that factor for mean squares (n,) of 24 ms pieces."""
    loud = math.sqrt(float(np.percentile(powers, 97)))
    return min(_MOST_GAIN, _SPEECH_LEVEL / max(loud, 1e-9))


def closures(touching: np.ndarray, fps: float) -> list[tuple[lips.Closure, float]]:
    """Return the touches that the network heard and how sure it is, 0 to 1.

    Each lasts at least until the nearest frame of the result: a closure between two frames would
    not be seen. Times and strengths follow the probabilities continuously, so that a trace of noise
    in the sound changes no more than a trace of the movement.

    Parameters
    ----------
    touching
        Probabilities (R, 2) every 12 ms: lips to lips, lip to teeth.
    """
    found = []
    for kind in (1, 0):  # lips that meet come last: they win where both are heard
        p = np.pad(touching[:, kind], 1)
        above = p > _TOUCHING
        for rise, fall in zip(
            np.flatnonzero(~above[:-1] & above[1:]),
            np.flatnonzero(above[:-1] & ~above[1:]),
            strict=True,
        ):
            start, end = (
                (k + (_TOUCHING - p[k]) / (p[k + 1] - p[k]) - 1.5) * STEP for k in (rise, fall)
            )
            # The probability passes through the threshold about half a row outside of the touch.
            start, end = min(start + 0.5 * STEP, end), max(end - 0.5 * STEP, start)
            nearest = round((start + end) / 2 * fps) / fps
            strength = (p[rise + 1 : fall + 1].max() - _TOUCHING) / (_CERTAIN - _TOUCHING)
            touch = lips.Closure(min(start, nearest), max(end, nearest), kind == 0)
            found.append((touch, float(min(1.0, strength))))
    return found


def _smoothed(rows: np.ndarray) -> np.ndarray:
    """Return weights (R, channels) under a small Gaussian of 8 ms, their ends held."""
    padded = np.pad(rows, ((1, 1), (0, 0)), mode="edge")
    return np.asarray(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:])


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _windows(path: str | Path, frames: int, gain: float) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index of the first frame, samples) of the windows that cover frames 0 to `frames`.

    Frame k of the result is centred at k x 24 ms. Windows overlap by two margins; beyond the
    file's ends there is silence.
    """
    length = min(_WINDOW, frames + 2 * _MARGIN)
    size, hop = window_samples(length), (length - 2 * _MARGIN) * STRIDE
    buffer = np.zeros(CENTRE + _MARGIN * STRIDE, np.float32)
    stream = audio.blocks(path)
    for start in range(-_MARGIN, frames - _MARGIN, length - 2 * _MARGIN):
        pieces = [buffer]
        have = len(buffer)
        while have < size:
            block = next(stream, None)
            if block is None:
                block = np.zeros(size - have, np.float32)
            pieces.append(block * np.float32(gain))
            have += len(block)
        buffer = np.concatenate(pieces)
        yield start, np.clip(buffer[:size], -1.0, 1.0)
        buffer = buffer[hop:]


def _share(rows: int) -> np.ndarray:
    """Return a window's share (rows, 1) of the result: its middle, faded over at both seams."""
    at = (np.arange(rows) + 0.5) / SUBFRAMES
    inside = np.minimum(at, rows / SUBFRAMES - at) - (_MARGIN - _FADE)
    return np.clip(inside / (2 * _FADE), 0.0, 1.0).astype(np.float32)[:, None]


def _pieces(window: np.ndarray, length: int) -> np.ndarray:
    """Return the samples (2 F, length) around the centres of the subframes."""
    rows = SUBFRAMES * window_frames(len(window))
    first = CENTRE - STRIDE // 4 - length // 2
    views = np.lib.stride_tricks.sliding_window_view(window, length)
    return views[first :: STRIDE // SUBFRAMES][:rows]


@functools.cache
def _mel_bands() -> np.ndarray:
    """Return triangular filters float32 (257, 40), evenly spaced on the mel scale (O'Shaughnessy)."""
    low, high = (2595 * math.log10(1 + f / 700) for f in (80.0, 7600.0))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    hertz = np.arange(257) * audio.RATE / 512
    rising = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
