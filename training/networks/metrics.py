"""How maps are compared: PSNR and SSIM on the skin, and band energies by region."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

PEAK_MM = 1.0
"""Range that PSNR and SSIM refer to: the depth of a deep furrow."""

BANDS_MM = ((1.0, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 16.0))
"""Wavelengths that a map at 1024 resolves; one at 512 all but the first."""


def resized(image: Tensor, resolution: int) -> Tensor:
    """Maps (N, 1, R, R) at another resolution: by area downwards, by bicubic curves upwards."""
    if image.shape[-1] > resolution:
        return F.avg_pool2d(image, image.shape[-1] // resolution)
    if image.shape[-1] < resolution:
        return F.interpolate(image, (resolution, resolution), mode="bicubic")
    return image


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


def band_energies(
    image: np.ndarray,
    regions: dict[str, np.ndarray],
    texel_mm: float,
    bands: tuple[tuple[float, float], ...] = BANDS_MM,
) -> np.ndarray:
    """Mean squares of a map by region and band of wavelengths: float64 (regions, bands) in mm^2.

    Parameters
    ----------
    image
        (R, R) mm.
    regions
        Masks (R, R) bool by name.
    texel_mm
        Side of a texel.
    bands
        (low, high) in mm; split by differences of Gaussians, sigma = wavelength / 2 pi.
    """
    ends = sorted({end for band in bands for end in band})
    blurred = {end: ndimage.gaussian_filter(image, end / (2 * np.pi) / texel_mm) for end in ends}
    parts = [(blurred[low] - blurred[high]) ** 2 for low, high in bands]
    return np.array([[part[mask].mean() for part in parts] for mask in regions.values()], float)
