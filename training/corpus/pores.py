"""Pores: pits of their own place, width and depth, drawn out along the skin's tension lines."""

from __future__ import annotations

import functools

import numpy as np

from .chart import Chart
from .habit import Habit
from .tension import skin_tension

SITES = 330
"""Places along each side of the tile where a pore may lie: about 0.9 mm apart on the average face."""

REGIONS: dict[str, tuple[float, float, float]] = {
    "nose": (0.95, 1.35, 1.0),
    "cheeks": (0.75, 1.0, 1.7),
    "forehead": (0.6, 0.8, 1.4),
    "chin": (0.7, 0.95, 1.2),
    "eyelids": (0.12, 0.5, 1.2),
    "lips": (0.0, 0.5, 1.0),
}
"""Share of the sites taken, size, and length over width, by region (sebaceous skin has the widest
pores: Uhoda et al. 2005; Flament et al. 2015)."""

_ELSEWHERE = (0.35, 0.7, 1.3)


def pores(rng: np.random.Generator, skin: Chart, habit: Habit) -> np.ndarray:
    """Return the pores of one detail seed (N,) float32 mm: 0.1 to 0.3 mm wide, 0.02 to 0.08 mm deep.

    A pore narrower than a texel is drawn as wide as one with the same volume, so that a coarse map
    is the mean of a fine one.
    """
    size = skin.resolution
    column, row = (
        ((axis.ravel() + rng.uniform(0.05, 0.95, axis.size)) * size / SITES)
        for axis in np.meshgrid(np.arange(SITES), np.arange(SITES))
    )
    lot, wide, deep = rng.random((3, SITES * SITES))
    at = skin.index[row.astype(np.int64), column.astype(np.int64)]
    share, region, longer = _regions(skin)[:, np.maximum(at, 0)]
    own = (at >= 0) & (lot < share)
    at, row, column = at[own], row[own], column[own]
    big = (0.7 + 0.6 * wide[own]) * region[own] * (0.7 + 0.6 * habit["pore_size"])
    depth = (0.018 + 0.05 * deep[own] ** 2) * big
    texel = skin.texel_mm[at]
    # Half-axes in texels; a Gaussian of sigma is about 3 sigma wide to the eye.
    short = 0.055 * big / texel
    long = short * longer[own]
    angle = -skin_tension(skin)[at]  # rows run downwards
    broad_short, broad_long = np.hypot(short, 0.4), np.hypot(long, 0.4)
    depth = depth * short * long / (broad_short * broad_long)
    reach = int(np.ceil(2.5 * np.percentile(broad_long, 99)))
    out = np.zeros(size * size, np.float32)
    cosine, sine = np.cos(angle), np.sin(angle)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            r, c = row.astype(np.int64) + dy, column.astype(np.int64) + dx
            y, x = r + 0.5 - row, c + 0.5 - column
            along, across = x * cosine + y * sine, y * cosine - x * sine
            pit = depth * np.exp(-0.5 * ((along / broad_long) ** 2 + (across / broad_short) ** 2))
            on = (r >= 0) & (r < size) & (c >= 0) & (c < size)
            np.subtract.at(out, r[on] * size + c[on], pit[on].astype(np.float32))
    return out[skin.texels]


@functools.lru_cache(maxsize=6)
def _regions(skin: Chart) -> np.ndarray:
    """Return share, size and elongation (3, N): a mean of the regions' by their soft weights."""
    total = np.full(len(skin.texels), 0.15, np.float32)
    mix = 0.15 * np.array(_ELSEWHERE, np.float32)[:, None] * np.ones_like(total)
    for name, values in REGIONS.items():
        weight = skin.groups[name]
        mix += weight * np.array(values, np.float32)[:, None]
        total += weight
    return mix / total
