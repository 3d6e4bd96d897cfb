"""How maps are compared: PSNR and SSIM on the skin, and band energies by region."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

PEAK_MM = 1.0
"""Range that PSNR and SSIM refer to: the depth of a deep furrow."""

BANDS_MM = ((2.0, 4.0), (4.0, 8.0), (8.0, 16.0))
"""Wavelengths that a map at 512 resolves."""


def psnr_db(output: Tensor, target: Tensor, mask: Tensor) -> float:
    """PSNR in dB of all maps together, for a peak of `PEAK_MM`.

    Parameters
    ----------
    output, target
        (N, 1, R, R) mm.
    mask
        (1, 1, R, R), how much each texel counts.
    """
    wrong = (mask * (output - target).square()).sum() / (mask.sum() * len(target))
    return float(10 * torch.log10(PEAK_MM**2 / wrong))


def ssim(output: Tensor, target: Tensor, mask: Tensor) -> float:
    """Mean structural similarity on the skin (Wang et al. 2004: Gaussian window, sigma 1.5)."""
    axis = torch.arange(-5, 6, dtype=torch.float32)
    line = torch.exp(-0.5 * (axis / 1.5) ** 2)
    window = (line[:, None] * line[None] / line.sum() ** 2)[None, None]

    def blur(image: Tensor) -> Tensor:
        return F.conv2d(image, window, padding=5)

    total = 0.0
    c1, c2 = (0.01 * PEAK_MM) ** 2, (0.03 * PEAK_MM) ** 2
    for x, y in zip(output.split(1), target.split(1), strict=True):
        mx, my = blur(x), blur(y)
        vx, vy = blur(x * x) - mx * mx, blur(y * y) - my * my
        both = blur(x * y) - mx * my
        similar = (2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
        total += float((similar * mask).sum() / mask.sum())
    return total / len(target)


def band_errors_db(
    output: np.ndarray, target: np.ndarray, regions: dict[str, np.ndarray], texel_mm: float
) -> dict[tuple[str, tuple[float, float]], float]:
    """Energy of the output's over the targets' in dB, by region and band of wavelengths.

    Parameters
    ----------
    output, target
        (N, R, R) mm, relief included.
    regions
        Masks (R, R) bool by name.
    """
    energies = []
    for maps in (output, target):
        energy: dict[tuple[str, tuple[float, float]], float] = {}
        for image in maps:
            for band in BANDS_MM:
                low, high = (
                    ndimage.gaussian_filter(image, wavelength / (2 * np.pi) / texel_mm)
                    for wavelength in band
                )
                part = (low - high) ** 2
                for name, mask in regions.items():
                    energy[name, band] = energy.get((name, band), 0.0) + float(part[mask].mean())
        energies.append(energy)
    return {key: 10 * float(np.log10(energies[0][key] / energies[1][key])) for key in energies[0]}
