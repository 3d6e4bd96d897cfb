"""The bust's own mesh: cut from the package's body along a smooth surface, and its cavities.

Every vertex is an interpolation of at most two vertices of the package's base mesh, so that every
target of the package carries over to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from .source import VERTEX_COUNT, Source

CUT_CENTRE = np.array([0.0, -0.035, 0.70])
"""Centre of the ellipsoid that the bust is cut with, metres in the package's body space."""
CUT_RADII = np.array([0.165, 0.185, 0.20])
UNCUT_ABOVE = 0.66
"""Everything above this height (the whole head) stays, metres."""
SNAP = 0.3
"""A vertex nearer to the cut than this share of its edge moves onto it: no sliver faces."""


@dataclass
class Bust:
    """The bust's skin and cavities.

    Attributes
    ----------
    rows
        Sparse (V, 19158): vertices of the bust from vertices of the package.
    faces
        int32 (F, 4), -1 in the last column of a triangle.
    cavity
        bool (F,): inside of mouth and eye sockets.
    rim
        bool (V,): vertices on the cut.
    """

    rows: sp.csr_matrix
    faces: np.ndarray
    cavity: np.ndarray
    rim: np.ndarray


def make_bust(source: Source, person: np.ndarray) -> Bust:
    """Cut the bust out of the body of one (average, symmetric) person (19158, 3) metres."""
    quads = source.quads["body"]
    quads = quads[(person[quads][:, :, 2] > 0.45).all(1)]
    eyes = [source.quads[f"helper-{side}-eye"] for side in "lr"]
    cavity = find_cavities(person, quads, np.concatenate(eyes))
    scaled = (person - CUT_CENTRE) / CUT_RADII
    inside = 1.0 - np.sqrt((scaled**2).sum(1))
    inside[person[:, 2] > UNCUT_ABOVE] = 1.0
    return clip(quads, cavity, inside)


def sphere_directions(count: int) -> np.ndarray:
    """Evenly spread unit vectors (count, 3), by the golden spiral."""
    k = np.arange(count) + 0.5
    polar, turn = np.arccos(1 - 2 * k / count), np.pi * (1 + 5**0.5) * k
    return np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], 1)


def edge_neighbours(faces: np.ndarray) -> sp.csr_matrix:
    """Faces (quads) that share an edge, as a symmetric sparse matrix of ones."""
    edges = np.sort(np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2), 1)
    owner = np.repeat(np.arange(len(faces)), 4)
    key = edges[:, 0] * (int(faces.max()) + 1) + edges[:, 1]
    order = np.argsort(key, kind="stable")
    key, owner = key[order], owner[order]
    same = np.flatnonzero(key[1:] == key[:-1])
    half = sp.coo_matrix(
        (np.ones(len(same)), (owner[same], owner[same + 1])), shape=(len(faces),) * 2
    )
    return (half + half.T).tocsr()


def find_cavities(person: np.ndarray, quads: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """Tell which faces lie inside mouth and eye sockets, bool (F,), left and right alike.

    A face that fewer than two of 256 directions reach from outside is hidden; the three largest
    hidden patches are the mouth and the sockets behind the eyeballs.
    """
    import bpy  # noqa: F401  makes mathutils importable
    from mathutils import Vector
    from mathutils.bvhtree import BVHTree

    # The stubs say that it returns nothing.
    tree: Any = BVHTree.FromPolygons(person.tolist(), np.concatenate([quads, eyes]).tolist())
    corners = person[quads]
    centres = corners.mean(1)
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    directions = sphere_directions(256)
    reached = np.zeros(len(quads), int)
    for i, (centre, normal) in enumerate(zip(centres, normals, strict=True)):
        start = Vector(centre + normal * 1e-4)
        for direction in directions[directions @ normal > 0.05]:
            if tree.ray_cast(start, Vector(direction))[0] is None:
                reached[i] += 1
                if reached[i] == 2:
                    break
    mirror = cKDTree(centres).query(centres * [-1, 1, 1])[1]
    hidden = (reached < 2) | (reached[mirror] < 2)
    near = edge_neighbours(quads)
    _, label = connected_components(near[hidden][:, hidden])
    where = np.flatnonzero(hidden)
    patches = sorted((where[label == k] for k in np.unique(label)), key=len)[-3:]
    mouth = max(patches, key=len)
    cavity = np.zeros(len(quads), bool)
    cavity[np.concatenate(patches)] = True
    # The lips' skin goes one ring of faces further in than the eye sees at rest.
    on_skin = np.zeros(VERTEX_COUNT, bool)
    on_skin[quads[~cavity]] = True
    ring = mouth[on_skin[quads[mouth]].any(1)]
    cavity[ring] = False
    for _ in range(3):  # no teeth along the border
        count = near @ cavity.astype(float)
        cavity = np.where(count >= 3, True, np.where(count <= 1, False, cavity))
        cavity = cavity & cavity[mirror]
    _, label = connected_components(near[~cavity][:, ~cavity])
    open_faces = np.flatnonzero(~cavity)
    cavity[open_faces[label != np.bincount(label).argmax()]] = True
    return cavity


def clip(quads: np.ndarray, cavity: np.ndarray, inside: np.ndarray) -> Bust:
    """Keep the part of the mesh where `inside` (one value a vertex) is positive.

    Crossing edges get a vertex on the cut; vertices near it move onto it.
    """
    edges = np.unique(
        np.sort(np.stack([quads, np.roll(quads, -1, 1)], -1).reshape(-1, 2), 1), axis=0
    )
    state = np.where(inside > 0, 1, -1)
    crossing = edges[state[edges[:, 0]] != state[edges[:, 1]]]
    swap = state[crossing[:, 0]] < 0
    crossing[swap] = crossing[swap][:, ::-1]
    a, b = crossing.T
    share = inside[a] / (inside[a] - inside[b])
    moved: dict[int, tuple[int, int, float]] = {}
    for k in np.argsort(np.minimum(share, 1 - share), kind="stable"):
        one, other, t = int(a[k]), int(b[k]), float(share[k])
        if state[one] == 1 and state[other] == -1:
            if t < SNAP:
                state[one], moved[one] = 0, (one, other, t)
            elif t > 1 - SNAP:
                state[other], moved[other] = 0, (one, other, t)
    numbers: dict[object, int] = {}
    rows: list[tuple[int, int, float]] = []

    def number(key: object, row: tuple[int, int, float]) -> int:
        if key not in numbers:
            numbers[key] = len(rows)
            rows.append(row)
        return numbers[key]

    faces, in_cavity = [], []
    for quad, hollow in zip(quads, cavity, strict=True):
        if not (state[quad] == 1).any():
            continue
        polygon = []
        for p, q in zip(quad.tolist(), np.roll(quad, -1).tolist(), strict=True):
            if state[p] >= 0:
                polygon.append(number(p, moved.get(p, (p, p, 0.0))))
            if state[p] * state[q] == -1:
                one, other = (p, q) if state[p] == 1 else (q, p)
                t = inside[one] / (inside[one] - inside[other])
                polygon.append(number((one, other), (one, other, t)))
        if len(polygon) == 5:
            faces += [polygon[:4], [polygon[0], polygon[3], polygon[4], -1]]
            in_cavity += [hollow, hollow]
        elif len(polygon) >= 3:
            faces.append([*polygon, -1][:4])
            in_cavity.append(hollow)
    count = len(rows)
    first, second, t_all = (np.array(column) for column in zip(*rows, strict=True))
    index = np.arange(count)
    matrix = sp.coo_matrix(
        (np.r_[1 - t_all, t_all], (np.r_[index, index], np.r_[first, second])),
        shape=(count, VERTEX_COUNT),
    ).tocsr()
    return Bust(matrix, np.array(faces, np.int32), np.array(in_cavity), t_all > 0)
