"""Non-rigid registration: a template drawn onto another surface, its own vertices and faces kept.

Optimal-step non-rigid ICP (Amberg, Romdhani and Vetter, "Optimal Step Nonrigid ICP Algorithms for
Surface Registration", CVPR 2007). Every template vertex has an affine transform of its own;
transforms of neighbours are alike, the more so the stiffer the template; vertices are drawn to the
nearest points of the target, and the template softens from step to step. Landmarks lead at the
beginning and fade out, or they would leave dimples; rims (of lips, of lids) stay hard to the end,
since the nearest point of a lip is all too often the other lip.

Needs SciPy and libigl, which the extension does not carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import FurrowError

RIM_WEIGHT = 10.0
"""Of a rim vertex's place against that of a nearest point."""

MAX_ANGLE = np.deg2rad(60.0)
"""A nearest point whose normal differs by more belongs to another sheet of the surface."""

RESIDUAL_LIMIT = 0.005
"""Metres at size 0.4 m (a bust): a registration whose 99th percentile is worse has failed."""


@dataclass(frozen=True)
class Step:
    """One stage of the schedule.

    Attributes
    ----------
    stiffness
        Weight of the differences between neighbours' transforms, for a template of unit size.
    landmarks
        Weight of a landmark against that of a nearest point.
    """

    stiffness: float
    landmarks: float


SCHEDULE = (
    Step(0.50, 5.0),
    Step(0.25, 4.0),
    Step(0.12, 2.5),
    Step(0.06, 1.0),
    Step(0.03, 0.3),
    Step(0.015, 0.0),
    Step(0.010, 0.0),
)
"""For heads; the last stiffness leaves about 0.01 mm of residual on skin (median)."""

ITERATIONS = 3
"""Nearest points are looked for so often in each step."""


@dataclass(frozen=True)
class Points:
    """Template vertices (n,) and where they belong on the target, (n, 3) metres."""

    vertices: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class Registration:
    """A template on its target.

    Attributes
    ----------
    points
        (V, 3) metres, in the target's space.
    residual
        (V,) metres to the target's surface.
    bound
        bool (V,): vertices that follow the target; the others follow their neighbours.
    triangles, barycentric
        Each vertex's nearest triangle (V, 3) of the target, and weights (V, 3) of its corners.
    """

    points: np.ndarray
    residual: np.ndarray
    bound: np.ndarray
    triangles: np.ndarray
    barycentric: np.ndarray

    def carry(self, values: np.ndarray) -> np.ndarray:
        """Read values (..., T, C) of the target's vertices at the template's, (..., V, C)."""
        corners = values[..., self.triangles, :]
        return np.einsum("...vkc,vk->...vc", corners, self.barycentric)


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation (3, 3) and shift (3,) that bring points (n, 3) closest to others.

    ``scale * source @ rotation.T + shift`` is near `target` (Umeyama, PAMI 1991).
    """
    from_centre, to_centre = source.mean(0), target.mean(0)
    left, stretch, right = np.linalg.svd((target - to_centre).T @ (source - from_centre))
    mirror = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = (left * mirror) @ right
    scale = float((stretch * mirror).sum() / ((source - from_centre) ** 2).sum())
    return scale, rotation, to_centre - scale * rotation @ from_centre


def chains(points: np.ndarray, loop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split a loop of vertices in order at its corners, the least and the largest x.

    Returns the upper and the lower chain, both from the least x to the largest, corners included.
    """
    loop = np.roll(loop, -int(points[loop, 0].argmin()))
    end = int(points[loop, 0].argmax())
    one, other = loop[: end + 1], np.concatenate([loop[end:], loop[:1]])[::-1]
    if points[one, 2].mean() < points[other, 2].mean():
        one, other = other, one
    return one, other


def match_rims(
    template: np.ndarray, loop: np.ndarray, target: np.ndarray, target_loop: np.ndarray
) -> Points:
    """Bring a rim of the template onto one of the target: corner to corner, by share of length."""
    places: dict[int, np.ndarray] = {}
    both = zip(chains(template, loop), chains(target, target_loop), strict=True)
    for chain, target_chain in both:
        share, target_share = (
            _share_of_length(p[c]) for p, c in ((template, chain), (target, target_chain))
        )
        line = target[target_chain]
        on_line = np.stack([np.interp(share, target_share, line[:, k]) for k in range(3)], axis=1)
        places |= dict(zip(chain.tolist(), on_line, strict=True))
    return Points(np.array(list(places)), np.stack(list(places.values())))


def _share_of_length(line: np.ndarray) -> np.ndarray:
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    return length / length[-1]


def register(
    template: np.ndarray,
    triangles: np.ndarray,
    target: np.ndarray,
    target_triangles: np.ndarray,
    landmarks: Points,
    rims: Iterable[Points] = (),
    bound: np.ndarray | None = None,
    schedule: Iterable[Step] = SCHEDULE,
    iterations: int = ITERATIONS,
) -> Registration:
    """Draw a template onto a target.

    Parameters
    ----------
    template, triangles
        (V, 3) metres, already near the target (:func:`similarity`), and int (F, 3).
    target, target_triangles
        (T, 3) metres and int (G, 3), turned outwards as the template's. It may have borders: what
        lies nearest to one of them is not drawn to it.
    landmarks, rims
        Places on the target that are known: soft ones that fade out, hard ones that stay.
    bound
        bool (V,): vertices that the target knows; cavities and what it lacks should be False.

    Raises
    ------
    FurrowError
        If SciPy or libigl is missing, a number is not finite, or the template did not come near.
    """
    scipy, igl = _libraries()
    for name, points in (("template", template), ("target", target)):
        if not np.isfinite(points).all():
            raise FurrowError(f"The {name} of a registration holds values that are no numbers.")
    if len(np.unique(triangles)) != len(template):
        raise FurrowError("The template of a registration has vertices that no face holds.")
    rims = list(rims)
    hard = Points(
        np.concatenate([np.zeros(0, np.int64), *(rim.vertices for rim in rims)]),
        np.concatenate([np.zeros((0, 3)), *(rim.places for rim in rims)]),
    )
    drawn = np.ones(len(template), bool) if bound is None else bound.copy()
    drawn[hard.vertices] = False
    centre, size = template.mean(0), float(np.linalg.norm(np.ptp(template, axis=0)))
    surface = _Surface(igl, (target - centre) / size, target_triangles)
    start = (template - centre) / size
    places = [(p.vertices, (p.places - centre) / size) for p in (landmarks, hard)]
    count = len(start)
    smooth = _stiffness(scipy.sparse, triangles, count)
    # Row v of `apply` times the transforms (4V, 3) is the moved vertex v.
    apply = scipy.sparse.csr_matrix(
        (
            np.column_stack([start, np.ones(count)]).ravel(),
            np.arange(4 * count),
            np.arange(0, 4 * count + 1, 4),
        ),
        shape=(count, 4 * count),
    )
    moved = start
    for step in schedule:
        for _ in range(iterations):
            nearest = surface.nearest(moved)
            follows = drawn & surface.matches(nearest, vertex_normals(moved, triangles))
            system = step.stiffness * smooth
            right = np.zeros((4 * count, 3))
            for vertices, goals, weight in (
                (np.flatnonzero(follows), nearest.points[follows], 1.0),
                (*places[0], step.landmarks),
                (*places[1], RIM_WEIGHT),
            ):
                rows = apply[vertices]
                system = system + weight * (rows.T @ rows)
                right += weight * (rows.T @ goals)
            solver = scipy.sparse.linalg.splu(
                system.tocsc(),
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
            moved = apply @ solver.solve(right)
    nearest = surface.nearest(moved)
    follows = drawn & surface.matches(nearest, vertex_normals(moved, triangles))
    follows[hard.vertices] = True
    result = Registration(
        moved * size + centre,
        nearest.distance * size,
        follows,
        target_triangles[nearest.faces],
        nearest.barycentric,
    )
    _check(result, drawn, size)
    return result


def _check(result: Registration, drawn: np.ndarray, size: float) -> None:
    """Refuse a registration that did not come near its target; names the place."""
    limit = RESIDUAL_LIMIT * size / 0.4
    followers = result.bound & drawn
    share = followers.sum() / max(1, drawn.sum())
    worst = float(np.quantile(result.residual[followers], 0.99)) if followers.any() else np.inf
    if share > 0.7 and worst < limit:
        return
    residual = np.where(drawn, np.where(result.bound, result.residual, np.inf), -np.inf)
    place = result.points[int(residual.argmax())]
    raise FurrowError(
        f"The registration failed: {share:.0%} of the template follow the target, and the worst "
        f"hundredth is {1000 * worst:.1f} mm from it (at most {1000 * limit:.1f}); look near "
        f"({place[0]:.3f}, {place[1]:.3f}, {place[2]:.3f}) m."
    )


def _libraries():
    try:
        import igl
        import scipy.sparse
        import scipy.sparse.linalg
    except ModuleNotFoundError as error:
        raise FurrowError(
            f'A registration needs the package {error.name}: pip install "furrow[train]".',
            "missing_package",
        ) from None
    return scipy, igl


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (V, 3)."""
    corners = points[triangles]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(points)
    for k in range(3):
        np.add.at(normals, triangles[:, k], flat)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)


def _stiffness(sparse, triangles: np.ndarray, count: int):
    """Squared differences of neighbours' transforms as a symmetric matrix (4V, 4V)."""
    edges = np.unique(np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    rows = np.arange(len(edges))
    one = np.ones(len(edges))
    incidence = sparse.coo_matrix(
        (np.concatenate([-one, one]), (np.concatenate([rows, rows]), edges.T.ravel())),
        shape=(len(edges), count),
    )
    return sparse.kron(incidence.T @ incidence, sparse.identity(4)).tocsc()


@dataclass(frozen=True)
class _Nearest:
    """Nearest points (V, 3), their distance (V,), triangle (V,) and barycentric weights (V, 3)."""

    points: np.ndarray
    distance: np.ndarray
    faces: np.ndarray
    barycentric: np.ndarray


class _Surface:
    """The target, with what the search for nearest points needs."""

    def __init__(self, igl, points: np.ndarray, triangles: np.ndarray) -> None:
        self.igl = igl
        self.points = np.ascontiguousarray(points, np.float64)
        self.triangles = np.ascontiguousarray(triangles, np.int64)
        corners = self.points[self.triangles]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self.normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
        edges = np.sort(self.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        unique, uses = np.unique(edges, axis=0, return_counts=True)
        self.on_border = np.zeros(len(points), bool)
        self.on_border[unique[uses == 1]] = True
        self.tree = igl.AABB()
        self.tree.init(self.points, self.triangles)

    def nearest(self, queries: np.ndarray) -> _Nearest:
        squared, faces, points = self.tree.squared_distance(
            self.points, self.triangles, np.ascontiguousarray(queries)
        )
        corners = [np.ascontiguousarray(self.points[self.triangles[faces, k]]) for k in range(3)]
        barycentric = self.igl.barycentric_coordinates(points, *corners)
        return _Nearest(points, np.sqrt(squared), faces, barycentric)

    def matches(self, nearest: _Nearest, normals: np.ndarray) -> np.ndarray:
        """bool (V,): the nearest point faces the same way and does not lie on a border."""
        faces_alike = (normals * self.normals[nearest.faces]).sum(1) > np.cos(MAX_ANGLE)
        touches = nearest.barycentric > 1e-3
        on_border = (touches & self.on_border[self.triangles[nearest.faces]]).sum(1)
        return faces_alike & (on_border < touches.sum(1))


def polygon_triangles(faces: np.ndarray) -> np.ndarray:
    """Triangles (F, 3) of quads and triangles (N, 4), -1 in a triangle's last column."""
    quads = faces[faces[:, 3] >= 0]
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]], faces[faces[:, 3] < 0][:, :3]])


def loops(edges: Mapping[int, Iterable[int]]) -> list[np.ndarray]:
    """Order the vertices of closed loops, given each vertex's two neighbours in its loop.

    Raises
    ------
    FurrowError
        If a vertex has more or fewer than two: what was taken for a rim is none.
    """
    neighbours = {vertex: sorted(set(around)) for vertex, around in edges.items()}
    if any(len(around) != 2 for around in neighbours.values()):
        raise FurrowError("A rim of the mesh is no closed loop.")
    left, result = set(neighbours), []
    while left:
        loop = [min(left)]
        left.discard(loop[0])
        while following := [v for v in neighbours[loop[-1]] if v in left]:
            loop.append(following[0])
            left.discard(following[0])
        result.append(np.array(loop))
    return result
