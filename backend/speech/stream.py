"""Speech as it comes: sound in pieces of any size in, frames of weights out, at a fixed delay.

A short window follows the sound, two frames (48 ms) at a time. The delay of the algorithm, from the
end of the sound that a frame needs to the frame's own time, is at most :func:`delay`.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from ..formats.audio import RATE
from ..formats.expressions import EXPRESSIONS
from ..formats.weights import Weights
from ..liveliness import liveliness
from ..liveliness.performance import Life
from . import features
from .decoder import Decoding, Framing
from .encoder import SpeechEncoder

_LISTENED = 800  # pieces of 24 ms over which the level is measured: 19 s
_USUAL = 0.1  # root mean square that a stream is taken to have before it was heard
_DOWN, _UP = 1.15, 1.02  # the most by which the gain falls and rises in 48 ms


class Stream:
    """One performance of a stream; :meth:`.speech_model.SpeechModel.stream` begins it.

    Parameters
    ----------
    encoder
        Of sound.
    decoding
        A performance of the network that begins.
    fps
        Frames per second.
    life
        What moves around the mouth.
    """

    def __init__(self, encoder: SpeechEncoder, decoding: Decoding, fps: float, life: Life) -> None:
        self._encoder, self._decoding, self._fps = encoder, decoding, fps
        self._framing = Framing(fps)
        self._liveliness = liveliness.Liveliness(fps, life)
        # Silence ahead of the first frame, whose centre is the first sample.
        ahead = (features.SHORT - 1 - features.AHEAD) * features.STRIDE + features.CENTRE
        self._sound = np.zeros(ahead, np.float32)
        self._samples = 0
        self._level: deque[float] = deque([_USUAL**2] * 20, maxlen=_LISTENED)
        self._gain = 1.0
        self._given = 0
        self._mouth: list[np.ndarray] = [np.zeros((0, len(EXPRESSIONS)), np.float32)]
        self._around: list[tuple[np.ndarray, np.ndarray]] = []

    def push(self, samples: np.ndarray) -> Weights:
        """Return the frames that these samples, float32 (n,) mono at 16 kHz, complete; perhaps none.

        Frame k of all that come is at k / fps seconds of the stream.
        """
        self._samples += len(samples)
        self._around.append(self._liveliness.push(samples))
        self._hear(samples)
        return self._give(None)

    def finish(self) -> Weights:
        """Return the frames up to the end of the stream, at least one in all."""
        count = max(1, round(self._samples / RATE * self._fps))
        self._hear(
            np.zeros(round(delay(self._decoding.future) * RATE) + features.STRIDE, np.float32)
        )
        self._mouth.append(self._framing.finish(count))
        self._around.append(self._liveliness.finish(count))
        return self._give(count)

    def _hear(self, samples: np.ndarray) -> None:
        """Work off all whole windows that the samples complete."""
        self._sound = np.concatenate([self._sound, np.asarray(samples, np.float32)])
        size, hop = features.window_samples(features.SHORT), features.HOP * features.STRIDE
        first = features.SHORT - 1 - features.AHEAD
        here = slice(first, first + features.HOP)
        # Log-mel needs the sound around these frames only.
        near = slice((first - 1) * features.STRIDE, None)
        while len(self._sound) >= size:
            raw = self._sound[:size]
            self._level.extend(features.powers(raw[-hop:]))
            gain = features.gain_of(np.array(self._level))
            self._gain = float(np.clip(gain, self._gain / _DOWN, self._gain * _UP))
            window = np.clip(raw * np.float32(self._gain), -1.0, 1.0)
            encoded = self._encoder(window[None])[0][here]
            mel = features.log_mel(window[near])[1 : 1 + features.HOP]
            self._mouth.append(self._framing.push(self._decoding.push(encoded, mel)))
            self._sound = self._sound[hop:]

    def _give(self, count: int | None) -> Weights:
        """Return the frames that mouth and life both have."""
        mouth = np.concatenate(self._mouth)
        values, head = (np.concatenate(part) for part in zip(*self._around, strict=True))
        ready = min(len(mouth), len(values))
        if count is not None:
            ready = min(ready, count - self._given)
        self._given += ready
        self._mouth, self._around = [mouth[ready:]], [(values[ready:], head[ready:])]
        frames = np.clip(mouth[:ready] + values[:ready], 0.0, 1.0)
        return Weights(frames, self._fps, head[:ready])


def delay(future: int) -> float:
    """Return the longest that a frame waits for sound, in seconds, whatever the frame rate.

    `future` is how many frames of 24 ms the network knows ahead (:class:`.decoder.DecoderSizes`).

    A frame of the weights lies up to a row before the next row, which is smoothed with two more; the
    last of them comes with a frame of the network up to half a row later. That one needs the
    features of the next frames, and those the sound that the encoder's convolutions see there.
    """
    frames = features.AHEAD + future
    field = features.window_samples(1) - features.CENTRE
    return (frames * features.STRIDE + field) / RATE + 3.5 * features.STEP
