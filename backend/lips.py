"""Lips that meet: what m, b, p and f, v ask of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

PARTING = {"mouthFunnel": 1.0, "mouthUpperUp": 1.0, "mouthLowerDown": 1.0, "tongueOut": 1.0}
"""Weights that part lips which the jaw has closed."""

_JAW_MET = {True: 0.10, False: 0.07}  # the most that the jaw is open in a bilabial, a labiodental
# Half a millimetre of pressure between lips that meet; more runs them into each other.
_PRESSED = {"mouthPress": 0.10, "mouthRollLower": 0.06, "mouthRollUpper": 0.05}
_CLOSING, _OPENING = 0.060, 0.050  # seconds; lips close a little slower than they part


class Closure(NamedTuple):
    """An interval in seconds during which lips touch each other, or the lower one the teeth."""

    start: float
    end: float
    bilabial: bool


def contact(times: np.ndarray, closure: Closure) -> np.ndarray:
    """Return how far lips have met, (T,) in [0, 1]: 1 through the closure, raised cosines beside it."""
    before = np.clip((times - closure.start) / _CLOSING + 1, 0, 1)
    after = np.clip((closure.end - times) / _OPENING + 1, 0, 1)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.minimum(before, after)))


def touch(
    columns: Mapping[str, np.ndarray], times: np.ndarray, closure: Closure, strength: float = 1.0
) -> None:
    """Make lips, or lip and teeth, meet through a closure; changes the columns in place.

    Parameters
    ----------
    columns
        Weights (T,) by name without Left and Right, views that are written to.
    times
        Seconds (T,).
    strength
        How far they come together, 0 to 1; below 1 for a touch that is not certain.
    """
    envelope = strength * contact(times, closure)
    near = np.flatnonzero(envelope)
    if not len(near):
        return
    at = slice(near[0], near[-1] + 1)
    e = envelope[at]
    jaw = columns["jawOpen"][at]
    jaw += e * (np.minimum(jaw, _JAW_MET[closure.bilabial]) - jaw)
    if closure.bilabial:
        for name in PARTING:
            columns[name][at] *= 1 - e
        columns["mouthStretch"][at] *= 1 - 0.5 * e
        # mouthClose closes the lips over an open jaw: it undoes exactly what the jaw does.
        for name, weight in {"mouthClose": jaw, **_PRESSED}.items():
            column = columns[name][at]
            column += e * (weight - column)
    else:
        columns["mouthLowerDown"][at] *= 1 - e
        columns["mouthFunnel"][at] *= 1 - 0.8 * e
        for name, least in (("mouthRollLower", 0.42), ("mouthUpperUp", 0.18)):
            np.maximum(columns[name][at], e * least, out=columns[name][at])
