"""Deformation transfer (Sumner and Popovic 2004): one person's expressions on another's face.

Each triangle's deformation gradient is carried over; vertices follow from a Poisson problem on the
other face, with the vertices that no expression moves as anchors.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu


def frames(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Two edges and the scaled normal of each triangle as columns, (..., T, 3, 3)."""
    a, b, c = (points[..., triangles[:, k], :] for k in range(3))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.stack([b - a, c - a, normal / np.sqrt(np.maximum(length, 1e-18))], axis=-1)


def gradient(points: np.ndarray, triangles: np.ndarray) -> tuple[sp.csr_matrix, np.ndarray]:
    """Gradient operator (3T, V) of functions on a mesh, and triangle areas (T,)."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    double = np.maximum(np.linalg.norm(normal, axis=1), 1e-14)
    unit = normal / double[:, None]
    count = len(triangles)
    rows = (3 * np.arange(count)[:, None] + np.arange(3)).ravel()
    parts = []
    for k, opposite in enumerate((c - b, a - c, b - a)):
        values = np.cross(unit, opposite) / double[:, None]
        columns = np.repeat(triangles[:, k], 3)
        parts.append(sp.coo_matrix((values.ravel(), (rows, columns)), (3 * count, len(points))))
    return sum(parts[1:], parts[0]).tocsr(), 0.5 * double


class DeformationTransfer:
    """Carries expressions from a source face to others of the same topology.

    Parameters
    ----------
    rest
        (V, 3) source face at rest, metres.
    offsets
        (E, V, 3) its expressions' offsets.
    triangles
        int (T, 3).
    """

    def __init__(self, rest: np.ndarray, offsets: np.ndarray, triangles: np.ndarray) -> None:
        self.triangles = triangles
        inverse = np.linalg.inv(frames(rest, triangles))
        change = [frames(rest + one, triangles) @ inverse - np.eye(3) for one in offsets]
        # Row 3t + i holds d(offset)/d(x_i) of triangle t, three columns an expression.
        self.jacobians = np.concatenate(
            [one.transpose(0, 2, 1).reshape(-1, 3) for one in change], axis=1
        )
        self.free = np.flatnonzero(np.abs(offsets).max((0, 2)) > 1e-6)
        self.count = len(offsets)

    def __call__(self, rest: np.ndarray) -> np.ndarray:
        """Return the expressions' offsets (E, V, 3) on another face at rest (V, 3)."""
        operator, areas = gradient(rest, self.triangles)
        weighted = operator.T @ sp.diags(np.repeat(areas, 3))
        laplacian = (weighted @ operator)[self.free][:, self.free].tocsc()
        right = (weighted @ self.jacobians)[self.free]
        solved = splu(laplacian).solve(np.ascontiguousarray(right))
        result = np.zeros((len(rest), 3 * self.count))
        result[self.free] = solved
        return result.reshape(len(rest), self.count, 3).transpose(1, 0, 2)
