"""Maps as coefficients of principal components: what the linear and the vertex baselines predict.

The components are found at 256 on every fourth of the training maps, and all maps get their
coefficients there. What a coefficient means at 512 is then learned by regression from the maps that
exist at both resolutions: lines that are finer than a texel at 256 follow along.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ...backend.errors import FurrowError
from ..maps.data import Maps
from ..networks.basis import batches

COMPONENTS = 384
"""How many are kept; ridge regression on an earlier corpus no longer gained beyond 192."""

OVERSAMPLING = 16
"""Further directions that the randomised decomposition follows, for accuracy."""

SETTINGS = {"components": COMPONENTS, "oversampling": OVERSAMPLING}

VERSION = 1
"""Of what is computed here: raised by hand when a change alters results, so that kept ones are not used."""


def fit(coarse: Maps, fine: Maps) -> dict[str, Tensor]:
    """Find the components and all coefficients; about four minutes on one core.

    Parameters
    ----------
    coarse
        All training maps, at 256.
    fine
        The first people of them, with the same expressions, at 512.

    Returns
    -------
    dict
        ``images`` half (C + 1, R, R) mm, R the resolution of `fine`: the mean, then what one unit of
        each coefficient adds; ``coefficients`` float32 (N, C) of the maps of `coarse`, in mm times
        the root of their texels, so that squared errors of coefficients are those of maps.

    Raises
    ------
    FurrowError
        If `fine` holds other people or expressions than `coarse` begins with.
    """
    count = len(fine.map)
    for name in ("identity", "expression"):
        one, two = getattr(fine, name), getattr(coarse, name)[:count]
        if one.shape != two.shape or not np.allclose(one, two):
            raise FurrowError(
                "The baselines' maps at 512 are not of the people that the training set begins "
                "with. Remove the folder baselines512 and draw it anew with --full."
            )
    mean = _mean(coarse)
    basis = _directions(coarse, mean)
    coefficients = torch.cat([(part - mean) @ basis for part in _flat(coarse.map)])
    return {"images": _developed(coefficients[:count], fine), "coefficients": coefficients}


def maps_of(images: Tensor, coefficients: Tensor) -> Tensor:
    """Maps (n, 1, R, R) mm of coefficients (n, C), from the ``images`` of :func:`fit`."""
    flat = images.flatten(1).float()
    return (flat[:1] + coefficients @ flat[1:]).unflatten(1, (1, *images.shape[1:]))


def _flat(maps: np.ndarray) -> Iterator[Tensor]:
    for part in batches(maps, maps.shape[1], 1.0, 400):
        yield part.flatten(1)


def _mean(maps: Maps) -> Tensor:
    total = torch.zeros(maps.mask.size, dtype=torch.float64)
    for part in _flat(maps.map[::4]):
        total += part.sum(0)
    return (total / len(maps.map[::4])).float()


def _directions(maps: Maps, mean: Tensor) -> Tensor:
    """Principal directions (texels, C) by subspace iteration (Halko et al. 2011), one round."""
    quarter = maps.map[::4]
    width = min(COMPONENTS + OVERSAMPLING, len(quarter))
    sketch = torch.randn(len(mean), width, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        rows = torch.linalg.qr(torch.cat([(p - mean) @ sketch for p in _flat(quarter)])).Q
        sketch, start = torch.zeros(len(mean), width), 0
        for part in _flat(quarter):
            sketch += (part - mean).T @ rows[start : start + len(part)]
            start += len(part)
        # Orthogonal between the rounds, or all directions would lean to the strongest one.
        left, strengths, _ = torch.linalg.svd(sketch, full_matrices=False)
        sketch = left
    return sketch[:, strengths.argsort(descending=True)[:COMPONENTS]]


def _developed(coefficients: Tensor, fine: Maps) -> Tensor:
    """Least-squares images (C + 1, R, R) that make maps at R out of coefficients."""
    design = torch.cat([torch.ones(len(coefficients), 1), coefficients], 1)
    weighted = torch.zeros(design.shape[1], fine.mask.size)
    start = 0
    for part in _flat(fine.map):
        weighted += design[start : start + len(part)].T @ part
        start += len(part)
    square = (design.T @ design).double()
    # A hair of a ridge: a set smaller than the number of components has no unique solution.
    square.diagonal().add_(1e-9 * float(square.diagonal().mean()))
    images = torch.linalg.solve(square, weighted.double())
    return images.unflatten(1, fine.mask.shape).half()
