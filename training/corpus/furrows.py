"""Explicit furrows: one stroke's section, and all strokes of a skin as two sparse matrices.

A map is, per texel, the p-norm of the valleys that reach it plus the sum of their shoulders and
troughs. Everything that depends on the identity alone is in the matrices; an expression only
scales the depth at each sample along the strokes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.ndimage import gaussian_filter1d

from . import muscles
from .chart import Chart, smoothstep
from .strain import Strain

MERGE = 2.5
"""p of the norm that merges valleys: crossing valleys neither add up nor leave a ridge."""

STEP_MM = 1.5
"""Distance between samples along a stroke."""

CELLS = 96
"""Cells of a section's table from the axis to its edge, each side."""


@dataclass(frozen=True)
class Stroke:
    """One furrow.

    Attributes
    ----------
    family
        Key of :data:`muscles.MUSCLES`.
    path
        (n, 2) face coordinates in mm.
    depth
        mm at full excitation, at the deepest place.
    width, reach
        mm: decay of the narrow valley, half-width of the valley as a whole.
    threshold
        Activation at which it begins to form, 0.05 to 0.45.
    rest
        Part of the depth that is there at rest, 0 for young skin.
    taper
        Part of the length over which each end runs out.
    lean
        -1 to 1: where the displaced tissue goes, 1 all to the left of the path's direction.
    trough
        A broad fold that adds to what it crosses, without the narrow valley; negative depth is a ridge.
    half
        "upper" or "lower" confines the stroke to one side of the mouth.
    strength
        (n,) optional factor along the path: where the furrow is weak or broken.
    """

    family: str
    path: np.ndarray
    depth: float
    width: float
    reach: float
    threshold: float
    rest: float = 0.0
    taper: tuple[float, float] = (0.3, 0.3)
    lean: float = 0.0
    trough: bool = False
    half: str = ""
    strength: np.ndarray | None = None


def section(stroke: Stroke, texel_mm: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return a stroke's section at depth 1 as it looks through texels of that size.

    Returns
    -------
    valley, bulge
        (2 CELLS + 1,) over the signed distance from -edge to edge; the valley counts downwards, the
        bulge outwards. Their areas cancel: tissue is displaced, not lost.
    edge
        mm.
    """
    reach = float(np.hypot(stroke.reach, 0.6 * texel_mm))
    edge = 2.8 * reach
    d = np.linspace(-edge, edge, 2 * CELLS + 1)
    if stroke.trough:
        dip = np.exp(-0.5 * (d / (0.62 * reach)) ** 2)
    else:
        window = np.clip(1.0 - (d / (1.5 * reach)) ** 2, 0.0, 1.0) ** 2
        narrow = np.exp(-(np.sqrt(d * d + 0.04) - 0.2) / stroke.width) * window
        dip = 0.62 * narrow + 0.38 * np.exp(-0.5 * (d / (0.55 * reach)) ** 2)
    # A texel shows the mean over its own area; without this thin furrows would shimmer between texels.
    blur = 0.42 * texel_mm / (d[1] - d[0])
    dip = gaussian_filter1d(dip, blur)
    sigma = 0.62 * reach
    shoulders = [np.exp(-0.5 * ((d - side * 1.25 * reach) / sigma) ** 2) for side in (-1, 1)]
    share = np.array([1 - stroke.lean, 1 + stroke.lean]) / 2
    bulge = share[0] * shoulders[0] + share[1] * shoulders[1]
    # The window takes the sections to exactly zero at the edge, where the stroke's texels end.
    fade = smoothstep(1.0, 0.82, np.abs(d) / edge)
    dip, bulge = dip * fade, bulge * fade
    bulge *= dip.sum() / bulge.sum()
    if stroke.trough:
        return np.zeros_like(dip), bulge - dip, edge
    return dip, bulge, edge


@dataclass(frozen=True)
class Furrows:
    """Strokes ready to be excited.

    Attributes
    ----------
    valley, bulge
        (texels, samples) sparse; valley holds sections to the power MERGE.
    depth, rest, threshold
        (samples,).
    pull_squared, press, slack
        (samples, 52): the muscles' gains squared, the mesh's compression times its gain, the stretch.
    family
        (samples,) number into `families`.
    stroke
        (samples,) number of the stroke that a sample belongs to.
    across
        (samples, 3) unit vectors across the strokes, and where they are, `place` (samples, 3) mm.
    """

    valley: sparse.csr_matrix
    bulge: sparse.csr_matrix
    depth: np.ndarray
    rest: np.ndarray
    threshold: np.ndarray
    pull_squared: np.ndarray
    press: np.ndarray
    slack: np.ndarray
    families: tuple[str, ...]
    family: np.ndarray
    stroke: np.ndarray
    place: np.ndarray
    across: np.ndarray

    def depths(self, expression: np.ndarray) -> np.ndarray:
        """Return the depth in mm at every sample, float32 (..., samples), under weights (..., 52)."""
        compressed = (expression @ self.press.T).clip(0.0)
        activation = ((expression * expression) @ self.pull_squared.T + compressed**2) ** 0.5
        formed = muscles.excitation(activation.clip(None, 1.0), self.threshold)
        eased = 1.0 - 0.7 * (expression @ self.slack.T).clip(None, 1.0)
        return self.depth * eased * (self.rest + (1.0 - self.rest) * formed)


def carve(parts: list[tuple[Furrows, np.ndarray]]) -> np.ndarray:
    """Return displacement (..., texels) float32 mm of furrows under their depths (..., samples), merged."""
    valleys = sum((f.valley @ (d.clip(0.0) ** MERGE).T).T for f, d in parts)
    bulges = sum((f.bulge @ d.T).T for f, d in parts)
    return bulges - valleys.clip(0.0) ** (1.0 / MERGE)


def rasterise(strokes: list[Stroke], chart: Chart, strain: Strain) -> Furrows:
    """Return strokes as matrices over the chart's texels; strokes that leave the face are trimmed."""
    sampled = _sample(strokes, chart)
    rows, columns, valleys, bulges = [], [], [], []
    start = 0
    per_sample: dict[str, list[np.ndarray]] = {
        k: [] for k in ("place", "across", "s", "depth", "rest", "threshold", "family", "stroke")
    }
    families = tuple(dict.fromkeys(stroke.family for stroke, _, _ in sampled))
    for number, (stroke, samples, strength) in enumerate(sampled):
        hit, at, valley, bulge, across = _draw(stroke, samples, chart)
        low = np.minimum(at.astype(np.int64), len(samples) - 2)
        part = (at - low).astype(np.float32)
        for step, share in ((0, 1 - part), (1, part)):
            rows.append(hit)
            columns.append(start + low + step)
            valleys.append(share * valley**MERGE)
            bulges.append(share * bulge)
        count = len(samples)
        start += count
        per_sample["place"].append(samples[:, :3])
        per_sample["across"].append(across)
        per_sample["s"].append(samples[:, 8])
        per_sample["depth"].append(stroke.depth * strength)
        per_sample["rest"].append(np.full(count, stroke.rest))
        # Ends form last: a furrow grows from its middle.
        per_sample["threshold"].append(stroke.threshold + 0.2 * (1 - strength.clip(0, 1)))
        per_sample["family"].append(np.full(count, families.index(stroke.family)))
        per_sample["stroke"].append(np.full(count, number))
    row, column = np.concatenate(rows), np.concatenate(columns)
    valley_matrix, bulge_matrix = (
        sparse.csr_matrix(
            (np.concatenate(v).astype(np.float32), (row, column)), (len(chart.texels), start)
        )
        for v in (valleys, bulges)
    )
    value = {name: np.concatenate(arrays) for name, arrays in per_sample.items()}
    return _assemble(strain, families, value, valley_matrix, bulge_matrix)


def _assemble(
    strain: Strain,
    families: tuple[str, ...],
    value: dict[str, np.ndarray],
    valley: sparse.csr_matrix,
    bulge: sparse.csr_matrix,
) -> Furrows:
    """Add what each expression does at every sample; `value` holds arrays (samples, ...) by name."""
    count = len(value["s"])
    family = value["family"].astype(np.int64)
    pull = np.zeros((count, 52), np.float32)
    slack = np.zeros((count, 52), np.float32)
    mesh = np.zeros(count, np.float32)
    for i, name in enumerate(families):
        own = family == i
        pull[own] = muscles.pull(name, value["s"][own])
        slack[own] = muscles.slack(name, value["s"][own])
        mesh[own] = muscles.MUSCLES[name].mesh
    press = np.zeros((count, 52), np.float32)
    trusted = mesh > 0
    press[trusted] = mesh[trusted, None] * strain.compression(
        value["place"][trusted], value["across"][trusted]
    )
    return Furrows(
        valley=valley,
        bulge=bulge,
        depth=value["depth"].astype(np.float32),
        rest=value["rest"].astype(np.float32),
        threshold=value["threshold"].clip(0.02, 0.75).astype(np.float32),
        pull_squared=pull * pull,
        press=press,
        slack=slack,
        families=families,
        family=family,
        stroke=value["stroke"].astype(np.int64),
        place=value["place"].astype(np.float32),
        across=value["across"].astype(np.float32),
    )


def _sample(strokes: list[Stroke], chart: Chart) -> list[tuple[Stroke, np.ndarray, np.ndarray]]:
    """Place strokes on the skin: samples (m, 9) position, normal, u, v, s; strength (m,) with tapered ends."""
    pieces, strengths = [], []
    for stroke in strokes:
        path = stroke.path
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
        count = max(int(np.ceil(along[-1] / STEP_MM)) + 1, 4)
        at = np.linspace(0.0, along[-1], count)
        pieces.append(np.stack([np.interp(at, along, path[:, i]) for i in range(2)], 1))
        t = at / along[-1]
        strength = smoothstep(0.0, stroke.taper[0], t) * smoothstep(0.0, stroke.taper[1], 1 - t)
        if stroke.strength is not None:
            strength = strength * np.interp(at, along, stroke.strength)
        strengths.append(strength)
    points = np.concatenate(pieces)
    samples = np.concatenate([chart.place(points), points[:, :1]], 1)
    out = []
    ends = np.cumsum([len(p) for p in pieces])
    for stroke, part, strength in zip(
        strokes, np.split(samples, ends[:-1]), strengths, strict=True
    ):
        on = np.isfinite(part).all(1)
        if on.sum() >= 3:
            out.append((stroke, part[on], strength[on]))
    return out


def _draw(
    stroke: Stroke, samples: np.ndarray, chart: Chart
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return a stroke's texels: their numbers, places along the samples, section values; and across (m, 3)."""
    size = chart.resolution
    points, normal, uv = samples[:, :3], samples[:, 3:6], samples[:, 6:8]
    tangent = np.gradient(points, axis=0)
    across = np.cross(normal, tangent)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    column, row = uv[:, 0] * size, (1 - uv[:, 1]) * size
    middle = chart.nearest[
        int(row.mean().clip(0, size - 1)) * size + int(column.mean().clip(0, size - 1))
    ]
    texel_mm = float(chart.texel_mm[middle])
    valley, bulge, edge = section(stroke, float(chart.texel_long_mm[middle]))
    margin = int(np.ceil(1.25 * edge / texel_mm)) + 1
    window = chart.index[
        max(int(row.min()) - margin, 0) : int(row.max()) + margin + 1,
        max(int(column.min()) - margin, 0) : int(column.max()) + margin + 1,
    ]
    hit = window[window >= 0]
    if stroke.half:
        mouth = (chart.marks["upper_lip_centre"][1] + chart.marks["lower_lip_centre"][1]) / 2
        above = chart.face[hit, 1] > mouth
        hit = hit[above if stroke.half == "upper" else ~above]
    origin = points.mean(0).astype(np.float32)
    x, p = chart.position[hit] - origin, points.astype(np.float32) - origin
    # Every sixth sample is enough to leave out most texels of a long slanting stroke's window.
    coarse = _squares(x, p[2::6] if len(p) > 8 else p).min(1, initial=np.inf)
    close = coarse < (edge + 4.0 * STEP_MM) ** 2
    hit, x = hit[close], x[close]
    near = _squares(x, p).argmin(1) if len(hit) else np.zeros(0, np.int64)
    close = ((x - p[near]) ** 2).sum(1) < (edge + STEP_MM) ** 2
    hit, x, near = hit[close], x[close], near[close]
    at = _foot(x, p, near)
    low = np.minimum(at.astype(np.int64), len(p) - 2)
    part = (at - low)[:, None]
    away = x - (p[low] * (1 - part) + p[low + 1] * part)
    side = (away * (across[low] * (1 - part) + across[low + 1] * part)).sum(1)
    distance = np.linalg.norm(away, axis=1) * np.where(side < 0, -1, 1)
    keep = np.abs(distance) < edge
    cell = (distance[keep] / edge + 1.0) * CELLS
    grid = np.arange(2 * CELLS + 1)
    return (
        hit[keep],
        at[keep],
        np.interp(cell, grid, valley).astype(np.float32),
        np.interp(cell, grid, bulge).astype(np.float32),
        across,
    )


def _squares(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return squared distances (n, m) between points (n, 3) and (m, 3)."""
    return (x * x).sum(1)[:, None] - (2 * x) @ p.T + (p * p).sum(1)


def _foot(x: np.ndarray, p: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Return where along the polyline p (m, 3) the foot of each x (n, 3) lies, in samples."""
    best, at = np.full(len(x), np.inf), near.astype(np.float64)
    for shift in (-1, 0):
        low = (near + shift).clip(0, len(p) - 2)
        step = p[low + 1] - p[low]
        t = ((x - p[low]) * step).sum(1) / np.maximum((step * step).sum(1), 1e-12)
        t = t.clip(0, 1)
        gap = ((x - p[low] - t[:, None] * step) ** 2).sum(1)
        better = gap < best
        best, at = np.where(better, gap, best), np.where(better, low + t, at)
    return at
