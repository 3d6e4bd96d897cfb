"""Openings of the skin, and how their rims are drawn together (see backend.contact).

Rims are loops of vertices around an opening. Where the rims should meet, the lower one is drawn to
the meeting line, the upper one to the lower one's polyline; the skin around follows harmonically.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import splu

from ...backend.head.contact import Closing
from .transfer import gradient


def rings(faces: np.ndarray, start: np.ndarray, count: int) -> list[np.ndarray]:
    """Vertices by their distance in edges from a set: `count` + 1 arrays, the set first."""
    edges = np.concatenate([faces[:, [k, (k + 1) % 4]] for k in range(4)])
    edges = np.concatenate([edges, faces[:, [2, 0]]])  # closes triangles; a diagonal of quads
    triangle = np.concatenate([np.repeat(faces[None, :, 3] < 0, 4, 0).ravel(), faces[:, 3] < 0])
    diagonal = np.arange(len(edges)) >= 4 * len(faces)
    edges = edges[(edges >= 0).all(1) & (~diagonal | triangle)]
    size = int(faces.max()) + 1
    near = sp.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (size, size))
    near = ((near + near.T) > 0).tocsr()
    inside = np.zeros(size, bool)
    inside[start] = True
    loops = [start]
    for _ in range(count):
        reached = np.unique(near[loops[-1]].indices)
        loops.append(reached[~inside[reached]])
        inside[reached] = True
    return loops


@dataclass
class Rim:
    """One loop of an opening: upper and lower chain, and each on the other's polyline.

    Attributes
    ----------
    upper, lower
        Vertices, corner vertices left out.
    to_lower
        (upper, lower + corners) weights: the point of the lower chain below each upper vertex.
    to_upper
        (lower, upper + corners) weights.
    lower_chain, upper_chain
        Vertices that the weights refer to, corner to corner.
    """

    upper: np.ndarray
    lower: np.ndarray
    to_lower: np.ndarray
    to_upper: np.ndarray
    lower_chain: np.ndarray
    upper_chain: np.ndarray


def make_rim(points: np.ndarray, loop: np.ndarray, travel: np.ndarray | None = None) -> Rim:
    """Split a loop of the average face at its corners (least and largest x).

    Parameters
    ----------
    travel
        (V,) a motion that parts the rims: what it moves up by more than the corners is the upper
        one. Without it the chord between the corners divides them, which curved lips cross.
    """
    order = loop[np.argsort(points[loop, 0])]
    start, end = order[0], order[-1]
    inner = order[1:-1]
    if travel is None:
        share = (points[inner, 0] - points[start, 0]) / np.ptp(points[loop, 0])
        chord = points[start, 2] + share * (points[end, 2] - points[start, 2])
        above = points[inner, 2] > chord
    else:
        above = travel[inner] > 0.5 * (travel[start] + travel[end])
    upper, lower = inner[above], inner[~above]
    upper_chain = np.concatenate([[start], upper, [end]])
    lower_chain = np.concatenate([[start], lower, [end]])
    return Rim(
        upper,
        lower,
        _hats(points[upper, 0], points[lower_chain, 0]),
        _hats(points[lower, 0], points[upper_chain, 0]),
        lower_chain,
        upper_chain,
    )


def _hats(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Linear interpolation weights (n, knots) of increasing knots."""
    return np.stack([np.interp(x, knots, row) for row in np.eye(len(knots))], axis=1)


class Opening:
    """An opening whose rims can be closed.

    Parameters
    ----------
    points, triangles
        The average bust.
    loops
        Loops of vertices, from inside to outside, that are to meet.
    reach
        How far the skin around follows, metres.
    lower_share
        How much of the way the lower rim goes.
    overlap
        How far the upper rim goes beyond the lower one, metres: subdivision rounds the rims off,
        and rims that only touch would open a slit.
    strength
        (loops,) 1 for loops that meet, less for loops that only come nearer.
    travel
        (V,) as in :func:`make_rim`.
    """

    def __init__(
        self,
        points: np.ndarray,
        triangles: np.ndarray,
        loops: Iterable[np.ndarray],
        reach: float,
        lower_share: float,
        overlap: float,
        strength: np.ndarray,
        travel: np.ndarray | None = None,
    ) -> None:
        loops = list(loops)
        self.strength, self.overlap = strength, overlap
        self.rims = [make_rim(points, loop, travel) for loop in loops]
        self.lower_share = lower_share
        self.handles = np.unique(np.concatenate(loops))
        edges = np.unique(np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0)
        length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
        graph = sp.coo_matrix((length, (edges[:, 0], edges[:, 1])), (len(points),) * 2).tocsr()
        distance = dijkstra(graph, directed=False, indices=self.handles, min_only=True)
        is_handle = np.zeros(len(points), bool)
        is_handle[self.handles] = True
        self.followers = np.flatnonzero((distance < reach) & ~is_handle)
        operator, areas = gradient(points, triangles)
        laplacian = (operator.T @ sp.diags(np.repeat(areas, 3)) @ operator).tocsr()
        rows = laplacian[self.followers]
        inner = rows[:, self.followers].tocsc()
        self.spread = -splu(inner).solve(rows[:, self.handles].toarray())

    def closing(self) -> Closing:
        """The closing of this opening as one linear map."""
        place = {int(v): i for i, v in enumerate(self.handles)}
        count = len(self.handles)
        closed = np.eye(count)
        lift = np.zeros(count)

        def at(vertices: np.ndarray) -> np.ndarray:
            return np.array([place[int(v)] for v in vertices])

        for rim, strength in zip(self.rims, self.strength, strict=True):
            upper, lower = at(rim.upper), at(rim.lower)
            before = closed.copy()
            meet = rim.to_upper @ before[at(rim.upper_chain)]
            closed[lower] += strength * self.lower_share * (meet - before[lower])
            down = rim.to_lower @ closed[at(rim.lower_chain)]
            closed[upper] += strength * (down - before[upper])
            lift[upper] = -self.overlap
        change = closed - np.eye(count)
        return Closing(
            self.handles,
            np.concatenate([self.handles, self.followers]),
            np.concatenate([change, self.spread @ change]),
            np.concatenate([lift, self.spread @ lift]),
        )

    def gap(self, points: np.ndarray) -> float:
        """Return the widest gap between the rims, metres; 0 where they touch or overlap.

        At each place along the rims the narrowest loop counts: light passes only where all gape.
        """
        grid = np.linspace(0.06, 0.94, 45)
        best = np.full(len(grid), np.inf)
        for rim, strength in zip(self.rims, self.strength, strict=True):
            if strength < 1:
                continue
            upper, lower = points[rim.upper_chain], points[rim.lower_chain]
            between = _along(upper, grid) - _along(lower, grid)
            distance = np.linalg.norm(between, axis=1)
            crossed = (between[:, 2] < 0) & (distance < 2 * self.overlap)
            best = np.minimum(best, np.where(crossed, 0.0, distance))
        return float(best.max())


def _along(chain: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Points of a polyline at shares of its extent in x."""
    x = (chain[:, 0] - chain[0, 0]) / (chain[-1, 0] - chain[0, 0])
    x = np.maximum.accumulate(x)
    return np.stack([np.interp(share, x, chain[:, k]) for k in range(3)], axis=1)
