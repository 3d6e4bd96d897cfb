"""Codes, the points of W+ that the encoder gives people and expressions, and what of them shows in maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...backend.head import Head
from ...backend.torch_networks import W_SIZE, Encoder, Synthesis
from ..corpus.chart import chart
from ..corpus.sampler import sample_expression, sample_identity

RANK_SAMPLES = 1500
"""Codes whose maps are drawn, to learn which changes of W+ show."""

LINES_RESOLUTION = 256
"""Texels of those maps: furrows show, pores do not."""

SMALLEST = 1e-7
"""Of the largest variance; below it is rounding."""

RELIEF_WEIGHT = 5.0
"""How much more than its energy the strength of the pores counts: they lie on all of the skin."""


def draw_people(head: Head, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw people with an expression each from the corpus: identity (N, K + 16), expression (N, 52)."""
    rng = np.random.default_rng(seed)
    drawn = [(sample_identity(head, rng).vector, sample_expression(rng)) for _ in range(count)]
    identity, expression = (np.stack(part) for part in zip(*drawn, strict=True))
    return torch.from_numpy(identity), torch.from_numpy(expression)


def skin_mask(head: Head, resolution: int) -> Tensor:
    """How much of each texel is visible skin: (1, 1, R, R) in [0, 1]."""
    skin = chart(head, resolution)
    mask = np.zeros((resolution, resolution), np.float32)
    mask.ravel()[skin.texels] = skin.weight
    return torch.from_numpy(mask)[None, None]


@torch.no_grad()
def line_maps(synthesis: Synthesis, w: Tensor, resolution: int, batch: int = 20) -> Tensor:
    """Maps of codes w (N, num_ws, 512) without relief at a lower resolution r: (N, 1, r, r) mm.

    The convolutions are computed in bfloat16, which is off by about 1 % and twice as fast.
    """
    parts = [synthesis.lower(part, resolution, torch.bfloat16)[1] for part in w.split(batch)]
    return torch.cat(parts) * synthesis.scale


@dataclass(frozen=True)
class Components:
    """The changes of W+ that show most in maps, as coordinates of codes.

    Attributes
    ----------
    mean
        (num_ws * 512,), the codes' mean.
    back
        (k, num_ws * 512): the mean change of W+ with each coordinate.
    values
        (N, k), the coordinates of the codes, in millimetres RMS of map.
    shown
        Share of the codes' variance, as the maps show it, that the k coordinates hold.
    """

    mean: Tensor
    back: Tensor
    values: Tensor
    shown: float

    def codes(self, values: Tensor) -> Tensor:
        """W+ (N, num_ws, 512) of coordinates (N, k)."""
        return (self.mean + values @ self.back).unflatten(1, (-1, W_SIZE))


@torch.no_grad()
def components(
    encoder: Encoder,
    synthesis: Synthesis,
    identity: Tensor,
    expression: Tensor,
    mask: Tensor,
    relief: Tensor,
    count: int,
) -> Components:
    """Find the principal components of codes under the metric of their maps.

    W+ is far larger than what the maps show of it, so plain components would be spent on what
    nobody sees. Maps of the first codes are regressed on the codes; the components are those of
    the maps so predicted, and W+ is regressed on them in turn.

    Parameters
    ----------
    identity, expression
        (N, K + 16) and (N, 52), whose codes are taken.
    mask
        (1, 1, r, r), how much each texel counts.
    relief
        (num_ws, 512): how much the RMS of the relief (mm) changes with W+.
    count
        k.
    """

    def encode(rows: slice) -> Tensor:
        return encoder(identity[rows], expression[rows]).flatten(1)

    seen = min(RANK_SAMPLES, len(identity))
    w = encode(slice(seen))
    mean = w.mean(0)
    axes = _principal_axes(w - mean)
    drawn = line_maps(synthesis, w.unflatten(1, (-1, W_SIZE)), mask.shape[-1])
    shown = _scores(drawn * mask.sqrt()) / mask.sum().sqrt()
    coordinates = (w - mean) @ axes.T
    gram = coordinates.T @ coordinates
    gram += 1e-4 * gram.trace() / len(gram) * torch.eye(len(gram))
    visible = torch.linalg.solve(gram, coordinates.T @ shown)
    visible = torch.cat([visible, RELIEF_WEIGHT * (axes @ relief.flatten())[:, None]], 1)
    starts = range(0, len(identity), 1000)
    coordinates = torch.cat([(encode(slice(i, i + 1000)) - mean) @ axes.T for i in starts])
    average = coordinates.mean(0)
    coordinates -= average
    seen_as = coordinates @ visible
    energies, vectors = torch.linalg.eigh((seen_as.T @ seen_as / len(seen_as)).double())
    values = seen_as @ vectors.flip(1)[:, :count].float()
    largest = energies.flip(0)[:count]
    # The values are uncorrelated, so each is regressed on alone; without energy it means nothing.
    slopes = values.T @ coordinates / len(values) / largest.float()[:, None]
    slopes[largest < SMALLEST * largest[0]] = 0.0
    kept = largest.sum() / energies.sum()
    return Components(mean + average @ axes, slopes @ axes, values, float(kept))


def _principal_axes(rows: Tensor) -> Tensor:
    """Orthonormal axes (m, D) of all variance of rows (N, D) that is not rounding."""
    energies, vectors = torch.linalg.eigh((rows @ rows.T).double())
    kept = energies > SMALLEST * energies[-1]
    # Half as many as there are samples at most, so that what is regressed on them is determined.
    kept[: len(rows) // 2] = False
    axes = (vectors[:, kept] / energies[kept].sqrt()).float().T @ rows
    return axes.flip(0)


def _scores(images: Tensor) -> Tensor:
    """All principal component scores of images (N, 1, r, r) that carry energy: (N, q)."""
    flat = images.flatten(1)
    flat = flat - flat.mean(0)
    energies, vectors = torch.linalg.eigh((flat @ flat.T).double())
    kept = energies > 1e-5 * energies.sum()
    return (vectors[:, kept] * energies[kept].sqrt()).float().flip(1)
