"""From speech features to rows of weights, frame after frame, with bounded memory.

The listener hears 62 frames of the past and two of the future; the decoder remembers its last
seconds as a cache of keys and values. So features may come in chunks of any size, and the rows are
the same: the time is linear in the length and the memory does not grow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime

from ..formats.expressions import EXPRESSIONS
from ..liveliness.performance import Style
from . import lips
from .features import MEL, STEP, SUBFRAMES

ROW = len(EXPRESSIONS) + 2
"""Numbers in a row: weights, probability that lips meet, probability that lip meets teeth."""
_NEVER = -1e4  # bias of what cannot be attended to
_TOUCH = (0.1, 0.8)  # probabilities from which on lips begin to meet, and meet for sure
# Rows of 12 ms: what is faster than 8 Hz in a mouth is hardly ever meant.
_SMOOTH = {"weights": (1, 2, 3, 2, 1), "contact": (1, 2, 1)}


@dataclass(frozen=True)
class DecoderSizes:
    """Sizes that ``speech.json`` names, in frames where they are times; `encoded` is the encoder's width."""

    encoded: int
    width: int
    heads: int
    layers: int
    span: int
    near: int
    period: int
    past: int
    future: int


class Decoding:
    """One performance of the speech network: features in, rows out.

    Attributes
    ----------
    future
        How many frames the network knows ahead of the one whose rows it gives.
    """

    def __init__(
        self,
        listener: onnxruntime.InferenceSession,
        decoder: onnxruntime.InferenceSession,
        sizes: DecoderSizes,
        style: Style,
    ) -> None:
        self._listener, self._decoder, self._sizes = listener, decoder, sizes
        self.future = sizes.future
        # The variant without its own past has no input for it.
        self._inputs = [entry.name for entry in decoder.get_inputs()]
        self._style = style.vector()[None]
        self._encoded = np.zeros((0, sizes.encoded), np.float32)
        self._mel = np.zeros((0, MEL), np.float32)
        self._answered = 0  # frames at the front of the features whose rows were given
        self._memory = np.zeros((sizes.near, sizes.width), np.float32)
        self._previous = np.zeros((1, SUBFRAMES * len(EXPRESSIONS)), np.float32)
        size = (sizes.layers, 1, sizes.heads, sizes.span - 1, sizes.width // sizes.heads)
        self._keys, self._values = np.zeros(size, np.float32), np.zeros(size, np.float32)
        self._number = 0  # of the next frame

    def push(self, encoded: np.ndarray, mel: np.ndarray) -> np.ndarray:
        """Return the rows (2 n, ROW) of all frames whose future is known now.

        Parameters
        ----------
        encoded, mel
            The next frames, (F, encoded) and (F, 80).
        """
        self._encoded = np.concatenate([self._encoded, encoded])
        self._mel = np.concatenate([self._mel, mel])
        ready = len(self._encoded) - self.future
        if ready <= self._answered:
            return np.zeros((0, ROW), np.float32)
        inputs = {"encoded": self._encoded[None], "mel": self._mel[None]}
        memory = self._listener.run(None, inputs)[0][0, self._answered : ready]
        drop = max(0, ready - self._sizes.past)
        self._encoded, self._mel = self._encoded[drop:], self._mel[drop:]
        self._answered = ready - drop
        memory = np.concatenate([self._memory, memory])
        count = len(memory) - self._sizes.near
        rows = [self._step(memory[k : k + self._sizes.near + 1]) for k in range(count)]
        self._memory = memory[count:]
        return np.concatenate(rows)

    def _step(self, near: np.ndarray) -> np.ndarray:
        sizes, number = self._sizes, self._number
        inputs = {
            "near": near[None],
            "near_mask": _mask(sizes.near + 1, number),
            "style": self._style,
            "previous": self._previous,
            "phase": np.array([number % sizes.period]),
            "mask": _mask(sizes.span, number),
            "keys": self._keys,
            "values": self._values,
        }
        rows, self._previous, self._keys, self._values = self._decoder.run(
            None, {name: inputs[name] for name in self._inputs}
        )
        self._number += 1
        return np.asarray(rows[0])


class Framing:
    """Rows every 12 ms to frames at a rate: smoothed, interpolated, and with lips that meet.

    A closure shorter than a frame is stretched so that a frame shows it.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._reach = min(STEP, max(0.0, 0.5 / fps - 0.5 * STEP))  # seconds
        self._rows = np.zeros((0, ROW), np.float32)
        self._first = 0  # number of the first row that is kept
        self._frame = 0  # number of the next frame

    def push(self, rows: np.ndarray) -> np.ndarray:
        """Return the weights float32 (n, 52) of the frames that these rows (R, ROW) complete."""
        self._rows = np.concatenate([self._rows, rows])
        # Row j is at (j - 0.5) STEP; two rows more are needed to smooth weights, one for contact.
        end = (self._first + len(self._rows) - 1.5) * STEP
        last = min(end - 2 * STEP, end - STEP - self._reach)
        return self._frames(max(self._frame, int(np.floor(last * self._fps)) + 1))

    def finish(self, count: int) -> np.ndarray:
        """Return the frames up to number `count`, the last row held."""
        return self._frames(count)

    def _frames(self, until: int) -> np.ndarray:
        if until <= self._frame or not len(self._rows):
            return np.zeros((0, len(EXPRESSIONS)), np.float32)
        times = np.arange(self._frame, until) / self._fps
        at = (self._first + np.arange(len(self._rows)) - 0.5) * STEP
        smooth = _smoothed(self._rows[:, : len(EXPRESSIONS)], _SMOOTH["weights"])
        weights = np.stack([np.interp(times, at, c) for c in smooth.T], axis=1)
        low, sure = _TOUCH
        met = np.clip((self._rows[:, len(EXPRESSIONS) :] - low) / (sure - low), 0, 1)
        met = _smoothed(met * met * (3 - 2 * met), _SMOOTH["contact"])
        near = [
            np.stack([np.interp(times + shift, at, c) for c in met.T], axis=1)
            for shift in np.unique([-self._reach, 0.0, self._reach])
        ]
        lips.meet(weights, np.max(near, axis=0))
        self._frame = until
        # What the next frame still reaches back to stays.
        keep = int(np.floor((until / self._fps - self._reach) / STEP)) - 4 - self._first
        if keep > 0:
            keep = min(keep, len(self._rows) - 1)
            self._rows, self._first = self._rows[keep:], self._first + keep
        return np.clip(weights, 0.0, 1.0).astype(np.float32)


def _smoothed(rows: np.ndarray, kernel: tuple[int, ...]) -> np.ndarray:
    """Return rows (R, C) under a kernel, their ends held."""
    reach = len(kernel) // 2
    padded = np.pad(rows, ((reach, reach), (0, 0)), mode="edge")
    shares = np.array(kernel) / sum(kernel)
    return np.asarray(
        sum(share * padded[k : k + len(rows)] for k, share in enumerate(shares)), np.float32
    )


def _mask(size: int, number: int) -> np.ndarray:
    """Return 0 for the last `size` frames up to `number`, and the bias of nothing before frame 0."""
    there = np.arange(1 - size, 1) + number >= 0
    return np.where(there, 0.0, _NEVER).astype(np.float32)
