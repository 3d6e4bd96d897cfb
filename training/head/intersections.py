"""Faces of a mesh that cut through faces they do not touch."""

from __future__ import annotations

from typing import Any

import numpy as np

from .anatomy import triangles


def crossing_faces(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the triangles (indices of :func:`anatomy.triangles`) that cross others; needs bpy.

    Triangles that share a vertex do not count.
    """
    import bpy  # noqa: F401  makes mathutils importable
    from mathutils.bvhtree import BVHTree

    corner = triangles(faces)
    # The stubs say that it returns nothing.
    tree: Any = BVHTree.FromPolygons(points.tolist(), corner.tolist(), all_triangles=True)
    pairs = np.array(tree.overlap(tree), int).reshape(-1, 2)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    shared = (corner[pairs[:, 0], :, None] == corner[pairs[:, 1], None, :]).any((1, 2))
    return np.unique(pairs[~shared])
