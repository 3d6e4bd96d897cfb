"""Moles and scars: a few places, which some people have and most do not."""

from __future__ import annotations

import functools

import numpy as np

from .chart import Chart, smoothstep
from .furrow_shapes import SCAR
from .furrows import Stroke
from .habit import Habit

MOLES = 26
"""Places for moles; a person has about one or two."""

SCARS: tuple[tuple[float, float, float, float], ...] = (
    (17.0, 226.0, 0.5, 17.0),
    (-33.0, 212.0, 1.2, 13.0),
    (-54.0, 158.0, -0.7, 20.0),
    (49.0, 131.0, -0.3, 15.0),
    (12.0, 92.0, 0.2, 12.0),
    (-9.0, 129.0, 1.4, 8.0),
    (62.0, 178.0, 0.9, 11.0),
)
"""Middle (s, z) in mm, angle in radians and length in mm of the places for scars, where falls and
cuts leave them: brows, forehead, cheekbones, chin, upper lip."""

_TURNS = 1.2
"""Radians by which a coefficient may move a presence over its range, r.m.s."""


def _presence(habit: Habit) -> np.ndarray:
    """Return how far each mole, then each scar, is there: 0 in most people, a smooth function of the skin."""
    return smoothstep(0.955, 0.995, habit.choice(22, MOLES + len(SCARS), _TURNS, 0.2))


@functools.lru_cache(maxsize=1)
def _mole_places() -> np.ndarray:
    """Return (MOLES, 4): s, z in mm as shares of the face's half-width and height, radius, height."""
    rng = np.random.default_rng(23)
    return np.stack(
        [
            rng.uniform(-1, 1, MOLES),
            rng.uniform(0, 1, MOLES),
            rng.uniform(0.9, 2.0, MOLES),
            rng.uniform(0.25, 0.7, MOLES),
        ],
        1,
    )


def moles(skin: Chart, habit: Habit) -> np.ndarray:
    """Return raised moles (N,) float32 mm: domes 2 to 5 mm across and up to 0.7 mm high."""
    out = np.zeros(len(skin.texels), np.float32)
    low, high = skin.marks["chin"][1] - 8.0, skin.marks["hairline"][1] - 6.0
    for (across, up, radius, height), there in zip(
        _mole_places(), _presence(habit)[:MOLES], strict=True
    ):
        if there == 0:
            continue
        centre = skin.place(np.array([[82.0 * across, low + (high - low) * up]]))[0, :3]
        if not np.isfinite(centre).all():
            continue
        square = ((skin.position - centre.astype(np.float32)) ** 2).sum(1) / radius**2
        # Steeper than a Gaussian at the rim, flat on top.
        out += np.float32(there * height) * np.exp(-0.5 * square * square).astype(np.float32)
    # None on lids, lips or nostrils' rims, where they would be a deformity.
    bare = 1.0 - np.clip(skin.groups["lips"] + skin.groups["eyelids"], 0.0, 1.0)
    return out * bare


def scars(habit: Habit) -> list[Stroke]:
    """Return healed cuts: shallow smooth grooves, the same under every expression."""
    strokes = []
    rng = np.random.default_rng(24)
    for place, there in zip(SCARS, _presence(habit)[MOLES:], strict=True):
        waves, depth = rng.uniform(-1, 1, 4), rng.uniform(0.14, 0.3)
        if there == 0:
            continue
        s, z, angle, length = place
        t = np.linspace(-0.5, 0.5, 20) * length
        bend = SCAR.wander(t, waves)
        path = np.stack([s + t * np.cos(angle), z + t * np.sin(angle)], 1)
        path += bend[:, None] * (-np.sin(angle), np.cos(angle))
        strokes.append(SCAR.stroke(path, habit, there * depth))
    return strokes
