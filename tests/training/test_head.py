"""The geometry behind the head: transfer, closing, cutting, the core's algebra."""

import numpy as np
import pytest

pytest.importorskip("scipy")

from furrow.backend.head.contact import Eye, depth_in_eye, outside
from furrow.training.head.contact import Opening
from furrow.training.head.core import identity_basis, interaction, project
from furrow.training.head.hair import Hair
from furrow.training.head.topology import clip
from furrow.training.head.transfer import DeformationTransfer


def _sheet(count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A gently curved sheet of quads: points (count^2, 3), quads."""
    x, z = np.meshgrid(np.linspace(-1, 1, count), np.linspace(-1, 1, count), indexing="ij")
    points = np.stack([x, -0.2 * (1 - x**2) * (1 - z**2), z], -1).reshape(-1, 3)
    start = (np.arange(count - 1)[:, None] * count + np.arange(count - 1)).ravel()
    return points, np.stack([start, start + count, start + count + 1, start + 1], 1)


def _bump(points: np.ndarray) -> np.ndarray:
    inside = np.clip(1 - (points[:, 0] ** 2 + points[:, 2] ** 2) / 0.6, 0, 1)
    return inside[:, None] ** 2 * np.array([0.05, -0.2, 0.1])


def test_transfer_to_the_same_face_is_exact_and_follows_rotation_and_size():
    points, quads = _sheet()
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    offsets = _bump(points)[None]
    transfer = DeformationTransfer(points, offsets, triangles)
    assert np.abs(transfer(points) - offsets).max() < 1e-12
    # Deformation gradients belong to the world's axes: only size carries through them.
    assert np.abs(transfer(1.7 * points) - 1.7 * offsets).max() < 1e-9


def test_outside_leaves_sclera_and_cornea_and_keeps_the_rest():
    eye = Eye(np.zeros(3), 0.012, np.array([0.0, -1.0, 0.0]))
    rng = np.random.default_rng(0)
    points = rng.normal(0, 0.012, (400, 3))
    vertices = np.arange(200)
    freed = outside(points, vertices, np.full(200, 1e-4), eye)
    assert depth_in_eye(freed[vertices], eye)[0].max() < 0
    assert np.array_equal(freed[200:], points[200:])
    apex = np.array([[0.0, -0.0125, 0.0]])  # outside the sclera, inside the cornea
    assert depth_in_eye(apex, eye)[0][0] > 0


def test_closing_brings_rims_together_and_fades_out():
    points, quads = _sheet(17)
    middle = np.flatnonzero((np.abs(points[:, 2]) < 1e-9) & (np.abs(points[:, 0]) < 0.6))
    # A slit in the shape of a lens: the middle row doubled, its copies belong to the upper faces.
    half = 0.15 * (1 - (points[middle, 0] / 0.625) ** 2)
    upper = len(points) + np.arange(len(middle))
    above = points[quads].mean(1)[:, 2] > 0
    copy = np.arange(len(points))
    copy[middle] = upper
    quads = np.where(above[:, None], copy[quads], quads)
    points = np.concatenate([points, points[middle]])
    points[middle, 2] -= half
    points[upper, 2] += half
    corners = np.flatnonzero(
        (np.abs(points[:, 2]) < 1e-9) & (np.abs(np.abs(points[:, 0]) - 0.625) < 1e-9)
    )
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    loop = np.concatenate([middle, upper, corners])
    opening = Opening(points, triangles, [loop], 0.5, 0.5, 0.0, np.ones(1))
    assert opening.gap(points) > 0.25
    closed = opening.closing()(points)
    assert opening.gap(closed) < 1e-9
    far = np.abs(points[:, 2]) > 0.9
    assert np.array_equal(closed[far], points[far])


def test_cut_has_no_slivers_and_lies_on_the_surface():
    points, quads = _sheet(20)
    inside = 0.7 - np.hypot(points[:, 0], points[:, 2])
    bust = clip(quads, np.zeros(len(quads), bool), inside)
    assert bust.rows.shape[1] > len(points)  # columns are the package's vertices
    cut = bust.rows[:, : len(points)] @ points
    assert np.abs(np.hypot(cut[bust.rim, 0], cut[bust.rim, 2]) - 0.7).max() < 0.01
    corner = cut[bust.faces[:, :3]]
    area = np.linalg.norm(
        np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1
    )
    assert area.min() > 0.05 * np.median(area)


def test_core_recovers_a_bilinear_model():
    rng = np.random.default_rng(3)
    people, size, components = 60, 90, 4
    basis = rng.normal(0, 1, (components, size))
    identity = rng.normal(0, 1, (people, components))
    mean = rng.normal(0, 1, size)
    faces = (mean + identity @ basis).astype(np.float32)
    weight = np.ones(size // 3)
    core_mean, rows, coefficients = identity_basis(faces, weight, components)
    assert np.abs(core_mean + coefficients @ rows - faces).max() < 1e-4
    assert coefficients.std(0) == pytest.approx(np.ones(components), abs=0.01)
    shape = project(faces[:3].astype(float), core_mean, rows, weight)
    assert np.abs(core_mean + shape @ rows - faces[:3]).max() < 0.02
    tensor = rng.normal(0, 1, (52, components, 6)) @ rng.normal(0, 1, (6, size))
    units = (1.0 + np.einsum("pk,jks->pjs", identity, tensor)).astype(np.float32)
    middle, spatial, core = interaction(coefficients, units.copy(), weight, 8, ridge=1e-6)
    again = middle + np.einsum("pk,jkr,rs->pjs", coefficients, core, spatial)
    assert np.abs(again - units).max() < 0.01 * np.abs(units).max()


def test_hair_keeps_its_length_on_a_stretched_face():
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, 1]])
    local = np.array([[[0, 0, 0], [0.1, 0, 0], [0, 0.3, 0.1], [0.1, 0.3, 0.1], [0, 0.5, 0.3]]])
    hair = Hair(np.array([[0, 1, 2]]), np.array([[0.2, 0.5, 0.3]]), local)
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    for face in (points, 2.5 * points, points @ turn):
        card = hair.place(face)
        assert np.linalg.norm(card[4] - card[0]) == pytest.approx(np.hypot(0.5, 0.3))
