"""The skin's UV chart: one piece, seam at the back, the face enlarged and little stretched."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

FACE_IMPORTANCE = 5.0
"""Weight of the face against the back of the head in the unwrapper's importance weights."""


def smoothstep(x: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """0 below low, 1 above high, smooth between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def unwrap_skin(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unwrap the visible skin into one chart that fills the tile.

    Parameters
    ----------
    points
        (V, 3) metres in the package's body space, left and right symmetric.
    faces
        int (F, 4), -1 in the last column of a triangle; skin without the cavities.

    Returns
    -------
    float32 (F, 4, 2) in [0, 1], v up, u growing with x; mirrored faces get mirrored coordinates.
    """
    used = np.unique(faces[faces >= 0])
    local = np.full(len(points), -1)
    local[used] = np.arange(len(used))
    place = points[used]
    uv = _solve(place, [[local[v] for v in face if v >= 0] for face in faces])
    uv = _upright(uv, faces, points)
    uv = _symmetric(uv, faces, points)
    low, high = np.nanmin(uv, (0, 1)), np.nanmax(uv, (0, 1))
    margin = 0.004
    return np.nan_to_num((uv - low) / (high - low) * (1 - 2 * margin) + margin).astype(np.float32)


def _solve(points: np.ndarray, polygons: list[list[int]]) -> np.ndarray:
    """Minimum-stretch unwrap by Blender, the face weighted up; (F, 4, 2), NaN where no corner."""
    import bpy

    mesh = bpy.data.meshes.new("atlas")
    mesh.from_pydata(points.tolist(), [], polygons)
    mesh.uv_layers.new(name="uv")
    obj = bpy.data.objects.new("atlas", mesh)
    collection, layer = bpy.context.collection, bpy.context.view_layer
    assert collection is not None and layer is not None
    collection.objects.link(obj)
    middle = np.abs(points[:, 0]) < 1e-5
    crown = points[middle][points[middle][:, 2].argmax(), 1]
    for edge in mesh.edges:
        ends = list(edge.vertices)
        edge.use_seam = bool(middle[ends].all() and (points[ends, 1] > crown - 1e-4).all())
    weight = smoothstep(-points[:, 1], -0.02, 0.10)
    weight *= smoothstep(points[:, 2], 0.575, 0.64) * (1 - smoothstep(points[:, 2], 0.79, 0.85))
    group = obj.vertex_groups.new(name="importance")
    for i, value in enumerate(weight):
        group.add([i], float(value), "REPLACE")
    bpy.ops.object.select_all(action="DESELECT")
    layer.objects.active = obj
    obj.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.uv.unwrap(
        method="MINIMUM_STRETCH",
        iterations=100,
        fill_holes=True,
        margin=0.0,
        use_weights=True,
        weight_group="importance",
        weight_factor=FACE_IMPORTANCE,
    )
    bpy.ops.object.mode_set(mode="OBJECT")
    flat = np.zeros(2 * len(mesh.loops))
    mesh.uv_layers[0].data.foreach_get("uv", flat)
    uv = np.full((len(polygons), 4, 2), np.nan)
    start = 0
    for i, polygon in enumerate(polygons):
        uv[i, : len(polygon)] = flat.reshape(-1, 2)[start : start + len(polygon)]
        start += len(polygon)
    bpy.data.objects.remove(obj)
    bpy.data.meshes.remove(mesh)
    return uv


def _upright(uv: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Rotate the chart so that u grows with x and v with height."""
    real = faces >= 0
    corner, place = uv[real], points[faces[real]]
    front = place[:, 1] < -0.07
    left = (corner[front] * np.sign(place[front, :1]) * (np.abs(place[front, :1]) > 1e-4)).sum(0)
    turn = -np.arctan2(left[1], left[0])
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (uv - corner.mean(0)) @ matrix.T


def _symmetric(uv: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Average the chart with its mirror image, corner by corner."""
    real = faces >= 0
    face_points = np.where(real[..., None], points[faces], np.nan)
    centres = np.nanmean(face_points, 1)
    partner = cKDTree(centres).query(centres * [-1, 1, 1])[1]
    result = uv.copy()
    corner = uv[real]
    axis = 0.5 * (corner[:, 0].max() + corner[:, 0].min())
    on_axis = (np.abs(points[faces[real], 0]) < 1e-6) & (points[faces[real], 1] < -0.07)
    if on_axis.any():
        axis = corner[on_axis, 0].mean()
    for i, j in enumerate(partner):
        for k in np.flatnonzero(real[i]):
            target = points[faces[i, k]] * [-1, 1, 1]
            other = np.flatnonzero(real[j])
            m = other[((points[faces[j, other]] - target) ** 2).sum(1).argmin()]
            mirrored = np.array([2 * axis - uv[j, m, 0], uv[j, m, 1]])
            result[i, k] = 0.5 * (uv[i, k] + mirrored)
    return result
