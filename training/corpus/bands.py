"""How rough skin is: the RMS of maps by region and band of wavelengths, against a scanned adult."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ...backend.formats.identity import SKIN, Identity
from ...backend.head.bilinear import Head
from .chart import Chart
from .compose import Skin
from .relief import AMPLITUDE_UM, BANDS_MM

YOUNG = 0.25
"""Age of who is compared with the scanned adult: about 35 years, smooth enough at rest."""

FINE_RESOLUTION = 2048
"""Where the band of 0.5 to 1 mm is compared: texels of 0.15 mm, as fine as the scan's were."""


def reference_person(head: Head) -> Identity:
    """Return who is compared with the scanned adult: average, and young enough for smooth skin."""
    skin = np.full(len(SKIN), 0.5, np.float32)
    skin[SKIN.index("age")] = YOUNG
    return Identity(head.average().shape, skin, detail_seed=1)


def young_person(head: Head, seed: int) -> Identity:
    """Return somebody as young, whose other skin coefficients are random."""
    skin = np.random.default_rng(seed).uniform(size=len(SKIN)).astype(np.float32)
    skin[SKIN.index("age")] = YOUNG
    return Identity(head.average().shape, skin, detail_seed=seed)


class BandFilter:
    """Takes bands of wavelengths out of maps over one chart, by differences of Gaussians.

    Blurs see the skin alone: they are normalised by the blurred mask, which is kept by sigma.
    """

    def __init__(self, skin: Chart) -> None:
        self._texels = skin.texels
        self._texel_mm = float(np.median(skin.texel_mm))
        self._inside = (skin.index >= 0).astype(np.float32)
        self._weights: dict[float, np.ndarray] = {}

    def _blur(self, image: np.ndarray, wavelength: float) -> np.ndarray:
        sigma = wavelength / (2 * np.pi) / self._texel_mm
        if sigma not in self._weights:
            weight = ndimage.gaussian_filter(self._inside, sigma)
            self._weights[sigma] = np.maximum(weight, 1e-3)
        return ndimage.gaussian_filter(image * self._inside, sigma) / self._weights[sigma]

    def __call__(self, image: np.ndarray, low_mm: float, high_mm: float) -> np.ndarray:
        """Return the wavelengths `low_mm` to `high_mm` of a map (R, R), at the skin's texels (N,)."""
        both = self._blur(image, low_mm) - self._blur(image, high_mm)
        return both.ravel()[self._texels]


def band_rms(
    head: Head, person: Identity, resolution: int = 1024
) -> dict[tuple[str, tuple[float, float]], float]:
    """Return {(region, (low, high) mm): RMS in micrometres} of a person at rest.

    Bands whose longest wavelengths alone span two texels (0.5 to 1 mm at 1024) are left out.
    """
    skin = Skin(head, person, resolution)
    image = skin.map(np.zeros(52, np.float32))
    texel_mm = float(np.median(skin.chart.texel_mm))
    take = BandFilter(skin.chart)
    out = {}
    for low, high in BANDS_MM:
        if low < 2 * texel_mm:
            continue
        part = take(image, low, high)
        for region in AMPLITUDE_UM:
            own = skin.chart.groups[region] > 0.8
            out[region, (low, high)] = float(np.sqrt(np.mean(part[own] ** 2))) * 1000.0
    return out


def band_ratios(
    rms: dict[tuple[str, tuple[float, float]], float],
) -> dict[tuple[str, tuple[float, float]], float]:
    """Return max(r, 1 / r) for every cell of :func:`band_rms`, r the RMS over the measured one."""
    out = {}
    for (region, band), value in rms.items():
        measured = AMPLITUDE_UM[region][BANDS_MM.index(band)]
        out[region, band] = max(value / measured, measured / max(value, 1e-6))
    return out


def band_table(head: Head) -> dict[tuple[str, tuple[float, float]], float]:
    """Return :func:`band_rms` of the reference person for all regions and bands.

    From 1 mm up at 1024, where networks learn; the band of 0.5 to 1 mm at FINE_RESOLUTION.
    """
    person = reference_person(head)
    fine = band_rms(head, person, FINE_RESOLUTION)
    finest = {key: value for key, value in fine.items() if key[1] == BANDS_MM[0]}
    return finest | band_rms(head, person)
