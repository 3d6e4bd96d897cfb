"""Faces of a mesh that cut through faces they do not touch."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.head.registration import polygon_triangles


def crossing_faces(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the triangles (indices of :func:`polygon_triangles`) that cross others; needs bpy."""
    return crossing_triangles(points, polygon_triangles(faces))


def crossing_triangles(points: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Return which triangles (n, 3) of points (V, 3) cross others; needs bpy.

    Triangles that share a vertex do not count.
    """
    import bpy  # noqa: F401  makes mathutils importable
    from mathutils.bvhtree import BVHTree

    # The stubs say that it returns nothing.
    tree: Any = BVHTree.FromPolygons(points.tolist(), corner.tolist(), all_triangles=True)
    pairs = np.array(tree.overlap(tree), int).reshape(-1, 2)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    shared = (corner[pairs[:, 0], :, None] == corner[pairs[:, 1], None, :]).any((1, 2))
    return np.unique(pairs[~shared])
