"""Augmentation of displacement maps: StyleGAN2-ADA's for discriminators, and mirrored pairs.

Adaptive discriminator augmentation (Karras et al. 2020, *Training generative adversarial networks
with limited data*) shows the discriminator maps of the data and of the generator through the same
random changes. What it does to photographs is not all right for skin: turned inside out (luma flip) a
wrinkle is a ridge, and turned by 90 degrees a forehead line is a frown line. So maps are mirrored,
moved, scaled, stretched a little, turned by at most :data:`TURN` and made deeper or shallower, and
nothing else.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...backend.formats.expressions import EXPRESSIONS, INDEX, mirrored

SHIFT = 0.125
"""Of the map's width: the largest shift by whole texels, and the deviation of shifts by any distance."""

SCALE = 0.2
"""Deviation of log2 of the size, and of the stretch."""

TURN = math.radians(10.0)
"""The largest turn; each of the two on either side of the stretch."""

OFFSET = 0.2
"""Deviation of what is added to a whole map, in the network's unit."""

DEPTH = 0.5
"""Deviation of log2 of the depth."""

SYMLET = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
"""The low-pass filter of Daubechies' symlet of 6 vanishing moments. It is orthonormal: up-sampling by
it and down-sampling again gives back the map, so that a map that is not moved stays as it is."""

MIRRORED = [INDEX[mirrored(name)] for name in EXPRESSIONS]
"""For each of the 52 weights, which one it takes when left and right are swapped."""


def mirror(maps: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror maps together with the weights that made them: a left smile becomes a right one.

    An identity cannot be mirrored so: shape coefficients have no partners.

    Parameters
    ----------
    maps
        (N, 1, R, R), in a UV layout that is symmetric about u = 0.5.
    weights
        (N, 52) in the order of `EXPRESSIONS`.
    """
    return maps.flip(-1), weights[:, MIRRORED]


def augment(maps: Tensor, probability: float) -> Tensor:
    """Change maps (N, 1, R, R) at random, each kind of change with the given probability.

    Differentiable twice, as the gradient penalty asks. Random numbers are the device's own.
    """
    if probability <= 0.0:
        return maps
    shape = (len(maps), 1, 1, 1)
    turned = _some(torch.rand(shape, device=maps.device) < 0.5, False, probability)
    maps = torch.where(turned, maps.flip(-1), maps)
    maps = _resampled(maps, _placement(maps, probability))
    depth = torch.exp2(DEPTH * torch.randn(shape, device=maps.device))
    offset = OFFSET * torch.randn(shape, device=maps.device)
    return maps * _some(depth, 1.0, probability) + _some(offset, 0.0, probability)


def _some(values: Tensor, neutral: float | bool, probability: float) -> Tensor:
    """Keep each row of `values` with the given probability, or else put `neutral`."""
    shape = (len(values), *[1] * (values.ndim - 1))
    kept = torch.rand(shape, device=values.device) < probability
    return torch.where(kept, values, neutral)


def _placement(maps: Tensor, probability: float) -> Tensor:
    """Draw where each texel comes from: (N, 3, 3) in coordinates from -1 to 1."""
    n, size, device = len(maps), maps.shape[-1], maps.device

    def some(values: Tensor, neutral: float = 0.0, chance: float = probability) -> Tensor:
        return _some(values, neutral, chance)

    def normal(*shape: int) -> Tensor:
        return torch.randn(n, *shape, device=device)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(n, *shape, device=device) * 2.0 - 1.0

    one, none = torch.ones(n, device=device), torch.zeros(n, 2, device=device)
    # Two turns, one before and one after the stretch: together they shall have the probability.
    each = 1.0 - math.sqrt(max(0.0, 1.0 - probability))
    whole = (uniform(2) * SHIFT * size).round() * (2.0 / size)
    size_factor = torch.exp2(SCALE * some(normal()))
    stretch = torch.exp2(SCALE * some(normal()))
    steps = (
        _affine(one, one, some(whole)),
        _affine(size_factor, size_factor, none),
        _turn(some(uniform() * TURN, chance=each)),
        _affine(stretch, 1.0 / stretch, none),
        _turn(some(uniform() * TURN, chance=each)),
        _affine(one, one, some(normal(2) * 2.0 * SHIFT)),
    )
    return functools.reduce(torch.matmul, steps)


def _affine(x: Tensor, y: Tensor, shift: Tensor) -> Tensor:
    """Scales (N,) and shifts (N, 2) as matrices (N, 3, 3)."""
    matrix = torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], 1))
    matrix[:, :2, 2] = shift
    return matrix


def _turn(angle: Tensor) -> Tensor:
    """Turns by angles (N,) as matrices (N, 3, 3)."""
    cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [cos, -sin, none, sin, cos, none, none, none, torch.ones_like(angle)]
    return torch.stack(rows, 1).unflatten(1, (3, 3))


def _resampled(maps: Tensor, placement: Tensor) -> Tensor:
    """Sample maps at twice their resolution, between low-pass filters; around them nothing is displaced."""
    taps = torch.tensor(SYMLET, device=maps.device)
    kernel = (taps[:, None] * taps)[None, None]
    margin, size = len(SYMLET) // 2, maps.shape[-1]  # texels that a filter spoils at a border
    padded = F.pad(maps, (2 * margin,) * 4)
    fine = F.conv_transpose2d(padded, kernel, stride=2, padding=margin - 1)
    fine = fine[..., 2 * margin : -2 * margin, 2 * margin : -2 * margin]
    # Coordinates now span the margin too.
    smaller = torch.tensor([1.0, 1.0, size / (size + 2 * margin)], device=maps.device)
    grid = F.affine_grid(placement[:, :2] * smaller, list(fine.shape), align_corners=False)
    moved: Tensor = _Sample.apply(fine, grid)
    moved = F.conv2d(moved, kernel, stride=2, padding=margin - 1)
    return moved[..., margin:-margin, margin:-margin]


_BILINEAR, _ZEROS = 0, 0  # as PyTorch's operator numbers them


class _Sample(torch.autograd.Function):
    """`grid_sample`, whose gradient PyTorch does not differentiate again.

    Sampling is linear in the map: its gradient is the adjoint, and the adjoint's gradient is
    sampling again. Grids get no gradient.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(maps, grid)
        return F.grid_sample(maps, grid, align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Adjoint.apply(gradient, *ctx.saved_tensors), None


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, maps: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        made, _ = torch.ops.aten.grid_sampler_2d_backward(
            gradient, maps, grid, _BILINEAR, _ZEROS, False, [True, False]
        )
        return made

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Sample.apply(gradient, grid), None, None
