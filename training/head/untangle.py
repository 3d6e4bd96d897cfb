"""Expressions whose skin does not pass through itself: lips that stay shut meet, folds are smoothed."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ...backend.formats.expressions import EXPRESSIONS
from ...backend.head.contact import Closing
from .intersections import crossing_triangles

SHUT = (
    "mouthShrugLower",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthDimpleLeft",
    "mouthDimpleRight",
)
"""With these alone the mouth stays shut; the scans' lips pass through each other."""
STRENGTH = {"mouthShrugLower": 0.8}
"""Of what is too strong to be drawn without crossings."""

ROUNDS = 24
GROW = 2
"""Rings of vertices around a crossing that are smoothed with it."""


def untangle(
    rest: np.ndarray, offsets: np.ndarray, triangles: np.ndarray, looked_at: np.ndarray
) -> tuple[np.ndarray, int, int]:
    """Smooth one expression's offsets until nothing crosses, or no round helps any more.

    Parameters
    ----------
    rest, offsets
        (V, 3) metres.
    triangles
        int (T, 3) of the surface.
    looked_at
        bool (T,): triangles whose crossings count; rims that meet are left out.

    Returns
    -------
    The offsets, and how many triangles crossed before and after.
    """
    count = len(rest)
    edges = np.unique(np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    near = sp.coo_matrix((np.ones(len(edges)), edges.T), (count, count))
    near = (near + near.T).tocsr()
    mean = sp.diags(1.0 / np.maximum(np.asarray(near.sum(1)).ravel(), 1.0)) @ near
    best, before, least = offsets, -1, np.inf
    current = offsets.copy()
    for _ in range(ROUNDS):
        crossing = crossing_triangles(rest + current, triangles)
        crossing = crossing[looked_at[crossing]]
        if before < 0:
            before = len(crossing)
        if len(crossing) < least:
            best, least = current.copy(), len(crossing)
        if not len(crossing):
            break
        share = np.zeros(count)
        share[triangles[crossing]] = 1.0
        for _ in range(GROW):
            share = np.maximum(share, 0.6 * (mean @ share > 0))
        for _ in range(3):
            current += share[:, None] * 0.6 * (mean @ current - current)
    return best, before, int(least)


def repair_units(
    rest: np.ndarray, units: np.ndarray, triangles: np.ndarray, skin: np.ndarray, lips: Closing
) -> np.ndarray:
    """The average's expressions (52, V, 3) with shut lips that meet and as few crossings as can be.

    Parameters
    ----------
    rest
        (V, 3) metres, lips touching.
    skin
        bool (T,): triangles of visible skin that no rim is part of.
    """
    result = units.copy()
    for i, name in enumerate(EXPRESSIONS):
        if not name.startswith(("mouth", "eyeBlink")) or name == "mouthClose":
            continue
        result[i] *= STRENGTH.get(name, 1.0)
        if name in SHUT:
            result[i] = lips(rest + result[i]) - rest
        result[i] = untangle(rest, result[i], triangles, skin)[0]
    return result
