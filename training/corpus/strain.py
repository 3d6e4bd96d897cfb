"""How much each expression of the mesh compresses the skin, per vertex and direction."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from .chart import skin_triangles


class Strain:
    """Green strain of the 52 expressions at full weight on the average head.

    For a displacement u with surface gradient G the strain is (G + G^T + G^T G) / 2, which a rigid
    turn (the jaw's) leaves at zero. Strains of mixed expressions are added: exact to first order.
    """

    def __init__(self, head: Any) -> None:
        identity = head.average()
        vertices = np.asarray(head.neutral(identity.shape), np.float64)
        moved = np.asarray(head.blendshapes(identity.shape), np.float64)
        triangles = skin_triangles(head)
        first, second, third = triangles.T
        edges = np.stack([vertices[second] - vertices[first], vertices[third] - vertices[first]], 2)
        area = 0.5 * np.linalg.norm(np.cross(edges[..., 0], edges[..., 1]), axis=1)
        good = area > 1e-10
        triangles, edges, area = triangles[good], edges[good], area[good]
        inverse = np.linalg.pinv(edges)
        total = np.zeros((len(vertices), 1))
        for i in range(3):
            np.add.at(total, triangles[:, i], area[:, None])
        used = np.flatnonzero(total[:, 0] > 0)
        self._tree = cKDTree(vertices[used] * 1000.0)
        self._tensor = np.zeros((len(used), 3, 3, len(moved)), np.float32)
        for k, offset in enumerate(moved):
            ends = [offset[triangles[:, i]] for i in range(3)]
            gradient = np.stack([ends[1] - ends[0], ends[2] - ends[0]], 2) @ inverse
            transpose = gradient.transpose(0, 2, 1)
            green = 0.5 * (gradient + transpose + transpose @ gradient)
            flat = np.zeros((len(vertices), 9))
            for i in range(3):
                np.add.at(flat, triangles[:, i], green.reshape(-1, 9) * area[:, None])
            self._tensor[..., k] = (flat[used] / total[used]).reshape(-1, 3, 3)

    def compression(self, points: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Return compression (n, 52) of each expression at points (n, 3) mm along unit directions (n, 3).

        Positive where the skin shortens; averaged over the eight nearest vertices, because single
        triangles of the base mesh fold unevenly.
        """
        distance, near = self._tree.query(points, k=8)
        share = 1.0 / (distance + 1.0)
        share /= share.sum(1, keepdims=True)
        tensor = np.einsum("nk,nkabe->nabe", share.astype(np.float32), self._tensor[near])
        return -np.einsum("na,nabe,nb->ne", direction, tensor, direction, optimize=True).astype(
            np.float32
        )


@functools.lru_cache(maxsize=2)
def strain(head: Any) -> Strain:
    """Return the strain of a head, computed once."""
    return Strain(head)
