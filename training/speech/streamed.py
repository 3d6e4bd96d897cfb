"""Sound as a stream hears it, for a network that shall play both files and streams."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...backend.speech.features import (
    AHEAD,
    HOP,
    SHORT,
    STRIDE,
    window_frames,
    window_samples,
)

BATCH = 16
"""Short windows that the encoder hears at once."""


def encode_streamed(encoder: Callable[[np.ndarray], np.ndarray], window: np.ndarray) -> np.ndarray:
    """Return the features (F, width) of a window as a stream hears them, silence ahead of it.

    Parameters
    ----------
    encoder
        From windows of sound (B, samples) to features (B, F, width).
    """
    frames = window_frames(len(window))
    padded = np.pad(window, ((SHORT - 1) * STRIDE, (AHEAD + HOP) * STRIDE))
    size = window_samples(SHORT)
    pieces = [padded[(at + AHEAD) * STRIDE :][:size] for at in range(0, frames, HOP)]
    first = SHORT - 1 - AHEAD
    features: list[np.ndarray] = []
    for at in range(0, len(pieces), BATCH):
        features.extend(encoder(np.stack(pieces[at : at + BATCH]))[:, first : first + HOP])
    return np.concatenate(features)[:frames]
