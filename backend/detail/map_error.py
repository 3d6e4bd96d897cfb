"""How far maps are from the exact ones, on the skin that shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..head.bilinear import Head


@dataclass(frozen=True)
class Error:
    """How far maps of a basis are from exact ones, on the skin: micrometres."""

    rms: float
    p99: float
    largest: float


def error_of(differences_mm: np.ndarray) -> Error:
    """Summarise the differences of maps on the skin, any shape, in millimetres."""
    sizes = 1000 * np.abs(differences_mm)
    rms = float(np.sqrt(np.square(sizes, dtype=np.float64).mean()))
    return Error(rms, float(np.quantile(sizes, 0.99)), float(sizes.max()))


def skin_texels(head: Head, resolution: int) -> np.ndarray:
    """Return bool (R, R): the texels that visible skin shows, drawn as points on each face."""
    shows = head.groups["skin"] > 0.5
    corners = np.where(head.faces < 0, head.faces[:, :1], head.faces)
    skin = shows[corners].all(1)
    uv = np.where((head.faces < 0)[..., None], head.uv[:, :1], head.uv)[skin]
    mask = np.zeros((resolution, resolution), bool)
    # Points on a face lie less than a texel apart; faces of a like size are drawn together.
    texels = np.ptp(uv, axis=1).max(1) * resolution + 1
    size = np.exp2(np.ceil(np.log2(texels))).astype(int)
    for count in np.unique(size):
        a, b = (grid.ravel() for grid in np.meshgrid(*2 * [(np.arange(count) + 0.5) / count]))
        weights = np.stack([(1 - a) * (1 - b), a * (1 - b), a * b, (1 - a) * b])
        column, row = np.einsum("fcu,cp->ufp", uv[size == count], weights) * resolution
        inside = [np.clip(p.astype(int), 0, resolution - 1) for p in (resolution - row, column)]
        mask[inside[0], inside[1]] = True
    return mask
