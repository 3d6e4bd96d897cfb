"""How near a method's maps come to the corpus': PSNR, SSIM, LPIPS and band energies, map by map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ...backend.head.bilinear import Head
from ..corpus.chart import chart
from ..maps.data import Maps
from ..networks.metrics import BANDS_MM, PEAK_MM, band_energies, resized, ssim
from ..networks.perceptual import lpips

RESOLUTION = 512
"""Where methods are compared; finer maps are brought there by area, coarser ones by bicubic curves."""

FINE = 1024
"""Where the finest band of wavelengths is measured, and methods on their own resolution."""

REGIONS = ("forehead", "brow", "nose", "cheeks", "eyelids", "lips", "chin")

Method = Callable[[int], tuple[Tensor, Tensor]]
"""From a row of the test set to its map (1, 1, R, R) mm without relief and as a whole, any R."""


@dataclass
class Scores:
    """What was measured on each map.

    Attributes
    ----------
    squared
        Mean squared error on the skin, mm^2, without relief.
    similar
        SSIM, without relief.
    lpips, lpips_whole
        LPIPS on AlexNet, without relief and as a whole.
    plain
        (regions, bands) mm^2 without relief, of the bands that a map at `RESOLUTION` holds.
    whole
        (regions, bands) mm^2 of the whole map, all bands.
    """

    squared: list[float] = field(default_factory=list)
    similar: list[float] = field(default_factory=list)
    lpips: list[float] = field(default_factory=list)
    lpips_whole: list[float] = field(default_factory=list)
    plain: list[np.ndarray] = field(default_factory=list)
    whole: list[np.ndarray] = field(default_factory=list)


def region_masks(head: Head, resolution: int) -> dict[str, np.ndarray]:
    """The middles of the face's regions as masks (R, R) bool, those of a useful size."""
    skin = chart(head, resolution)
    masks = {}
    for name in REGIONS:
        image = np.zeros((resolution, resolution), bool)
        image.ravel()[skin.texels] = (skin.groups[name] > 0.8) & (skin.weight > 0.5)
        if image.sum() > 200 * (resolution / RESOLUTION) ** 2:
            masks[name] = image
    return masks


class Evaluator:
    """Compares methods with the whole maps of a test set at `FINE`."""

    def __init__(self, head: Head, test: Maps, resolution: int = RESOLUTION) -> None:
        self.head, self.test, self.resolution = head, test, resolution
        self.mask = resized(torch.from_numpy(test.mask)[None, None], resolution)
        self.texel_mm = {size: test.texel_mm * len(test.mask) / size for size in (resolution, FINE)}
        self.regions = {size: region_masks(head, size) for size in self.texel_mm}

    def truth(self, row: int) -> tuple[Tensor, Tensor]:
        """The corpus' map without relief and as a whole, (1, 1, R, R) mm."""
        plain = torch.from_numpy(np.asarray(self.test.map[row], np.float32))[None, None]
        relief = torch.from_numpy(self.test.relief_of(np.array([row])))[None]
        return plain, plain + relief

    @torch.inference_mode()
    def compare(
        self,
        methods: Mapping[str, Method],
        rows: np.ndarray,
        progress: Callable[[np.ndarray], object] = iter,
    ) -> dict[str, Scores]:
        """Measure methods on rows of the test set; also ``truth``, whose energies are the aim.

        `progress` may wrap the rows in a bar.
        """
        results = {name: Scores() for name in ("truth", *methods)}
        metric = lpips()
        for row in progress(rows):  # type: ignore[attr-defined]
            aim = [resized(image, self.resolution) for image in self.truth(row)]
            features = [metric.layers(image * self.mask) for image in aim]
            self._energies(results["truth"], *self.truth(row))
            for name, method in methods.items():
                scores, (plain, whole) = results[name], method(row)
                small = [resized(image, self.resolution) for image in (plain, whole)]
                wrong = (self.mask * (small[0] - aim[0]).square()).sum() / self.mask.sum()
                scores.squared.append(float(wrong))
                scores.similar.append(ssim(small[0], aim[0], self.mask))
                near = [
                    float(metric.compare(a, metric.layers(b * self.mask)))
                    for a, b in zip(features, small, strict=True)
                ]
                scores.lpips.append(near[0])
                scores.lpips_whole.append(near[1])
                self._energies(scores, plain, whole)
        return results

    def _energies(self, scores: Scores, plain: Tensor, whole: Tensor) -> None:
        def energies(
            image: Tensor, size: int, bands: tuple[tuple[float, float], ...]
        ) -> np.ndarray:
            pixels = resized(image, size)[0, 0].numpy()
            return band_energies(pixels, self.regions[size], self.texel_mm[size], bands)

        coarse = BANDS_MM[1:]
        scores.plain.append(energies(plain, self.resolution, coarse))
        fine = energies(whole, FINE, BANDS_MM[:1])
        scores.whole.append(np.concatenate([fine, energies(whole, self.resolution, coarse)], 1))


def errors_db(scores: Scores, truth: Scores, part: str, positions: np.ndarray) -> np.ndarray:
    """Energy over the truth's in dB by region and band, of some maps together.

    Parameters
    ----------
    part
        ``plain`` or ``whole``.
    positions
        Positions among the maps that were measured.
    """
    sums = [np.sum([getattr(one, part)[i] for i in positions], 0) for one in (scores, truth)]
    # Of nothing at all there is no logarithm: a flat map counts as 60 dB too weak.
    return 10 * np.log10(np.maximum(sums[0] / sums[1], 1e-6))


def summary(scores: Scores, truth: Scores, positions: np.ndarray) -> dict[str, float]:
    """A method's figures over some maps.

    ``band_error_worst_db`` is the largest deviation of all regions and bands of whole maps,
    ``band_error_plain_db`` of maps without relief.
    """

    def mean(values: list[float]) -> float:
        return float(np.mean([values[i] for i in positions]))

    wrong = max(mean(scores.squared), 1e-12)  # equal maps have 120 dB
    return {
        "psnr_db": float(10 * np.log10(PEAK_MM**2 / wrong)),
        "ssim": mean(scores.similar),
        "lpips": mean(scores.lpips),
        "lpips_whole": mean(scores.lpips_whole),
        "band_error_plain_db": float(np.abs(errors_db(scores, truth, "plain", positions)).max()),
        "band_error_worst_db": float(np.abs(errors_db(scores, truth, "whole", positions)).max()),
    }
