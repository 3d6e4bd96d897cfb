"""What the networks are trained on: a masked, furrow-weighted Laplacian pyramid, and relief bands."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...backend.torch_layers import Relief, band_filter


def laplacian_pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """Split (N, 1, H, W) into `levels` - 1 band images, halving in size, and the remainder."""
    bands = []
    for _ in range(levels - 1):
        small = F.avg_pool2d(image, 2)
        bands.append(image - F.interpolate(small, scale_factor=2.0, mode="bilinear"))
        image = small
    return [*bands, image]


def charbonnier(difference: Tensor, softness: float) -> Tensor:
    """sqrt(d^2 + softness^2) - softness: L1 for large differences, smooth and L2 for small ones."""
    return (difference.square() + softness**2).sqrt() - softness


def furrow_loss(
    output: Tensor,
    target: Tensor,
    mask: Tensor,
    furrow_weight: float = 3.0,
    amplitude_weight: float = 0.15,
    levels: int = 4,
) -> Tensor:
    """Difference of maps in every band of wavelengths, furrows before flat skin.

    Most of a face is flat in most expressions: an unweighted mean rewards a flat map. Each band's
    difference is weighted by 1 + `furrow_weight` times the target's local amplitude in the band.
    Where the network cannot know a line's place, the nearest map is a flat one; so local
    amplitudes shall agree too, which keeps a line deep even if it lies a little beside.

    Parameters
    ----------
    output, target
        (N, 1, R, R) in units of the maps' RMS.
    mask
        (N or 1, 1, R, R), how much each texel counts, in [0, 1].
    """
    total = output.new_zeros(())
    outputs, targets = laplacian_pyramid(output, levels), laplacian_pyramid(target, levels)
    for level, (o, t) in enumerate(zip(outputs, targets, strict=True)):
        m = F.avg_pool2d(mask, 2**level) if level else mask
        amplitude, made = (F.avg_pool2d(band.abs(), 5, stride=1, padding=2) for band in (t, o))
        weight = m * (1 + furrow_weight * amplitude.clamp(max=2.0))
        wrong = charbonnier(o - t, 0.3) + amplitude_weight * charbonnier(made - amplitude, 0.1)
        total = total + (weight * wrong).sum() / m.expand_as(o).sum()
    whole = (mask * (output - target).square()).sum() / mask.expand_as(output).sum()
    return total + 1.5 * whole


def band_energy(relief: Tensor, texel_mm: float) -> Tensor:
    """Local mean square of relief images in the bands of `Relief`.

    Parameters
    ----------
    relief
        (N, 1, R, R): the seeded part of maps.

    Returns
    -------
    Tensor
        (N, 3, R / 2, R / 2), averaged within about 10 mm, in the unit of `relief` squared.
    """
    half = F.avg_pool2d(relief, 2)
    energy = []
    for band in Relief.BANDS_MM:
        fine = band == Relief.BANDS_MM[-1]
        kernel = band_filter(band, texel_mm if fine else 2 * texel_mm).to(relief)[None, None]
        image = F.conv2d(relief if fine else half, kernel, padding=kernel.shape[-1] // 2)
        energy.append(F.avg_pool2d(image.square(), 2 if fine else 1))
    size = 2 * round(5.0 / (2 * texel_mm)) + 1
    stacked = torch.cat(energy, 1)
    return F.avg_pool2d(stacked, size, 1, size // 2, count_include_pad=False)


def band_mixing(network: Relief, texel_mm: float, size: int) -> Tensor:
    """Energy in each band (rows) that each band's noise at strength 1 adds (columns): (3, 3).

    Bands overlap; this is measured on one noise image (size, size).
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 1, size, size, generator=generator)
    columns = []
    for band in range(len(Relief.BANDS_MM)):
        alone = torch.zeros(1, len(Relief.BANDS_MM), size // 2, size // 2)
        alone[:, band] = 1.0
        columns.append(band_energy(network(alone, noise), texel_mm).mean((0, 2, 3)))
    return torch.stack(columns, 1)


def strengths_for(relief: Tensor, mixing: Tensor, texel_mm: float) -> Tensor:
    """Strengths at which a network's relief has the energy of `relief` in each band.

    Parameters
    ----------
    relief
        (N, 1, R, R).
    mixing
        The network's :func:`band_mixing`.

    Returns
    -------
    Tensor
        (N, 3, R / 2, R / 2) in the unit of `relief`.
    """
    energy = band_energy(relief, texel_mm)
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(mixing), energy).clamp(min=0.0).sqrt()
