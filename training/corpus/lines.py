"""Whether furrows belong to the skin: the same lines at every strength, others in everybody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from scipy import ndimage

from ...backend.formats.expressions import FACESCAPE_PRESETS, vector
from ...backend.formats.identity import Identity
from ...backend.head.bilinear import Head
from .bands import BandFilter
from .chart import chart
from .compose import Skin

FOLDING = ("brow-raiser", "brow-lower", "smile", "lip-puckerer", "anger", "grin")
"""Expressions whose furrows the figures on lines are taken from."""

LINES_MM = (1.0, 8.0)
"""Wavelengths that furrows are looked for in."""

NOTICEABLE_MM = 0.01
"""A smaller change from rest than this is not noticed, and not compared."""

FRAMES = 60
"""Frames of a ramp, from rest to full strength."""

COMPARED = 10
"""Strengths of a ramp at which the places of valleys are compared."""

VALLEY_MM = 0.35
"""Sigma at which valleys are located."""


Draw = Callable[[np.ndarray], np.ndarray]
"""From weights (52,) to a map (R, R) mm."""

Maps = Callable[[Identity], Draw]
"""A person's maps."""

Changes = dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]
"""By expression and number of the person: furrows at 0.6 and at full strength."""


def line_changes(
    head: Head, people: list[Identity], resolution: int, maps: Maps | None = None
) -> Changes:
    """Return the change from rest at 1 to 8 mm, by texel of the skin (N,), for FOLDING expressions.

    Parameters
    ----------
    maps
        Whose maps are looked at; the corpus' own if None.
    """
    take = BandFilter(chart(head, resolution))
    changes = {}
    for number, person in enumerate(people):
        draw = maps(person) if maps else Skin(head, person, resolution).map
        rest = draw(np.zeros(52, np.float32))
        for name in FOLDING:
            weights = vector(FACESCAPE_PRESETS[name])
            half, full = (take(draw(x * weights) - rest, *LINES_MM) for x in (0.6, 1.0))
            changes[name, number] = half, full
    return changes


def line_correlations(changes: Changes) -> tuple[float, float]:
    """Return mean correlations of furrows: of one person at two strengths, and of two people at one.

    Changes are compared where they are noticeable.
    """
    same = [correlation(half, full) for half, full in changes.values()]
    other = [
        correlation(changes[one][1], changes[two][1])
        for one, two in combinations(changes, 2)
        if one[0] == two[0]
    ]
    return float(np.mean(same)), float(np.mean(other))


def correlation(one: np.ndarray, two: np.ndarray) -> float:
    """Return the correlation of two changes (N,) mm where either is noticeable, 0 if hardly anything is."""
    noticeable = (np.abs(one) > NOTICEABLE_MM) | (np.abs(two) > NOTICEABLE_MM)
    return (
        float(np.corrcoef(one[noticeable], two[noticeable])[0, 1]) if noticeable.sum() > 10 else 0.0
    )


@dataclass(frozen=True)
class Ramp:
    """How maps behave while an expression grows evenly from 0 to 1 over FRAMES frames.

    Attributes
    ----------
    largest_step_um
        Largest change of any texel from one frame to the next.
    step_ratio
        Largest over mean change between neighbouring frames, RMS over the skin: a map that pops has
        one step much larger than the others.
    correlation
        Least correlation of the furrows of neighbouring compared strengths.
    shift_mm
        How far valleys lie from where they end, 95th percentile over valleys and strengths.
    """

    largest_step_um: float
    step_ratio: float
    correlation: float
    shift_mm: float


def ramp(skin: Skin, weights: np.ndarray) -> Ramp:
    """Return the figures of one person's ramp to `weights` (52,)."""
    rest = before = skin.map(np.zeros(52, np.float32))
    largest, steps, changes = 0.0, [], []
    for frame in range(1, FRAMES):
        image = skin.map(np.float32(frame / (FRAMES - 1)) * weights)
        step = (image - before).ravel()[skin.chart.texels]
        largest = max(largest, float(np.abs(step).max()))
        steps.append(float(np.sqrt(np.mean(step**2))))
        if frame * COMPARED // (FRAMES - 1) > (frame - 1) * COMPARED // (FRAMES - 1):
            changes.append(image - rest)
        before = image
    take = BandFilter(skin.chart)
    lines = [take(change, *LINES_MM) for change in changes]
    visible = [line for line in lines if (np.abs(line) > NOTICEABLE_MM).sum() > 100]
    return Ramp(
        largest_step_um=1000.0 * largest,
        step_ratio=max(steps) / float(np.mean(steps)),
        correlation=min(correlation(a, b) for a, b in pairwise(visible)),
        shift_mm=_shift(changes, skin),
    )


def _shift(changes: list[np.ndarray], skin: Skin) -> float:
    """Return the 95th percentile of distances in mm between valleys and their places in the last map.

    Valleys are located to parts of a texel, as Steger (1998) locates curved lines: where the slope
    across the line is zero. A valley is compared where it is at least a fifth as sharp as in the end.
    """
    texel_mm = float(np.median(skin.chart.texel_mm))
    sigma = max(VALLEY_MM / texel_mm, 1.0)  # narrower, a sampled Gaussian has no derivatives
    slope, bend = _derivatives(changes[-1], sigma)
    sharpness, vectors = np.linalg.eigh(bend)
    across, sharp = vectors[..., :, 1], sharpness[..., 1]
    place = -(slope * across).sum(-1) / np.maximum(sharp, 1e-9)
    inside = skin.chart.index >= 0
    floor = np.percentile(sharp[inside & (changes[-1] < -NOTICEABLE_MM)], 75)
    own = inside & (changes[-1] < -NOTICEABLE_MM) & (sharp > floor)
    own &= np.abs(place[..., None] * across).max(-1) <= 0.5
    shifts = []
    for change in changes[:-1]:
        slope, bend = _derivatives(change, sigma)
        n = across[own]
        now = np.einsum("ni,nij,nj->n", n, bend[own], n)
        formed = now > 0.2 * sharp[own]
        moved = -(slope[own] * n).sum(1)[formed] / now[formed] - place[own][formed]
        shifts.append(np.abs(moved) * texel_mm)
    return float(np.percentile(np.concatenate(shifts), 95))


def _derivatives(image: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the slope (R, R, 2) and the second derivatives (R, R, 2, 2) of a blurred map, per texel."""

    def order(rows: int, columns: int) -> np.ndarray:
        return ndimage.gaussian_filter(image, sigma, order=(rows, columns))

    slope = np.stack([order(1, 0), order(0, 1)], -1)
    mixed = order(1, 1)
    bend = np.stack([np.stack([order(2, 0), mixed], -1), np.stack([mixed, order(0, 2)], -1)], -2)
    return slope, bend
