"""Expressions that a basis of wrinkles is fitted to and compared with; the same in every process."""

from __future__ import annotations

import numpy as np

from ..formats.expressions import EXPRESSIONS, INDEX, mirrored

MIXTURES = 2500
SPARSE = 1300
"""Of the samples to fit to, besides the single shapes."""

_LEVELS = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Of every single shape."""

_FIT_SEED, _HELD_OUT_SEED = 0, 1


def to_fit() -> np.ndarray:
    """Return float32 (N, 52): neutral, single shapes, mixtures of all strengths."""
    # RandomState, since NumPy promises its stream for ever: a head stays what it was.
    random = np.random.RandomState(_FIT_SEED)
    singles = [level * np.eye(len(EXPRESSIONS), dtype=np.float32) for level in _LEVELS]
    neutral = np.zeros((1, len(EXPRESSIONS)), np.float32)
    sparse = strong_mixtures(random, SPARSE, 0.1, 0.3)
    return np.concatenate([neutral, *singles, mixtures(random, MIXTURES, 1.0), sparse])


def held_out(count: int) -> dict[str, np.ndarray]:
    """Return expressions that are not fitted to, float32 (count, 52) each.

    ``speech``: mixtures of mostly weak shapes, as in speech; ``strong``: a third of all shapes at
    once at random strengths, more than a face does.
    """
    random = np.random.RandomState(_HELD_OUT_SEED)
    return {
        "speech": mixtures(random, count, 0.7),
        "strong": strong_mixtures(random, count, 0.3, 0.3),
    }


def mixtures(random: np.random.RandomState, count: int, strongest: float) -> np.ndarray:
    """Return (count, 52) mixtures in [0, 1], three quarters of them nearly the same on both sides.

    Each has its own share of active shapes (3 to 50 %), its strength, and its preference for weak
    shapes.
    """
    share = random.uniform(0.03, 0.5, (count, 1))
    strength = random.uniform(0.1, 1.0, (count, 1)) * strongest
    power = random.uniform(1.0, 3.0, (count, 1))
    size = (count, len(EXPRESSIONS))
    values = (random.random_sample(size) < share) * random.random_sample(size) ** power * strength
    partner = np.array([INDEX[mirrored(name)] for name in EXPRESSIONS])
    alike = values[:, partner] * random.uniform(0.8, 1.2, size)
    follows = partner < np.arange(len(EXPRESSIONS))
    even = random.random_sample((count, 1)) < 0.75
    values = np.where(follows & even, alike, values)
    return np.clip(values, 0.0, 1.0).astype(np.float32)


def strong_mixtures(
    random: np.random.RandomState, count: int, least: float, most: float
) -> np.ndarray:
    """Return (count, 52): a share of the shapes, `least` to `most`, each at any strength."""
    size = (count, len(EXPRESSIONS))
    active = random.random_sample(size) < random.uniform(least, most, (count, 1))
    return (active * random.random_sample(size)).astype(np.float32)
