"""HOSVD of faces into the factored bilinear core that backend.head reads.

neutral(a) = mean + sum_k a_k B_k; unit j of a = U_j + sum_r (sum_k a_k G_jkr) S_r.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .anatomy import MATERIALS, Layout


@dataclass
class Core:
    """The factors, in metres and standard deviations.

    Attributes
    ----------
    mean
        (V, 3).
    basis
        (K, 3V).
    units
        (52, 3V).
    spatial
        (R, 3V).
    core
        (52, K, R).
    """

    mean: np.ndarray
    basis: np.ndarray
    units: np.ndarray
    spatial: np.ndarray
    core: np.ndarray


def importance(layout: Layout) -> np.ndarray:
    """How much an error of each vertex matters, (V,): the face most, above all lids and lips."""
    groups = layout.groups
    weight = 1.0 - 0.6 * groups["neck"] - 0.45 * groups["scalp"] - 0.3 * groups["ears"]
    weight += 0.8 * groups["eyelids"] + 0.8 * groups["lips"]
    slots = {
        name: np.unique(layout.faces[layout.face_material == i]) for i, name in enumerate(MATERIALS)
    }
    inside = np.setdiff1d(slots["gums"], slots["skin"])
    weight[inside[inside >= 0]] = 0.3
    for name, value in (
        ("eye", 0.3),
        ("cornea", 0.3),
        ("teeth", 0.4),
        ("tongue", 0.3),
        ("brows", 0.15),
        ("lashes", 0.15),
    ):
        weight[slots[name][slots[name] >= 0]] = value
    return weight


def identity_basis(
    faces: np.ndarray, weight: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Principal components of faces at rest.

    Parameters
    ----------
    faces
        float32 (N, 3V).
    weight
        (V,) importance.

    Returns
    -------
    mean (3V,), basis (count, 3V) for coefficients of unit variance, coefficients (N, count).
    """
    mean = faces.mean(0)
    centred = faces - mean
    weighted = centred * np.repeat(weight, 3).astype(np.float32)
    _, vectors = np.linalg.eigh((weighted @ weighted.T).astype(np.float64))
    coefficients = vectors[:, ::-1][:, :count] * np.sqrt(len(faces))
    basis = (coefficients.T @ centred) / len(faces)
    # The sign of a component is arbitrary: let it be the one that makes the head larger.
    shape = mean.reshape(-1, 3)
    grows = np.where(basis @ (shape - shape.mean(0)).ravel() < 0, -1.0, 1.0)
    return mean, basis * grows[:, None], coefficients * grows


def project(
    points: np.ndarray, mean: np.ndarray, basis: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Coefficients (..., K) of faces at rest (..., 3V): weighted least squares with a weak prior."""
    wide = np.repeat(weight, 3)
    weighted = basis * wide
    # Prior: a coefficient has unit variance, an error is about 0.3 mm a coordinate.
    prior = 0.0003**2 * float((wide**2).mean()) * np.eye(len(basis)) * 30
    right = ((points - mean) * wide) @ weighted.T
    return np.linalg.solve(weighted @ weighted.T + prior, right.T).T


def interaction(
    coefficients: np.ndarray,
    units: np.ndarray,
    weight: np.ndarray,
    rank: int,
    ridge: float,
    progress: Callable[[float, str], None] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Factor how the units depend on identity.

    Parameters
    ----------
    coefficients
        (M, K) of the people.
    units
        float32 (M, 52, 3V) of the same people; overwritten.
    rank
        R.
    ridge
        Strength of the prior that units do not depend on identity, in people.

    Returns
    -------
    units at the mean (52, 3V), spatial basis (R, 3V), core (52, K, R).
    """
    people, count, size = units.shape
    middle = units.mean(0)
    units -= middle
    flat = units.reshape(-1, size)
    wide = np.repeat(weight, 3).astype(np.float32)
    rng = np.random.default_rng(0)
    # Randomised SVD (Halko et al. 2011) with one power iteration; rows weighted by importance.
    sketch = (flat * wide) @ rng.standard_normal((size, rank + 40)).astype(np.float32)
    if progress:
        progress(0.3, "Factoring the interaction")
    sketch = np.linalg.qr(sketch)[0]
    sketch = np.linalg.qr((flat * wide) @ ((flat * wide).T @ sketch))[0]
    small = sketch.T @ (flat * wide)
    left, _, _ = np.linalg.svd(small, full_matrices=False)
    scores = sketch @ left[:, :rank]  # orthonormal columns
    if progress:
        progress(0.7, "Factoring the interaction")
    spatial = scores.T @ flat
    per_person = scores.reshape(people, count * rank)
    system = np.column_stack([np.ones(people), coefficients])
    prior = ridge * np.eye(system.shape[1])
    prior[0, 0] = 0.0
    solved = np.linalg.solve(system.T @ system + prior, system.T @ per_person)
    middle = middle + solved[0].reshape(count, rank) @ spatial
    core = solved[1:].reshape(-1, count, rank).transpose(1, 0, 2)
    return middle, spatial, core
