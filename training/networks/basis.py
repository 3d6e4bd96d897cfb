"""Fitting a local basis of maps: principal components by patch, then of their coefficients.

Convolutions learn slowly on a CPU, principal components come at once. The images of every patch
are the components of what the corpus shows there, and the style that mixes them holds the
components of all patches' coefficients: the encoder learns to yield them by plain regression.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...backend.detail.engines.torch_layers import W_SIZE, LocalBasis


def batches(maps: np.ndarray, resolution: int, unit: float, size: int = 100) -> Iterator[Tensor]:
    """Maps (N, R, R) in mm, in units of `unit` mm and at a lower resolution: (n, 1, r, r) each."""
    for start in range(0, len(maps), size):
        chunk = torch.from_numpy(np.asarray(maps[start : start + size], np.float32))[:, None] / unit
        factor = chunk.shape[-1] // resolution
        yield F.avg_pool2d(chunk, factor) if factor > 1 else chunk


def window(side: int, hop: int) -> Tensor:
    """Fade of a patch, (side, side); the squares of overlapping patches' fades add up to 1."""
    ramp = torch.sin((torch.arange(side - hop) + 0.5) / (side - hop) * math.pi / 2)
    line = torch.cat([ramp, torch.ones(2 * hop - side), ramp.flip(0)])
    return line[:, None] * line[None]


def cut(basis: LocalBasis, images: Tensor) -> Tensor:
    """Patches (N, n^2, side, side) of images (N, 1, R, R); zeros beyond the tile."""
    grid = _padded(basis, images).unfold(1, basis.side, basis.hop).unfold(2, basis.side, basis.hop)
    return grid.flatten(1, 2)


def _padded(basis: LocalBasis, images: Tensor) -> Tensor:
    before = basis.side - basis.hop
    after = basis.patches * basis.hop - basis.resolution
    return F.pad(images[:, 0], (before, after, before, after))


@torch.no_grad()
def fit_images(basis: LocalBasis, maps: Tensor, mask: Tensor) -> None:
    """Set the images to the principal components of `maps` by patch.

    Parameters
    ----------
    maps
        (N, 1, R, R) in raw units, R the basis's resolution, N > K.
    mask
        (1, 1, R, R) in (0, 1], how much each texel counts.
    """
    fade = window(basis.side, basis.hop)
    weights = cut(basis, mask)[0]
    padded = _padded(basis, maps)
    for index in range(basis.patches**2):
        row, column = (basis.hop * k for k in divmod(index, basis.patches))
        weight = weights[index].sqrt()
        patch = padded[:, row : row + basis.side, column : column + basis.side]
        patch = (patch * (fade * weight)).flatten(1)
        if not weight.any():
            continue
        torch.manual_seed(0)  # a randomised decomposition; the same maps give the same images
        _, _, vectors = torch.svd_lowrank(patch, basis.count + 16, niter=4)
        images = vectors[:, : basis.count].T.unflatten(1, fade.shape)
        basis.images[index] = torch.where(weight > 0, images * fade / weight.clamp(min=1e-3), 0.0)


@torch.no_grad()
def project(basis: LocalBasis, maps: Tensor, mask: Tensor) -> Tensor:
    """Coefficients (N, n^2 K) whose mixture comes nearest to maps (N, 1, R, R) in raw units."""
    # Images are orthonormal under mask / fade^2; the fade comes back on reconstruction.
    patches = (cut(basis, maps) * cut(basis, mask)).flatten(2).transpose(0, 1)
    return torch.bmm(patches, basis.images.flatten(2).transpose(1, 2)).transpose(0, 1).flatten(1)


@torch.no_grad()
def fit_loadings(basis: LocalBasis, coefficients: Tensor) -> Tensor:
    """Set loadings and mean to the principal components of coefficients (N, n^2 K).

    Returns
    -------
    Tensor
        (512,) variance that each number of the style stands for, in squared raw units summed over
        the map; zero for those beyond the rank.
    """
    mean = coefficients.mean(0)
    rank = min(W_SIZE, *coefficients.shape)
    torch.manual_seed(0)
    over = min(rank + 64, *coefficients.shape)
    _, values, vectors = torch.svd_lowrank(coefficients - mean, over, niter=4)
    variance = torch.zeros(W_SIZE)
    variance[:rank] = values[:rank].square() / len(coefficients)
    basis.mean.copy_(mean)
    basis.loadings.zero_()
    basis.loadings[:, :rank] = vectors[:, :rank] * variance[:rank].sqrt()
    return variance


@torch.no_grad()
def styles(basis: LocalBasis, coefficients: Tensor, variance: Tensor) -> Tensor:
    """Styles (N, 512) of unit variance that yield coefficients (N, n^2 K), but for the rank."""
    inverse = torch.where(variance > 0, 1 / variance.clamp(min=1e-12), torch.zeros(()))
    return (coefficients - basis.mean) @ (basis.loadings * inverse)
