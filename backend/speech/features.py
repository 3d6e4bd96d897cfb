"""What the speech network hears: an encoder's features (what is said) and log-mel energies (when).

A frame is 24 ms; frame k is centred at k x 24 ms. A window is a stretch of sound that gives a whole
number of frames. Offline, windows are long and overlap; streamed, a short window follows the sound,
and each frame is taken when at most :data:`AHEAD` frames of its future were heard.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator

import numpy as np

from ..formats import audio

STRIDE = 384
"""Samples between two frames of the encoder: 24 ms at 16 kHz."""
CENTRE = 447
"""The sample at the middle of what the encoder's convolutions see for its first frame."""
SUBFRAMES = 2
"""Rows that the network gives for each frame of the encoder: one every 12 ms."""
STEP = STRIDE / SUBFRAMES / audio.RATE
"""Seconds between two rows of the network; row j is at (j - 0.5) x 12 ms."""
BANDS = 40
"""Log-mel bands, of each of two subframes."""
MEL = SUBFRAMES * BANDS

LONG, MARGIN, FADE = 336, 42, 6
"""Frames of an offline window: 8 s, of which 1 s at both ends is only heard; fade at the seams."""
SHORT, HOP, AHEAD = 50, 2, 3
"""Frames of a streamed window (1.2 s), between two of them, and of the most future that one hears."""

_SPEECH_LEVEL = 0.1  # root mean square that loud syllables are brought to: -20 dB of full scale
_MOST_GAIN = 30.0  # noise of a silent recording is not blown up further than this


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
    return ((bands + 1.0) / 4.0).astype(np.float32).reshape(-1, MEL)


def powers(sound: np.ndarray) -> np.ndarray:
    """Return the mean squares of a sound's pieces of 24 ms, a shorter one at the end left out."""
    whole = len(sound) // STRIDE * STRIDE
    return np.asarray((sound[:whole].astype(np.float64) ** 2).reshape(-1, STRIDE).mean(axis=1))


def gain_of(squares: np.ndarray) -> float:
    """Return the factor that brings loud syllables to the level the networks know.

    Parameters
    ----------
    squares
        Mean squares (n,) of 24 ms pieces.
    """
    if not len(squares):
        return 1.0
    loud = math.sqrt(float(np.percentile(squares, 97)))
    return min(_MOST_GAIN, _SPEECH_LEVEL / max(loud, 1e-9))


def windows(
    blocks: Iterable[np.ndarray], frames: int, gain: float
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index of the first frame, samples) of the long windows that cover frames 0 to `frames`.

    Windows overlap by two margins; beyond the sound's ends there is silence.
    """
    length = min(LONG, frames + 2 * MARGIN)
    size, hop = window_samples(length), (length - 2 * MARGIN) * STRIDE
    buffer = np.zeros(CENTRE + MARGIN * STRIDE, np.float32)
    stream = iter(blocks)
    for start in range(-MARGIN, frames - MARGIN, length - 2 * MARGIN):
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
