"""What the synthesis network is built from: modulated convolutions, and relief from filtered noise.

Imported on demand only, with `torch_networks`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

W_SIZE = 512

MAGNITUDE_MOMENTUM = 0.01
"""How fast the running mean square of activations follows them in training."""


class ModulatedConv(nn.Module):
    """Convolution whose input channels a style scales; its output is brought back to unit variance.

    Demodulation does so for inputs that are white and of unit variance. Trained activations are
    not, and up-sampling shrinks them: a running mean square of what comes out makes up for it.
    The activations are scaled rather than the weights: the same result, and for a batch one
    convolution instead of one per sample. Parameters are stored at unit variance and scaled on
    use (equalised learning rate), as in StyleGAN2.
    """

    magnitude: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine_weight = nn.Parameter(torch.randn(inputs, W_SIZE))
        self.affine_bias = nn.Parameter(torch.ones(inputs))
        self.demodulate = demodulate
        self.momentum = MAGNITUDE_MOMENTUM
        if demodulate:
            self.register_buffer("magnitude", torch.ones(()))  # mean square without the gain

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map activations x (N, inputs, h, w) under styles w (N, 512); no bias, no activation."""
        style = F.linear(w, self.affine_weight / math.sqrt(W_SIZE), self.affine_bias)
        weight = self.weight / math.sqrt(self.weight[0].numel())
        demodulation = None
        if self.demodulate:
            energy = F.linear(style.square(), weight.square().sum((2, 3)))
            demodulation = torch.rsqrt((energy + 1e-8) * self.magnitude)
        padding = self.weight.shape[-1] // 2
        if x.shape[0] == 1 and not torch.onnx.is_in_onnx_export():
            # One sample: scale the (few) weights instead of the (many) activations.
            weight = weight * style[0, :, None, None]
            if demodulation is not None:
                weight = weight * demodulation[0, :, None, None, None]
            return F.conv2d(x, weight.to(x.dtype), padding=padding)
        x = F.conv2d(x * style[:, :, None, None].to(x.dtype), weight.to(x.dtype), padding=padding)
        if demodulation is not None:
            x = x * demodulation[:, :, None, None].to(x.dtype)
        return x

    def activate(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """Add the bias, and what depends on place (outputs, h, w); leaky ReLU that keeps the scale."""
        if self.training:
            self._observe(x)
        added = self.bias[:, None, None] if place is None else self.bias[:, None, None] + place
        x = F.leaky_relu(x + added.to(x.dtype), 0.2)
        return x * math.sqrt(2) if place is None else x  # two terms of unit variance

    @torch.no_grad()
    def _observe(self, x: Tensor) -> None:
        """Follow the mean square of the output, seen on one sample."""
        seen = self.magnitude * x[0].float().square().mean()
        self.magnitude = self.magnitude.lerp(seen, self.momentum)  # the old one is in the graph


class Relief(nn.Module):
    """Pores and fine lines: seeded noise in three octave bands, each with a strength by place.

    Bands are differences of Gaussians, sigma = wavelength / 2 pi, at 4-8 and 2-4 mm on the last
    but one resolution and 1-2 mm on the last; filters are scaled such that white noise of unit
    variance leaves with unit variance, so a strength is the local RMS in the map's unit.
    """

    BANDS_MM = ((4.0, 8.0), (2.0, 4.0), (1.0, 2.0))

    def __init__(self, inputs: int, places: int, texel_mm: float) -> None:
        super().__init__()
        self.strength = ModulatedConv(inputs, len(self.BANDS_MM), 1, demodulate=False)
        nn.init.zeros_(self.strength.weight)
        # What all skins share, before the softplus, at a quarter of the map's resolution.
        self.place = nn.Parameter(torch.full((1, len(self.BANDS_MM), places, places), -4.0))
        half = [band_filter(band, 2 * texel_mm) for band in self.BANDS_MM[:2]]
        size = max(f.shape[0] for f in half)
        half = [F.pad(f, ((size - f.shape[0]) // 2,) * 4) for f in half]
        self.register_buffer("filters_half", torch.stack(half)[:, None])
        self.register_buffer("filters_full", band_filter(self.BANDS_MM[2], texel_mm)[None, None])

    def strengths(self, x: Tensor, w: Tensor) -> Tensor:
        """Local RMS of each band, (N, 3, R / 2, R / 2), in units of the map's scale."""
        place = F.interpolate(self.place, scale_factor=2.0, mode="bilinear")
        return F.softplus(self.strength(x, w).float() + self.strength.bias[:, None, None] + place)

    def forward(self, strengths: Tensor, noise: Tensor) -> Tensor:
        """Shape standard normal noise (N, 1, R, R) into relief (N, 1, R, R)."""
        half = F.avg_pool2d(noise, 2) * 2.0  # the mean of four has half the deviation
        # Turned over, since bands of the same noise would add in phase where they overlap.
        half = torch.cat([half.flip(2), half.flip(3)], 1)
        filters: Tensor = self.filters_half  # type: ignore[assignment]
        full: Tensor = self.filters_full  # type: ignore[assignment]
        coarse = F.conv2d(half, filters, padding=filters.shape[-1] // 2, groups=2)
        coarse = coarse * strengths[:, :2]
        image = F.interpolate(coarse.sum(1, keepdim=True), scale_factor=2.0, mode="bilinear")
        fine = F.interpolate(strengths[:, 2:], scale_factor=2.0, mode="bilinear")
        return image + F.conv2d(noise, full, padding=full.shape[-1] // 2) * fine


def band_filter(band_mm: tuple[float, float], texel_mm: float) -> Tensor:
    """Difference of Gaussians between two wavelengths (mm), of unit energy: (k, k), k odd."""
    narrow, wide = (wavelength / (2 * math.pi) / texel_mm for wavelength in band_mm)
    radius = max(1, math.ceil(2.5 * wide))
    axis = torch.arange(-radius, radius + 1, dtype=torch.float32)

    def gaussian(sigma: float) -> Tensor:
        # Integrated over the texel: at the finest band sigma is below one texel.
        edge = (torch.stack([axis - 0.5, axis + 0.5])) / (sigma * math.sqrt(2))
        line = torch.erf(edge[1]) - torch.erf(edge[0])
        line = line / line.sum()
        return line[:, None] * line[None]

    kernel = gaussian(narrow) - gaussian(wide)
    return kernel / kernel.square().sum().sqrt()
