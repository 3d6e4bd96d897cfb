"""Figures of whole maps: their mean, their seam, how much people differ, and what a map takes."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
from scipy import ndimage

from ...backend.formats.expressions import FACESCAPE_PRESETS, vector
from ...backend.formats.identity import Identity
from ...backend.head.bilinear import Head
from .compose import Skin

ALONG_EDGE = 9
"""Places compared along each edge of the mesh that the UV seam cuts."""


def mean_displacement(skin: Skin) -> list[float]:
    """Return the mean of each FaceScape expression's map over the skin's area, mm."""
    chart = skin.chart
    area = chart.texel_mm**2 * chart.weight
    return [
        float(np.average(skin.map(vector(weights)).ravel()[chart.texels], weights=area))
        for weights in FACESCAPE_PRESETS.values()
    ]


def seam_edges(head: Head) -> np.ndarray:
    """Return the edges that the UV seam cuts, as both sides see them: (n, side, end, 2) UV."""
    own = head.face_material == list(head.materials).index("skin")
    sides: dict[tuple[int, int], list[np.ndarray]] = {}
    for face, uv in zip(head.faces[own], head.uv[own], strict=True):
        count = int((face >= 0).sum())
        for i in range(count):
            j = (i + 1) % count
            a, b = (i, j) if face[i] < face[j] else (j, i)
            sides.setdefault((int(face[a]), int(face[b])), []).append(uv[[a, b]])
    cut = [s for s in sides.values() if len(s) == 2 and np.abs(s[0] - s[1]).max() > 1e-5]
    return np.array(cut, np.float64).reshape(-1, 2, 2, 2)


def seam_jump(image: np.ndarray, edges: np.ndarray) -> float:
    """Return the largest difference in mm between the two sides of the UV seam.

    Parameters
    ----------
    image
        (R, R) mm, read between texels as Blender does.
    edges
        (n, 2, 2, 2) of :func:`seam_edges`.
    """
    t = np.linspace(0.0, 1.0, ALONG_EDGE)[:, None]
    uv = edges[:, :, None, 0] * (1 - t) + edges[:, :, None, 1] * t
    size = len(image)
    at = [(1 - uv[..., 1]) * size - 0.5, uv[..., 0] * size - 0.5]
    read = ndimage.map_coordinates(image, at, order=1, mode="nearest")
    return float(np.abs(read[:, 0] - read[:, 1]).max()) if len(edges) else 0.0


def border_displacement(image: np.ndarray, skin: Skin) -> float:
    """Return the largest displacement in mm in the texels along the chart's outer border."""
    inside = skin.chart.index >= 0
    outside, _ = ndimage.label(np.pad(~inside, 1, constant_values=True))
    outer = outside == outside[0, 0]
    border = inside & ndimage.binary_dilation(outer, np.ones((3, 3)))[1:-1, 1:-1]
    return float(np.abs(image[border]).max())


@dataclasses.dataclass(frozen=True)
class Variety:
    """How much people's maps of one expression differ, RMS over the skin.

    Attributes
    ----------
    nearest_um
        From a person to the nearest other, median over people and expressions.
    nearest_ratio
        The least of these distances over that between two detail seeds of one person.
    """

    nearest_um: float
    nearest_ratio: float


def variety(
    head: Head, people: list[Identity], expressions: tuple[str, ...], resolution: int = 512
) -> Variety:
    """Return how much maps of `people` differ in each of `expressions`."""
    skins = [Skin(head, person, resolution) for person in people]
    texels = skins[0].chart.texels
    near, ratios = [], []
    other = dataclasses.replace(people[0], detail_seed=people[0].detail_seed ^ 1)
    twin = Skin(head, other, resolution)
    seeds = _distance((twin.relief() - skins[0].relief()).ravel()[texels])
    for name in expressions:
        weights = vector(FACESCAPE_PRESETS[name])
        maps = [skin.map(weights).ravel()[texels] for skin in skins]
        for i, one in enumerate(maps):
            nearest = min(_distance(one - two) for j, two in enumerate(maps) if j != i)
            near.append(nearest)
            ratios.append(nearest / seeds)
    return Variety(1000.0 * float(np.median(near)), min(ratios))


def _distance(difference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(difference**2)))


def seconds_per_map(head: Head, person: Identity, resolution: int) -> float:
    """Return seconds for one of a new person's 20 FaceScape expressions, set-up shared among them."""
    Skin(head, person, resolution).map(np.zeros(52, np.float32))  # the head's chart, computed once
    started = time.perf_counter()
    skin = Skin(head, person, resolution)
    for weights in FACESCAPE_PRESETS.values():
        skin.map(vector(weights))
    return (time.perf_counter() - started) / len(FACESCAPE_PRESETS)
