"""Codes, the points of W+ that the encoder gives people and expressions, and what of them shows in maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...backend.detail.engines.torch_networks import W_SIZE, Encoder, Synthesis
from ...backend.head.bilinear import Head
from ..corpus.chart import chart
from ..corpus.sampler import sample_expression, sample_identity

AXES_FROM = 1500
"""Codes whose principal axes are taken."""

CANDIDATES = 750
"""How many of these axes are tried for what they show in maps."""

LINES_RESOLUTION = 256
"""Texels of those maps: furrows show, pores do not."""

SMALLEST = 1e-7
"""Of the largest variance; below it is rounding."""

RELIEF_WEIGHT = 5.0
"""How much more than its energy the strength of the pores counts: they lie on all of the skin."""


def draw_people(head: Head, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw people with an expression each from the corpus: identity (N, K + 16), expression (N, 52)."""
    rng = np.random.default_rng(seed)
    people = [(sample_identity(head, rng).vector, sample_expression(rng)) for _ in range(count)]
    identity, expression = (np.stack(part) for part in zip(*people, strict=True))
    return torch.from_numpy(identity), torch.from_numpy(expression)


def skin_mask(head: Head, resolution: int) -> Tensor:
    """How much of each texel is visible skin: (1, 1, R, R) in [0, 1]."""
    skin = chart(head, resolution)
    mask = np.zeros((resolution, resolution), np.float32)
    mask.ravel()[skin.texels] = skin.weight
    return torch.from_numpy(mask)[None, None]


def line_maps(
    synthesis: Synthesis, w: Tensor, resolution: int, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Maps of codes w (N, num_ws, 512) without relief, reduced by area: (N, 1, r, r) mm.

    They are drawn up to half the generator's resolution, which is where its bases end: what the
    last block adds is finer than anything that is read from these maps. In bfloat16 convolutions
    are off by about 1 % and twice as fast.
    """
    images = synthesis.lower(w, synthesis.config.resolution // 2, dtype)[1] * synthesis.scale
    return F.avg_pool2d(images, images.shape[-1] // resolution)


@torch.no_grad()
def drawn_lines(synthesis: Synthesis, w: Tensor, resolution: int) -> Tensor:
    """Many line maps, fast and without gradients."""
    parts = [line_maps(synthesis, part, resolution, torch.bfloat16) for part in w.split(8)]
    return torch.cat(parts)


@torch.no_grad()
def responses(synthesis: Synthesis, w_avg: Tensor, axes: Tensor, resolution: int) -> Tensor:
    """What steps along axes (m, D) from w_avg add to the lines: (m, 1, r, r) mm."""
    steps = axes.unflatten(1, (-1, W_SIZE))
    return drawn_lines(synthesis, w_avg + steps, resolution) - drawn_lines(
        synthesis, w_avg[None], resolution
    )


def principal_axes(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Principal axes (m, D) of rows (N, D), each one standard deviation long, and variances (m,).

    At most `count` of them, and none whose variance is rounding.
    """
    values, vectors = torch.linalg.eigh((rows @ rows.T / len(rows)).double())
    valid = values > SMALLEST * values[-1]
    valid[:-count] = False
    axes = vectors[:, valid].float().T @ rows / len(rows) ** 0.5
    return axes.flip(0), values[valid].flip(0).float()


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
    nobody sees. Maps are all but linear in W+: the images that steps along the codes' principal
    axes add say how much each change shows.

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

    w = encode(slice(AXES_FROM))
    mean = w.mean(0)
    axes, variances = principal_axes(w - mean, CANDIDATES)
    reader = (axes / variances[:, None]).T
    w_avg: Tensor = encoder.w_avg
    images = responses(synthesis, w_avg, axes, mask.shape[-1])
    images = (images * mask.sqrt()).flatten(1) / mask.sum().sqrt()
    pores = RELIEF_WEIGHT * (axes @ relief.flatten())
    values, vectors = torch.linalg.eigh((images @ images.T + pores[:, None] * pores).double())
    visible = (vectors * values.clamp(min=0).sqrt()).float()
    starts = range(0, len(identity), 1000)
    coordinates = torch.cat([(encode(slice(i, i + 1000)) - mean) @ reader for i in starts])
    average = coordinates.mean(0)
    coordinates -= average
    seen_as = coordinates @ visible
    energies, vectors = torch.linalg.eigh((seen_as.T @ seen_as / len(seen_as)).double())
    values = seen_as @ vectors.flip(1)[:, :count].float()
    largest = energies.flip(0)[:count]
    # The values are uncorrelated, so each is regressed on alone; without energy it means nothing.
    slopes = values.T @ coordinates / len(values) / largest.float()[:, None]
    slopes[largest < SMALLEST * largest[0]] = 0.0
    share = largest.sum() / energies.sum()
    return Components(mean + average @ axes, slopes @ axes, values, float(share))
