"""A person's habit of folding: smooth pseudo-random functions of the skin coefficients.

Two people with like coefficients have like furrows, and a furrow moves continuously as a slider
does: a network can learn that. Nothing here depends on the detail seed.
"""

from __future__ import annotations

import functools
import zlib

import numpy as np

from ...backend.formats.identity import SKIN
from .chart import smoothstep

TURNS = 1.9
"""Radians by which one of a family's own coefficients may move a wave over its range, r.m.s."""

DRIFT = 0.55
"""The same for every other coefficient."""

PERMANENT_AGES = (0.22, 0.95)
"""Values of the coefficient `age`, 33 and 77 years, between which lines become permanent."""


@functools.lru_cache(maxsize=4096)
def _wave(key: str, own: tuple[str, ...], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies (count, 16) and phases (count,), fixed by the name."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    frequency = rng.normal(size=(count, len(SKIN))) * DRIFT
    for name in own:
        frequency[:, SKIN.index(name)] = rng.normal(size=count) * TURNS
    return frequency, rng.uniform(0, 2 * np.pi, count)


@functools.lru_cache(maxsize=8)
def _choice(seed: int, count: int, turns: float, ageing: float) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies (count, 16) and phases (count,), fixed by the seed."""
    rng = np.random.default_rng(seed)
    frequency = rng.normal(size=(count, len(SKIN))) * turns
    frequency[:, SKIN.index("age")] *= ageing
    return frequency, rng.uniform(0, 2 * np.pi, count)


class Habit:
    """The skin coefficients of one identity, by name, and waves over them.

    Parameters
    ----------
    skin
        (16,) in [0, 1], :data:`backend.formats.identity.SKIN`.
    """

    def __init__(self, skin: np.ndarray) -> None:
        self.skin = np.asarray(skin, np.float64)

    def __getitem__(self, name: str) -> float:
        return float(self.skin[SKIN.index(name)])

    @property
    def age(self) -> float:
        """0 at 20 years, 1 at 80."""
        return self["age"]

    @property
    def permanence(self) -> float:
        """Part of permanent lines at rest: none before 35, all of each family's share at 75."""
        return float(smoothstep(*PERMANENT_AGES, self.age))

    @property
    def coarse(self) -> float:
        """Factor on widths: thick or old skin folds in wider furrows."""
        return (0.82 + 0.36 * self["thickness"]) * (0.92 + 0.26 * self.age)

    def scaled(self, name: str, low: float, high: float) -> float:
        """Return a coefficient mapped from [0, 1] to [low, high]."""
        return low + (high - low) * self[name]

    def waves(self, key: str, own: tuple[str, ...], count: int) -> np.ndarray:
        """Return `count` values in [-1, 1] that belong to `key` and follow mainly the coefficients `own`."""
        frequency, phase = _wave(key, own, count)
        return np.sin(frequency @ self.skin + phase)

    def sided(self, key: str, own: tuple[str, ...], count: int, side: int) -> np.ndarray:
        """Return waves of one side of the face, +1 left: common to both, plus its own by asymmetry."""
        mix = 0.3 + 0.6 * self["asymmetry"]
        common = self.waves(key, own, count)
        single = self.waves(f"{key}/{side}", own, count)
        return (1 - mix) * common + mix * single

    def choice(self, seed: int, count: int, turns: float, ageing: float) -> np.ndarray:
        """Return `count` values in [-1, 1] that say which of a stock a person has.

        Parameters
        ----------
        seed
            Of the stock.
        turns
            Radians by which a coefficient may move a value over its range, r.m.s.
        ageing
            Share of that which age has: 0 if ageing does not trade one for another.
        """
        frequency, phase = _choice(seed, count, turns, ageing)
        return np.sin(frequency @ self.skin + phase)
