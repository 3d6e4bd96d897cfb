"""What the networks are trained on: a masked, furrow-weighted Laplacian pyramid, and relief bands."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...backend.detail.engines.torch_layers import band_filter


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
        amplitude, own = (F.avg_pool2d(band.abs(), 5, stride=1, padding=2) for band in (t, o))
        weight = m * (1 + furrow_weight * amplitude.clamp(max=2.0))
        wrong = charbonnier(o - t, 0.3) + amplitude_weight * charbonnier(own - amplitude, 0.1)
        total = total + (weight * wrong).sum() / m.expand_as(o).sum()
    whole = (mask * (output - target).square()).sum() / mask.expand_as(output).sum()
    return total + 1.5 * whole


def band_energies(relief: Tensor, texel_mm: float) -> Tensor:
    """Mean square of relief images in octave bands of wavelengths, 0.7-1.4 to 5.6-11 mm: (N, 4)."""
    energies = []
    image, wavelength = relief, 0.7
    kernel = band_filter((wavelength, 2 * wavelength), texel_mm).to(relief)[None, None]
    for _ in range(4):
        # The same filter on ever smaller images: an octave lower each time.
        energies.append(F.conv2d(image, kernel).square().mean((1, 2, 3)))
        image = F.avg_pool2d(image, 2)
    return torch.stack(energies, 1)
