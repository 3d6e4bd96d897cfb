"""How loud and how high a voice is, as the sound comes: level and fundamental frequency, every 12 ms.

The fundamental frequency is found by YIN (de Cheveigne and Kawahara 2002, "YIN, a fundamental
frequency estimator for speech and music", J. Acoust. Soc. Am. 111): the lag at which a stretch of
sound differs least from itself, the difference being normalised by its mean at shorter lags.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..formats.audio import RATE

HOP = 192
"""Samples between two rows."""
STEP = HOP / RATE
"""Seconds between two rows: 12 ms."""

_LOWEST, _HIGHEST = 65.0, 500.0  # Hz, of speaking voices
_LAGS = int(RATE / _LOWEST) + 2
_FIRST = int(RATE / _HIGHEST)
_WINDOW = 400  # samples compared: 25 ms
_SPAN = _WINDOW + _LAGS
_HALF = _SPAN // 2
_TRANSFORM = (
    1024  # of at least _SPAN + _WINDOW - 1 samples would not wrap; the lags used here do not
)
_PERIODIC = 0.15  # YIN's threshold: the first lag below it is the period
_VOICED = 0.25  # a stretch that differs more from itself at its best lag has no pitch
_SILENT = -70.0  # dB of full scale under which no pitch is sought
_ROWS_AT_ONCE = 256  # so that memory stays bounded whatever is pushed

AHEAD = _HALF / RATE
"""Seconds of sound after its own moment that a row needs."""


class Rows(NamedTuple):
    """Rows of a sound, one every 12 ms.

    Attributes
    ----------
    level
        Root mean square of 25 ms in dB of full scale, (n,), at least -100.
    frequency
        Fundamental frequency in Hz, (n,), 65 to 500; 0 where there is no voice.
    """

    level: np.ndarray
    frequency: np.ndarray


class PitchTracker:
    """Level and fundamental frequency of a sound that comes in pieces.

    Row j holds at j x 12 ms. However the sound is cut into pieces, the rows are the same.
    """

    def __init__(self) -> None:
        self._buffer = np.zeros(_HALF, np.float32)  # begins _HALF samples before the next row

    def push(self, samples: np.ndarray) -> Rows:
        """Take mono sound float32 (n,) at 16 kHz, and return the rows that it completes."""
        self._buffer = np.concatenate([self._buffer, np.asarray(samples, np.float32)])
        count = max(0, (len(self._buffer) - _SPAN) // HOP + 1)
        level, frequency = np.zeros(count), np.zeros(count)
        for start in range(0, count, _ROWS_AT_ONCE):
            rows = slice(start, min(count, start + _ROWS_AT_ONCE))
            views = np.lib.stride_tricks.sliding_window_view(self._buffer, _SPAN)[::HOP]
            level[rows], frequency[rows] = _measure(views[rows])
        self._buffer = self._buffer[count * HOP :].copy()
        return Rows(level, frequency)

    def finish(self) -> Rows:
        """Return the rows up to the end of the sound, as if silence followed."""
        return self.push(np.zeros(_SPAN - _HALF, np.float32))


def _measure(stretches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return level in dB and fundamental frequency in Hz, (n,) each, of stretches (n, _SPAN)."""
    x = stretches.astype(np.float64)
    middle = slice(_HALF - _WINDOW // 2, _HALF + _WINDOW // 2)
    level = 10 * np.log10((x[:, middle] ** 2).mean(axis=1) + 1e-10)
    frequency = np.zeros(len(x))
    loud = np.flatnonzero(level > _SILENT)
    if len(loud):
        frequency[loud] = _fundamental(x[loud])
    return level, frequency


def _fundamental(x: np.ndarray) -> np.ndarray:
    """Return the fundamental frequency (n,) in Hz of stretches (n, _SPAN), 0 where there is none."""
    difference = _difference(x - x.mean(axis=1, keepdims=True))
    lags = np.arange(1, _LAGS)
    total = np.maximum(np.cumsum(difference[:, 1:], axis=1), 1e-12)
    normal = np.ones_like(difference)
    normal[:, 1:] = difference[:, 1:] * lags / total
    inner = normal[:, _FIRST : _LAGS - 1]
    lowest = (inner <= normal[:, _FIRST - 1 : _LAGS - 2]) & (inner < normal[:, _FIRST + 1 :])
    dips = np.where(lowest, inner, 2.0)
    clear = dips < _PERIODIC
    rows = np.arange(len(x))
    best = np.where(clear.any(axis=1), clear.argmax(axis=1), dips.argmin(axis=1))
    lag = best + _FIRST
    before, at, after = (normal[rows, lag + k] for k in (-1, 0, 1))
    # The dip's own place, between samples: the lowest point of the parabola through three.
    shift = 0.5 * (before - after) / np.maximum(before - 2 * at + after, 1e-12)
    voiced = dips[rows, best] < _VOICED
    return np.where(voiced, RATE / (lag + np.clip(shift, -0.5, 0.5)), 0.0)


def _difference(x: np.ndarray) -> np.ndarray:
    """Return how the first _WINDOW samples differ from those _LAGS lags on, (n, _LAGS): YIN's d(lag)."""
    head = x[:, :_WINDOW]
    product = np.conj(np.fft.rfft(head, _TRANSFORM)) * np.fft.rfft(x, _TRANSFORM)
    correlation = np.fft.irfft(product, _TRANSFORM)[:, :_LAGS]
    power = np.cumsum(np.pad(x**2, ((0, 0), (1, 0))), axis=1)
    energy = power[:, _WINDOW : _WINDOW + _LAGS] - power[:, :_LAGS]
    return np.maximum(0.0, energy[:, :1] + energy - 2 * correlation)
