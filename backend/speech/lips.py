"""Lips that meet: what m, b, p and f, v ask of the weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..formats.expressions import INDEX

CLOSING, OPENING = 0.060, 0.050
"""Seconds that lips take to meet and to part."""

_JAW_MET = (0.10, 0.07)  # the most that the jaw is open while lips meet, and while lip meets teeth
# Half a millimetre of pressure between lips that meet; more runs them into each other.
_PRESSED = {"mouthPress": 0.10, "mouthRollLower": 0.06, "mouthRollUpper": 0.05}


class Closure(NamedTuple):
    """An interval in seconds during which lips touch each other, or the lower one the teeth."""

    start: float
    end: float
    bilabial: bool


def contact(times: np.ndarray, closure: Closure) -> np.ndarray:
    """Return how far lips have met, (T,) in [0, 1]: 1 through the closure, raised cosines beside it."""
    before = np.clip((times - closure.start) / CLOSING + 1, 0, 1)
    after = np.clip((closure.end - times) / OPENING + 1, 0, 1)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.minimum(before, after)))


def meet(weights: np.ndarray, contact: np.ndarray) -> None:
    """Bring lips together, and lip and teeth, as far as `contact` says; changes the weights in place.

    Parameters
    ----------
    weights
        ARKit weights (T, 52).
    contact
        (T, 2) in [0, 1]: lips to lips, lower lip to upper teeth. Lips win where both are asked for.
    """
    bilabial = contact[:, 0]
    labiodental = contact[:, 1] * (1 - bilabial)
    jaw = weights[:, INDEX["jawOpen"]]
    for met, most in zip((labiodental, bilabial), _JAW_MET[::-1], strict=True):
        jaw += met * (np.minimum(jaw, most) - jaw)
    parting = 1 - bilabial
    for name in ("mouthFunnel", "mouthShrugUpper", "tongueOut"):
        weights[:, INDEX[name]] *= parting
    weights[:, INDEX["mouthFunnel"]] *= 1 - 0.8 * labiodental
    for column in _sides("mouthUpperUp"):
        weights[:, column] *= parting
        np.maximum(weights[:, column], 0.18 * labiodental, out=weights[:, column])
    for column in _sides("mouthLowerDown"):
        weights[:, column] *= parting * (1 - labiodental)
    for column in (*_sides("mouthStretch"), *_sides("mouthSmile")):
        weights[:, column] *= 1 - 0.5 * bilabial
    for name, least in _PRESSED.items():
        for column in _sides(name):
            weights[:, column] += bilabial * (least - weights[:, column])
    lower = weights[:, INDEX["mouthRollLower"]]
    np.maximum(lower, 0.42 * labiodental, out=lower)
    # mouthClose closes the lips over an open jaw: it undoes exactly what the jaw does.
    close = weights[:, INDEX["mouthClose"]]
    close += bilabial * (jaw - close)
    np.minimum(close, jaw, out=close)


def _sides(name: str) -> tuple[int, ...]:
    """Return the columns of an expression: one, or those of both sides."""
    return tuple(INDEX[n] for n in (name, f"{name}Left", f"{name}Right") if n in INDEX)
