"""The scans on the bust's own vertices: registration, then modes, expressions, eyes and teeth.

The bust is brought onto the scans' average; what the scans say of a vertex is read from the triangle
that it came to lie in. Where they say nothing (cavities, the edge of the bust) the skin around
decides, harmonically.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from ...backend.errors import FurrowError
from ...backend.formats.expressions import INDEX
from ...backend.head.bilinear import Head
from ...backend.head.registration import (
    Points,
    Registration,
    loops,
    match_rims,
    register,
    similarity,
)
from .scans import LANDMARKS, LOWER_TEETH, SCLERA, UPPER_TEETH, Scans
from .topology import Bust

GUIDES = ("chin", "brow")
"""Landmarks by how their names begin that lead the registration but not the similarity before it."""


@dataclass(frozen=True)
class ScanFit:
    """What the scans say about the bust, in the package's axes and real size, metres.

    Attributes
    ----------
    scale
        Size of the scans' average over the package's.
    mean
        (V, 3) the average.
    modes
        (100, V, 3) one standard deviation each.
    units
        (52, V, 3) the expressions' offsets on the average.
    eyes, eye_modes
        Centres (2, 3), left and right, and their offsets (100, 2, 3).
    teeth_front, teeth_edge
        y of the foremost upper tooth, and z of the upper teeth's edges.
    teeth_modes
        (100, 2, 4, 3): affine motion of upper and lower teeth, (x, y, z, 1) to an offset.
    jaw
        (52, 4, 3): affine motion of the lower teeth under each expression.
    residual
        (V,) metres between the registered bust and the scans' average; bound vertices (V,) bool.
    """

    scale: float
    mean: np.ndarray
    modes: np.ndarray
    units: np.ndarray
    eyes: np.ndarray
    eye_modes: np.ndarray
    teeth_front: float
    teeth_edge: float
    teeth_modes: np.ndarray
    jaw: np.ndarray
    residual: np.ndarray
    bound: np.ndarray


def fit_scans(
    scans: Scans,
    bust: Bust,
    body: np.ndarray,
    triangles: np.ndarray,
    rims: list[np.ndarray],
    landmarks: dict[str, int],
) -> ScanFit:
    """Register the bust to the scans and carry what they hold.

    Parameters
    ----------
    body, triangles
        (V, 3) the package's average bust with lips and lids unclosed, and int (F, 3).
    rims
        Vertices of mouth, left and right eye where the skin turns inwards.
    landmarks
        Vertices of the bust by name.

    Raises
    ------
    FurrowError
        If the registration fails; the message names the place.
    """
    sure = [name for name in LANDMARKS if not name.startswith(GUIDES)]
    scale, rotation, shift = similarity(
        body[[landmarks[name] for name in sure]], scans.neutral[[LANDMARKS[name] for name in sure]]
    )
    start = scale * body @ rotation.T + shift
    hard = [
        match_rims(start, _in_order(bust.faces, rim), scans.neutral, scan_rim)
        for rim, scan_rim in zip(rims, scans.rims(), strict=True)
    ]
    skin = np.ones(len(body), bool)
    cavities = bust.faces[bust.cavity]
    skin[cavities[cavities >= 0]] = False
    fitted = register(
        start,
        triangles,
        scans.neutral,
        scans.surface(),
        Points(
            np.array([landmarks[name] for name in LANDMARKS]),
            scans.neutral[list(LANDMARKS.values())],
        ),
        hard,
        skin,
    )
    carry = _Carrier(fitted, triangles)

    def ours(places: np.ndarray) -> np.ndarray:
        return (places - shift) @ rotation

    neutral = ours(scans.neutral)
    teeth = [neutral[part] for part in (UPPER_TEETH, LOWER_TEETH)]
    centres = np.stack([_sphere_centre(neutral[part]) for part in SCLERA])
    modes = scans.identity.astype(np.float64) @ rotation
    units = scans.units.astype(np.float64) @ rotation
    return ScanFit(
        scale=scale,
        mean=ours(fitted.points),
        modes=carry(modes),
        units=carry(units),
        eyes=centres,
        eye_modes=np.stack(
            [
                [
                    _sphere_centre(neutral[p] + m[p]) - c
                    for p, c in zip(SCLERA, centres, strict=True)
                ]
                for m in modes
            ]
        ),
        teeth_front=float(teeth[0][:, 1].min()),
        teeth_edge=float(np.quantile(teeth[0][:, 2], 0.02)),
        teeth_modes=np.stack(
            [
                [_affine(t, m[p]) for t, p in zip(teeth, (UPPER_TEETH, LOWER_TEETH), strict=True)]
                for m in modes
            ]
        ),
        jaw=np.stack([_affine(teeth[1], unit[LOWER_TEETH]) for unit in units]),
        residual=fitted.residual,
        bound=fitted.bound,
    )


def fit_of_head(head: Head, person: np.ndarray) -> ScanFit:
    """What a trained head's average says about the bust, without modes: for measuring that head.

    Parameters
    ----------
    person
        (V, 3) the package's average bust, by which the head's size is told.
    """
    shape = np.zeros(head.shape_count, np.float32)
    points = head.neutral(shape).astype(np.float64)
    units = head.blendshapes(shape).astype(np.float64)
    count = len(person)
    teeth = np.unique(head.faces[head.face_material == head.materials.index("teeth")])
    teeth = teeth[teeth >= 0]
    upper, lower = np.split(teeth, 2)
    if units[INDEX["jawOpen"], upper].any():
        upper, lower = lower, upper
    return ScanFit(
        scale=similarity(person, points[:count])[0],
        mean=points[:count],
        modes=np.zeros((0, count, 3)),
        units=units[:, :count],
        eyes=np.stack([lids.eye(points).centre for lids in head.contacts.lids]),
        eye_modes=np.zeros((0, 2, 3)),
        teeth_front=float(points[upper, 1].min()),
        teeth_edge=float(np.quantile(points[upper, 2], 0.02)),
        teeth_modes=np.zeros((0, 2, 4, 3)),
        jaw=np.stack([_affine(points[lower], unit[lower]) for unit in units]),
        residual=np.zeros(count),
        bound=np.ones(count, bool),
    )


class _Carrier:
    """Reads the scans' offsets at the bust's vertices; harmonic where the scans have no skin."""

    def __init__(self, fitted: Registration, triangles: np.ndarray) -> None:
        self.fitted = fitted
        count = len(fitted.points)
        edges = np.unique(np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
        near = sp.coo_matrix((np.ones(len(edges)), edges.T), (count, count))
        near = (near + near.T).tocsr()
        laplacian = (sp.diags(np.asarray(near.sum(1)).ravel()) - near).tocsr()
        self.free = np.flatnonzero(~fitted.bound)
        rows = laplacian[self.free]
        self.pull = -rows[:, fitted.bound]
        self.solver = splu(rows[:, self.free].tocsc())

    def __call__(self, offsets: np.ndarray) -> np.ndarray:
        """Offsets (n, T, 3) of the scans' vertices to (n, V, 3) of the bust's."""
        result = self.fitted.carry(offsets)
        for one in result:
            one[self.free] = self.solver.solve(np.asarray(self.pull @ one[self.fitted.bound]))
        return result


def _in_order(faces: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """The vertices of a rim as one loop along the faces' edges."""
    on_rim = set(rim.tolist())
    neighbours: dict[int, list[int]] = {}
    for face in faces.tolist():
        corners = [v for v in face if v >= 0]
        for one, other in zip(corners, corners[1:] + corners[:1], strict=True):
            if one in on_rim and other in on_rim:
                neighbours.setdefault(one, []).append(other)
                neighbours.setdefault(other, []).append(one)
    found = loops(neighbours)
    if len(found) != 1:
        raise FurrowError("A rim of the bust is more than one loop.", "internal")
    return found[0]


def _sphere_centre(points: np.ndarray) -> np.ndarray:
    """Centre (3,) of the sphere nearest to points (n, 3), by linear least squares."""
    system = np.column_stack([2 * points, np.ones(len(points))])
    return np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0][:3]


def _affine(points: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Affine map (4, 3) from points (n, 3), with a one appended, to their offsets (n, 3)."""
    system = np.column_stack([points, np.ones(len(points))])
    return np.linalg.lstsq(system, offsets, rcond=None)[0]
