"""How alike two sets of maps are: Frechet distance, precision and recall, nearest neighbours.

All are taken on features of VGG16, since single texels say little: a furrow that lies 1 mm beside
is another map by texels and the same skin to the eye.

Why relu4 of whole maps at 256: on 48 maps of other people, relief included, the distance is 1.1
floors for untouched maps, 1.5 for halves of two faces joined, 2.1 without relief, 5.6 at 0.6 of
the depth, 7.2 for a blur of 1 mm. Earlier layers see fine relief more (relu3: 3.5 floors without
it, 19 blurred), later ones less.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial.distance import cdist
from torch import Tensor

from ...backend.errors import FurrowError
from .perceptual import lpips

NEIGHBOURS = 3
"""k of precision and recall, as their authors advise."""


@torch.no_grad()
def features(
    maps_mm: Tensor, mask: Tensor, resolution: int = 256, layer: str = "relu4", batch: int = 8
) -> np.ndarray:
    """Mean activations of VGG16 for every map.

    Parameters
    ----------
    maps_mm
        (N, 1, R, R) mm.
    mask
        (1, 1, R, R) in [0, 1]; maps are multiplied by it.
    resolution
        What maps are reduced to, by area mean; it divides R.
    layer
        One of `perceptual.Layers.NAMES`.

    Returns
    -------
    numpy.ndarray
        float64 (N, C): the mean over the tile of each of the layer's C channels
        (relu1 to relu5: 64, 128, 256, 512, 512).

    Raises
    ------
    FurrowError
        If `resolution` does not divide R, or the network cannot be had.
    """
    if maps_mm.shape[-1] % resolution:
        raise FurrowError(f"Maps of {maps_mm.shape[-1]} texels cannot be reduced to {resolution}.")
    layers = lpips("vgg16").layers.to(maps_mm.device)
    depth = layers.NAMES.index(layer) + 1
    parts = []
    for chunk in maps_mm.split(batch):
        small = F.avg_pool2d(chunk * mask, maps_mm.shape[-1] // resolution)
        parts.append(layers(small, depth)[-1].mean((2, 3)))
    return torch.cat(parts).double().cpu().numpy()


def frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """Frechet distance of two sets of features, as if both were normal (Heusel et al. 2017).

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)); it is biased upwards for small sets, so compare it
    with :func:`frechet_floor` at the same number of maps.

    Parameters
    ----------
    real, fake
        (N, C) and (M, C), of at least two maps each.

    Raises
    ------
    FurrowError
        If a set is too small or holds values that are no numbers.
    """
    _check(real, fake, least=2)
    gap = real.mean(0) - fake.mean(0)
    # With centred features X and Y scaled by 1 / sqrt(n - 1), the trace of the root of X'X Y'Y is
    # the sum of the singular values of X Y'. This stays exact where a covariance is singular, as
    # for fewer maps than channels, and where a matrix root would not. R of X = QR does for X: it
    # has the same X'X, and never more rows than there are channels.
    one, two = (np.linalg.qr((x - x.mean(0)) / np.sqrt(len(x) - 1)).R for x in (real, fake))
    cross = np.linalg.svd(one @ two.T, compute_uv=False).sum()
    return float(gap @ gap + (one**2).sum() + (two**2).sum() - 2 * cross)


def frechet_floor(real: np.ndarray, people: np.ndarray | None = None, draws: int = 10) -> float:
    """Mean Frechet distance between two random halves of one set: what a perfect generator gets.

    Parameters
    ----------
    real
        (N, C).
    people
        (N,) whose map each is; people are then kept whole, in one half or the other.
    draws
        How many ways to halve are averaged, from a fixed seed.
    """
    people = np.arange(len(real)) if people is None else people
    return float(np.mean([frechet(real[one], real[~one]) for one in halves(people, draws)]))


def halves(people: np.ndarray, draws: int = 10) -> Iterator[np.ndarray]:
    """Yield masks (N,) of one half of the people's maps, by different draws from a fixed seed."""
    names = np.unique(people)
    rng = np.random.default_rng(0)
    for _ in range(draws):
        yield np.isin(people, rng.permutation(names)[: len(names) // 2])


def precision_recall(
    real: np.ndarray, fake: np.ndarray, k: int = NEIGHBOURS
) -> tuple[float, float]:
    """Improved precision and recall (Kynkaanniemi et al. 2019).

    A set's manifold is the union of balls around its features, each reaching to the k-th nearest
    of the same set.

    Parameters
    ----------
    real, fake
        (N, C) and (M, C), of more than `k` maps each; best of equal size.

    Returns
    -------
    tuple
        Share of fakes on the real manifold, and share of reals on the manifold of fakes.
    """
    _check(real, fake, least=k + 1)
    between = cdist(fake, real)
    precision = (between <= _reach(real, k)[None]).any(1).mean()
    recall = (between <= _reach(fake, k)[:, None]).any(0).mean()
    return float(precision), float(recall)


@dataclass(frozen=True)
class Nearest:
    """How near maps lie to those that were learned from.

    Attributes
    ----------
    index
        (M,) the nearest training map of each.
    distance
        (M,) its distance in feature space.
    ratio
        Median of `distance` over the median distance of training maps to their own nearest, other
        people's only: well below 1 the maps are copies, near 1 they are new people.
    """

    index: np.ndarray
    distance: np.ndarray
    ratio: float


def nearest(
    fake: np.ndarray, train: np.ndarray, people: np.ndarray, own: np.ndarray | None = None
) -> Nearest:
    """Find each map's nearest training map.

    Parameters
    ----------
    fake, train
        (M, C) and (N, C).
    people
        (N,) whose map each training map is, of two people at least.
    own
        Rows of the training maps whose own nearest is looked for; all of them if None.
    """
    _check(train, fake, least=1)
    rows = np.arange(len(train)) if own is None else own
    between, apart = (_distances(points, train) for points in (fake, train[rows]))
    apart[people[rows][:, None] == people[None]] = np.inf
    distance = between.min(1)
    ratio = float(np.median(distance) / np.median(apart.min(1)))
    return Nearest(between.argmin(1), distance, ratio)


def _distances(points: np.ndarray, train: np.ndarray) -> np.ndarray:
    """(M, N), a part of the training maps at a time, since `cdist` works on a copy in float64."""
    chunks = range(0, len(train), 4000)
    return np.concatenate([cdist(points, train[start : start + 4000]) for start in chunks], 1)


def _reach(points: np.ndarray, k: int) -> np.ndarray:
    """Distance (N,) of each point to its k-th nearest other."""
    return np.partition(cdist(points, points), k, axis=1)[:, k]  # the nearest is itself


def _check(real: np.ndarray, fake: np.ndarray, least: int) -> None:
    for name, values in (("real", real), ("generated", fake)):
        if len(values) < least:
            raise FurrowError(f"There are {len(values)} {name} maps; this needs {least}.")
        if not np.isfinite(values).all():
            raise FurrowError(f"Among the {name} maps are some that are no numbers.")
