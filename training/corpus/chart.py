"""The skin of the average head as a chart: what lies under each texel, and where a place on the face is.

Places are in *face coordinates* (s, z): millimetres along a horizontal arc around a
vertical axis inside the head, and millimetres upwards. Distances from a furrow are taken in 3D on
the average head, so widths and spacings are true millimetres whatever the UV layout does.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.interpolate import LinearNDInterpolator

from ...backend.errors import FurrowError

ARC_RADIUS = 100.0
"""Radius in mm of the arc that s runs along; the axis lies this far behind the root of the nose."""

Marks = dict[str, np.ndarray]
"""Landmarks in face coordinates (2,), by name."""

BORDER_MM = 8.0
"""Relief fades over this distance at the chart's outer border, where the UV seam cuts the skin."""


@dataclass(frozen=True, eq=False)
class Chart:
    """Per-texel geometry of the average head's skin at one resolution; equal only to itself, so a key.

    Attributes
    ----------
    resolution
        R, texels along each side of the tile.
    index
        (R, R) int32, number of the skin texel, -1 where there is no skin.
    texels
        (N,) int64, flat position of each skin texel in the tile.
    position, normal
        (N, 3) float32, mm and unit vectors.
    face
        (N, 2) float32, face coordinates (s, z) in mm.
    texel_mm
        (N,) float32, side of a texel in mm: the root of its area.
    texel_long_mm
        (N,) float32, a texel's length where the layout squeezes it most: the neck's are oblong.
    weight
        (N,) float32 in [0, 1], the group `skin`.
    seam
        (N,) float32 in [0, 1], 0 at the chart's outer border and 1 from BORDER_MM inwards.
    nearest
        (R * R,) int32, the nearest skin texel of every texel: fills the openings and margins.
    groups
        {name: (N,) float32}, the head's soft regions.
    marks
        {name: (s, z)} of the landmarks; of a pair, the left one mirrored with the right one.
    """

    resolution: int
    index: np.ndarray
    texels: np.ndarray
    position: np.ndarray
    normal: np.ndarray
    face: np.ndarray
    texel_mm: np.ndarray
    texel_long_mm: np.ndarray
    weight: np.ndarray
    seam: np.ndarray
    nearest: np.ndarray
    groups: dict[str, np.ndarray]
    marks: dict[str, np.ndarray]
    _place: LinearNDInterpolator

    def place(self, face: np.ndarray) -> np.ndarray:
        """Return what lies at face coordinates (n, 2): (n, 8) position, normal, u, v; NaN off the face."""
        return self._place(face)

    def image(self, values: np.ndarray) -> np.ndarray:
        """Spread values (N,) of the skin texels over the tile: (R, R) float32."""
        return values[self.nearest].reshape(self.resolution, self.resolution)


@functools.lru_cache(maxsize=6)
def chart(head: Any, resolution: int) -> Chart:
    """Return the chart of a head's average identity.

    Raises
    ------
    FurrowError
        If the resolution is out of range, or the mesh has no usable UV layout or no skin.
    """
    check_resolution(resolution)
    uv = getattr(head, "uv", None)
    if uv is None or np.asarray(uv).shape != (*np.asarray(head.faces).shape, 2):
        raise FurrowError("The head's mesh has no UV layout, so no skin map can be made for it.")
    if not np.isfinite(uv).all():
        raise FurrowError("The head's UV layout holds values that are not numbers.")
    vertices = np.asarray(head.neutral(head.average().shape), np.float64) * 1000.0
    triangles, corners = _skin_triangles(head, np.asarray(uv, np.float64))
    if len(triangles) == 0:
        raise FurrowError("The head's mesh has no skin, so no skin map can be made for it.")
    normals = vertex_normals(vertices, triangles)
    axis = _axis(head, vertices)
    face = face_coordinates(vertices, axis)
    names = [n for n in head.groups if n not in ("skin", "eye_left", "eye_right")]
    skin = np.asarray(head.groups["skin"], np.float64)
    columns = [vertices, normals, face, skin[:, None]]
    columns += [np.asarray(head.groups[n], np.float64)[:, None] for n in names]
    owner, values = _rasterise(corners, np.concatenate(columns, 1)[triangles], resolution)
    inside = owner >= 0
    if not inside.any():
        raise FurrowError("The head's UV layout lies outside the tile.")
    texels = np.flatnonzero(inside.ravel())
    values = values.reshape(-1, values.shape[-1])[texels].astype(np.float32)
    own = owner.ravel()[texels]
    area = _area(vertices[triangles]) / np.maximum(_area(corners), 1e-12)
    index = np.full(resolution * resolution, -1, np.int32)
    index[texels] = np.arange(len(texels))
    texel_mm = np.sqrt(area[own]) / resolution
    _, near = ndimage.distance_transform_edt(~inside, return_indices=True)
    unit = values[:, 3:6] / np.maximum(np.linalg.norm(values[:, 3:6], axis=1, keepdims=True), 1e-6)
    return Chart(
        resolution=resolution,
        index=index.reshape(resolution, resolution),
        texels=texels,
        position=values[:, :3],
        normal=unit,
        face=face_coordinates(values[:, :3], axis).astype(np.float32),
        texel_mm=texel_mm.astype(np.float32),
        texel_long_mm=(_longest(vertices[triangles], corners)[own] / resolution).astype(np.float32),
        weight=values[:, 8],
        seam=_seam_fade(inside, float(np.median(texel_mm))).ravel()[texels],
        nearest=index[(near[0] * resolution + near[1]).ravel()],
        groups={n: values[:, 9 + i] for i, n in enumerate(names)},
        marks=_marks(head, face),
        _place=_placer(vertices, normals, face, skin, triangles, corners, axis),
    )


def check_resolution(resolution: int) -> None:
    """Raise FurrowError unless maps are made at that many texels a side."""
    if not 64 <= resolution <= 4096:
        raise FurrowError(f"The resolution {resolution} is outside 64 to 4096.")


def face_coordinates(points: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Return (s, z) in mm, float (n, 2), of points (n, 3) in mm around the vertical axis at (x, y)."""
    angle = np.arctan2(points[:, 0] - axis[0], axis[1] - points[:, 1])
    return np.stack([ARC_RADIUS * angle, points[:, 2]], 1)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return unit normals (V, 3), area-weighted over the triangles (T, 3)."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    facing = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for i in range(3):
        np.add.at(normals, triangles[:, i], facing)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def skin_triangles(head: Any) -> np.ndarray:
    """Return the triangles (T, 3) of the skin, quads split."""
    return _skin_triangles(head, np.asarray(head.uv, np.float64))[0]


def _skin_triangles(head: Any, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split the faces of material `skin`; vertices (T, 3) and UV corners (T, 3, 2)."""
    own = np.asarray(head.face_material) == list(head.materials).index("skin")
    faces, uv = np.asarray(head.faces)[own], uv[own]
    quads = faces[:, 3] >= 0
    triangles = np.concatenate([faces[:, [0, 1, 2]], faces[quads][:, [0, 2, 3]]])
    corners = np.concatenate([uv[:, [0, 1, 2]], uv[quads][:, [0, 2, 3]]])
    return triangles, corners


def _axis(head: Any, vertices: np.ndarray) -> np.ndarray:
    """Return (x, y) in mm of the vertical axis of the face coordinates."""
    return np.array([0.0, vertices[head.landmarks["nose_root"], 1] + ARC_RADIUS])


def _area(corners: np.ndarray) -> np.ndarray:
    """Return the areas of triangles (T, 3, 2 or 3)."""
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    if corners.shape[-1] == 2:
        return 0.5 * np.abs(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])
    return 0.5 * np.linalg.norm(np.cross(one, two), axis=1)


def _longest(triangles: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return the largest stretch (T,) from UV to space, mm per tile, of triangles (T, 3, 3)."""
    space = np.stack([triangles[:, i] - triangles[:, 0] for i in (1, 2)], 2)
    tile = np.stack([corners[:, i] - corners[:, 0] for i in (1, 2)], 2)
    tile = tile + 1e-9 * np.eye(2)  # a triangle without area in the tile owns no texel anyway
    return np.linalg.svd(space @ np.linalg.inv(tile), compute_uv=False)[:, 0]


def _rasterise(
    corners: np.ndarray, values: np.ndarray, resolution: int
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate corner values (T, 3, C) at texel centres: owner (R, R) or -1, values (R, R, C)."""
    owner = np.full((resolution, resolution), -1, np.int64)
    out = np.zeros((resolution, resolution, values.shape[-1]))
    x = corners[..., 0] * resolution - 0.5
    y = (1.0 - corners[..., 1]) * resolution - 0.5
    low_x, high_x = np.ceil(x.min(1) - 1e-9).clip(0), np.floor(x.max(1) + 1e-9)
    low_y, high_y = np.ceil(y.min(1) - 1e-9).clip(0), np.floor(y.max(1) + 1e-9)
    area: np.ndarray = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (
        y[:, 1] - y[:, 0]
    )
    for t in np.flatnonzero(np.abs(area) > 1e-12):
        columns = np.arange(int(low_x[t]), min(int(high_x[t]), resolution - 1) + 1)
        rows = np.arange(int(low_y[t]), min(int(high_y[t]), resolution - 1) + 1)
        if not len(columns) or not len(rows):
            continue
        dx, dy = columns[None, :] - x[t, 0], rows[:, None] - y[t, 0]
        second = (dx * (y[t, 2] - y[t, 0]) - dy * (x[t, 2] - x[t, 0])) / area[t]
        third = (dy * (x[t, 1] - x[t, 0]) - dx * (y[t, 1] - y[t, 0])) / area[t]
        hit = (second >= -1e-9) & (third >= -1e-9) & (second + third <= 1 + 1e-9)
        r, c = np.nonzero(hit)
        share = np.stack([1 - second[hit] - third[hit], second[hit], third[hit]], 1)
        owner[rows[r], columns[c]] = t
        out[rows[r], columns[c]] = share @ values[t]
    return owner, out


def _seam_fade(inside: np.ndarray, texel_mm: float) -> np.ndarray:
    """Return (R, R) in [0, 1]: distance to the outside of the chart, openings of the face not counted."""
    outside, _ = ndimage.label(np.pad(~inside, 1, constant_values=True))
    outer = (outside == outside[0, 0])[1:-1, 1:-1]
    padded = np.pad(~outer, 1, constant_values=False)
    distance = ndimage.distance_transform_edt(padded)[1:-1, 1:-1] * texel_mm
    return smoothstep(0.0, BORDER_MM, distance).astype(np.float32)


def _placer(
    vertices: np.ndarray,
    normals: np.ndarray,
    face: np.ndarray,
    skin: np.ndarray,
    triangles: np.ndarray,
    corners: np.ndarray,
    axis: np.ndarray,
) -> LinearNDInterpolator:
    """Interpolate position, normal and UV over face coordinates, on the outermost skin only."""
    radial = vertices[:, :2] - axis
    radial /= np.maximum(np.linalg.norm(radial, axis=1, keepdims=True), 1e-9)
    outward = (normals[:, :2] * radial).sum(1)
    uv = np.zeros((len(vertices), 2))
    uv[triangles.ravel()] = corners.reshape(-1, 2)
    used = np.zeros(len(vertices), bool)
    used[triangles.ravel()] = True
    keep = used & (skin > 0.5) & (outward > 0.15) & (np.abs(face[:, 0]) < 1.4 * ARC_RADIUS)
    return LinearNDInterpolator(face[keep], np.concatenate([vertices, normals, uv], 1)[keep])


def _marks(head: Any, face: np.ndarray) -> dict[str, np.ndarray]:
    """Return landmarks in face coordinates; pairs become one entry on the left side."""
    marks: dict[str, np.ndarray] = {}
    for name, vertex in head.landmarks.items():
        if name.endswith("_left"):
            other = face[head.landmarks[name[:-5] + "_right"]] * (-1, 1)
            marks[name[:-5]] = (face[vertex] + other) / 2
        elif not name.endswith("_right"):
            marks[name] = face[vertex]
    return marks


def smoothstep(low: float, high: float, x: np.ndarray | float) -> np.ndarray:
    """Return the cubic step from 0 at `low` to 1 at `high`."""
    t = np.clip((np.asarray(x, np.float64) - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
