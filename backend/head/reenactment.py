"""Motion of one face on another: the driver's range of each weight becomes the head's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..formats.expressions import EXPRESSIONS
from ..formats.weights import Weights

REST_PERCENTILE, EXTREME_PERCENTILE = 5.0, 99.5
"""Of the frames of a clip. Blinks fill some 3 % of them, a tracker's slips a few single ones."""

LEAST_SPAN = 0.05
"""A weight that moves less is noise around rest, and stays as it is."""

MOST_GAIN = 4.0
"""A weight that a clip hardly uses is not blown up further, since its extreme was not seen."""

_GAZE = np.array([name.startswith("eyeLook") for name in EXPRESSIONS])


def normalised(weights: Weights) -> Weights:
    """Map each weight's range in the clip, from the driver's rest to the extreme, to 0 to 1.

    Faces differ in what they rest at and how far they go, and trackers in what they make of it: one
    driver's brows never leave 0.2, another one's lids shut at 0.7. PVP (Lin et al. 2023) therefore
    normalises a driver before reenactment, by mean and standard deviation; those of a weight that
    rests most of the time say little, so percentiles are taken here. Weights that never move stay as
    they are, and so do eyeLook*, for where an actor looks is what is played and not how far he can.
    The head turns from the middle of its angles on: a phone that stood low saw it look up all along.

    Parameters
    ----------
    weights
        A clip that shows the driver at rest and in full expression; the longer, the better.

    Returns
    -------
    Weights
        The same frames, values in [0, 1]; each angle of the head less its median.
    """
    low, high = np.percentile(weights.values, (REST_PERCENTILE, EXTREME_PERCENTILE), axis=0)
    span = high - low
    stretched = (weights.values - low) * np.minimum(1.0 / np.maximum(span, LEAST_SPAN), MOST_GAIN)
    values = np.where((span < LEAST_SPAN) | _GAZE, weights.values, stretched)
    head = weights.head
    if head is not None:
        head = (head - np.median(head, axis=0)).astype(np.float32)
    return replace(weights, values=np.clip(values, 0.0, 1.0).astype(np.float32), head=head)
