"""A template drawn onto another surface: near everywhere, its rims where they belong, or an error."""

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("igl")

from furrow.backend.errors import FurrowError
from furrow.backend.head.registration import (
    Points,
    chains,
    loops,
    match_rims,
    register,
    similarity,
)


def _sheet(count: int, hole: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A curved sheet of triangles, 0.4 m wide, bulging towards -Y; with a hole in its middle."""
    across = np.linspace(-0.2, 0.2, count)
    x, z = (grid.ravel() for grid in np.meshgrid(across, across, indexing="ij"))
    points = np.stack([x, -0.1 * np.cos(4 * x) * np.cos(4 * z), z], axis=1)
    start = (np.arange(count - 1)[:, None] * count + np.arange(count - 1)).ravel()
    quads = np.stack([start, start + count, start + count + 1, start + 1], axis=1)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    middle = np.hypot(*points[triangles].mean(1)[:, [0, 2]].T)
    triangles = triangles[middle > hole]
    used, triangles = np.unique(triangles, return_inverse=True)
    return points[used], triangles.reshape(-1, 3)


def _deformed(points: np.ndarray) -> np.ndarray:
    """A bump of 2 cm beside the middle, and everything a little wider."""
    bump = np.exp(-((points[:, 0] - 0.05) ** 2 + points[:, 2] ** 2) / 0.004)
    return points * np.array([1.05, 1.0, 0.97]) - 0.02 * bump[:, None] * np.array([0.0, 1.0, 0.0])


def _corners(points: np.ndarray) -> np.ndarray:
    ends = (points[:, [0, 2]] @ np.array([[1, 1], [1, -1]]).T).T
    return np.array([i for way in ends for i in (way.argmin(), way.argmax())])


def _border(triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The loop of vertices around the hole."""
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique, uses = np.unique(edges, axis=0, return_counts=True)
    neighbours: dict[int, list[int]] = {}
    for one, other in unique[uses == 1].tolist():
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    return min(loops(neighbours), key=lambda loop: np.hypot(*points[loop][:, [0, 2]].T).max())


def test_a_coarse_template_comes_to_lie_on_a_finer_surface():
    template, triangles = _sheet(24)
    points, faces = _sheet(61)
    target = _deformed(points)
    landmarks = Points(_corners(template), _deformed(template)[_corners(template)])
    result = register(template, triangles, target, faces, landmarks)
    inner = np.abs(template[:, [0, 2]]).max(1) < 0.17
    assert result.bound[inner].all()
    assert 1000 * np.quantile(result.residual[inner], 0.99) < 0.3
    # Along the surface nothing says where a vertex belongs; it must not have gone far.
    assert np.abs(result.points - _deformed(template))[inner].max() < 0.01
    carried = result.carry(target[None])[0]
    assert np.abs(carried - result.points)[inner].max() < 1e-3


def test_a_rim_stays_where_it_was_put():
    template, triangles = _sheet(24, hole=0.04)
    points, faces = _sheet(61, hole=0.04)
    target = _deformed(points)
    rim = match_rims(template, _border(triangles, template), target, _border(faces, points))
    landmarks = Points(_corners(template), _deformed(template)[_corners(template)])
    result = register(template, triangles, target, faces, landmarks, [rim])
    assert np.linalg.norm(result.points[rim.vertices] - rim.places, axis=1).max() < 0.0005


def test_chains_run_from_corner_to_corner():
    turn = 2 * np.pi * np.arange(12) / 12
    circle = np.stack([np.cos(turn), np.zeros(12), np.sin(turn)], axis=1)
    upper, lower = chains(circle, np.roll(np.arange(12), 5))
    assert upper[0] == lower[0] == 6 and upper[-1] == lower[-1] == 0
    assert (circle[upper[1:-1], 2] > 0).all() and (circle[lower[1:-1], 2] < 0).all()


def test_similarity_is_found_again():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    scale, rotation, shift = similarity(points, 1.7 * points @ turn.T + [1.0, 2.0, 3.0])
    assert scale == pytest.approx(1.7)
    np.testing.assert_allclose(rotation, turn, atol=1e-12)
    np.testing.assert_allclose(shift, [1.0, 2.0, 3.0], atol=1e-12)


def test_a_target_that_is_another_thing_is_refused_with_the_place():
    template, triangles = _sheet(16)
    far = template + np.array([0.0, 0.5, 0.0])
    nothing = Points(np.zeros(0, int), np.zeros((0, 3)))
    with pytest.raises(FurrowError, match=r"registration failed.*look near"):
        register(template, triangles, far[:, [1, 0, 2]], triangles, nothing)
    with pytest.raises(FurrowError, match="no face"):
        register(np.vstack([template, far[:1]]), triangles, template, triangles, nothing)
    broken = template.copy()
    broken[3, 1] = np.nan
    with pytest.raises(FurrowError, match="no numbers"):
        register(template, triangles, broken, triangles, nothing)
