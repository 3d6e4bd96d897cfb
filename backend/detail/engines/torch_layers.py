"""What the synthesis network is built from: modulated convolutions, and relief from filtered noise.

Imported on demand only, with `torch_networks`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

W_SIZE = 512

WIDE_BLOCK, HIGH_BLOCK = 64, 32
"""Texels of the result that one product of an up-sampling makes, in networks written as ONNX."""

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
    """Pores and fine lines: seeded noise, filtered and shaped, with strengths by place.

    Noise passes two ways. Three octave bands, differences of Gaussians (sigma = wavelength / 2 pi),
    each with a strength: 4-8 and 2-4 mm at half the resolution, 1-2 mm at the full one; filters
    are scaled such that white noise of unit variance leaves with unit variance. And a texture: a
    bank of learned filters, each with a strength, and two convolutions that shape what comes out
    into pores and lines along the skin. Without noise nothing comes out: there are no biases.

    Strengths are softplus(place + the style's mixture of learned fields), at an eighth of the
    resolution: place holds what all skins share.
    """

    BANDS_MM = ((4.0, 8.0), (2.0, 4.0), (1.0, 2.0))
    TEXTURES = 8
    FIELDS = 6

    def __init__(self, resolution: int, texel_mm: float) -> None:
        super().__init__()
        bands, textures, places = len(self.BANDS_MM), self.TEXTURES, max(4, resolution // 8)
        gates = bands + textures
        self.place = nn.Parameter(torch.full((1, gates, places, places), -4.0))
        self.fields = nn.Parameter(torch.randn(self.FIELDS, places, places) * 0.1 + 1.0)
        self.mixing_weight = nn.Parameter(torch.zeros(gates * self.FIELDS, W_SIZE))
        self.mixing_bias = nn.Parameter(torch.zeros(gates * self.FIELDS))
        self.texture0 = nn.Parameter(torch.randn(textures, 1, 7, 7) / 7)
        self.texture1 = nn.Parameter(
            torch.randn(textures, textures, 3, 3) / math.sqrt(9 * textures)
        )
        self.texture2 = nn.Parameter(torch.zeros(1, textures, 3, 3))
        half = [band_filter(band, 2 * texel_mm) for band in self.BANDS_MM[:2]]
        size = max(f.shape[0] for f in half)
        half = [F.pad(f, ((size - f.shape[0]) // 2,) * 4) for f in half]
        self.register_buffer("filters_half", torch.stack(half)[:, None])
        self.register_buffer("filters_full", band_filter(self.BANDS_MM[2], texel_mm)[None, None])

    def strengths(self, w: Tensor) -> Tensor:
        """Strengths of bands and textures for styles w (N, 512): (N, 11, R / 8, R / 8)."""
        mixing = F.linear(w, self.mixing_weight / math.sqrt(W_SIZE), self.mixing_bias)
        fields = mixing.unflatten(1, (-1, self.FIELDS)) @ self.fields.flatten(1)
        return F.softplus(self.place + fields.unflatten(2, self.fields.shape[1:]))

    def filtered(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """What noise (N, 1, R, R) gives whatever the style: half the work, and the same for a seed.

        Returns
        -------
        tuple
            Its two coarse bands (N, 2, R / 2, R / 2); its finest band and textures (N, 9, R, R).
        """
        half = F.avg_pool2d(noise, 2) * 2.0  # the mean of four has half the deviation
        # Turned over, since bands of the same noise would add in phase where they overlap.
        half = torch.cat([half.flip(2), half.flip(3)], 1)
        filters: Tensor = self.filters_half  # type: ignore[assignment]
        full: Tensor = self.filters_full  # type: ignore[assignment]
        coarse = F.conv2d(half, filters, padding=filters.shape[-1] // 2, groups=2)
        # One convolution for the finest band and the texture's filters.
        pad = (self.texture0.shape[-1] - full.shape[-1]) // 2
        bank = torch.cat([F.pad(full, (pad,) * 4), self.texture0])
        return coarse, F.conv2d(noise, bank, padding=bank.shape[-1] // 2)

    def forward(
        self,
        w: Tensor,
        noise: Tensor | tuple[Tensor, Tensor],
        crop: tuple[int, int, int] | None = None,
    ) -> Tensor:
        """Shape standard normal noise (N, 1, R, R) into relief (N, 1, R, R) in the raw unit.

        `noise` may be what :meth:`filtered` returns for it. `crop` (row, column, size), in texels
        and multiples of 8, says which part of the tile the noise is, if it is not all of it.
        """
        strengths = self.strengths(w)
        if crop is not None:
            row, column, size = (value // 8 for value in crop)
            strengths = strengths[..., row : row + size, column : column + size]
        coarse, fine = self.filtered(noise) if isinstance(noise, Tensor) else noise
        coarse = coarse * enlarge(strengths[:, :2], 4)
        image = enlarge(coarse.sum(1, keepdim=True), 2)
        fine = fine * enlarge(strengths[:, 2:], 8)
        shaped = F.leaky_relu(fine[:, 1:], 0.2)
        shaped = F.leaky_relu(F.conv2d(shaped, self.texture1, padding=1), 0.2)
        return image + fine[:, :1] + F.conv2d(shaped, self.texture2, padding=1)


def enlarge(image: Tensor, factor: int) -> Tensor:
    """Bilinear up-sampling: (N, C, h, w) to (N, C, factor h, factor w)."""
    if not torch.onnx.is_in_onnx_export():
        return F.interpolate(image, scale_factor=float(factor), mode="bilinear")
    # Runtimes up-sample slowly (ONNX Runtime with one thread a channel) and multiply fast: blocks of
    # columns, then of rows, each with a neighbour on both sides, times a matrix of weights.
    height, width = image.shape[2:]
    columns, rows = min(WIDE_BLOCK // factor, width), min(HIGH_BLOCK // factor, height)
    blocks = image.unflatten(3, (-1, columns))
    first, last = blocks[..., :1], blocks[..., -1:]
    left = torch.cat([first[..., :1, :], last[..., :-1, :]], 3)
    right = torch.cat([first[..., 1:, :], last[..., -1:, :]], 3)
    sides = torch.cat([left, blocks, right], 4)
    wide = torch.matmul(sides, _interpolation(columns, factor).T).flatten(3)
    seen = [
        [min(max(row, 0), height - 1) for row in range(first_row - 1, first_row + rows + 1)]
        for first_row in range(0, height, rows)
    ]
    bands = wide[:, :, torch.tensor(seen)]
    return torch.matmul(_interpolation(rows, factor), bands).flatten(2, 3)


def _interpolation(count: int, factor: int) -> Tensor:
    """Weights (factor count, count + 2) of `count` texels and both neighbours for those between."""
    places = [(i + 0.5) / factor + 0.5 for i in range(factor * count)]  # the left neighbour's is 0
    return torch.tensor([[max(0.0, 1 - abs(p - i)) for i in range(count + 2)] for p in places])


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


class LocalBasis(nn.Module):
    """A linear basis of maps, patch by patch: each patch mixes images of its own.

    Furrows of the forehead say nothing of those beside the mouth. Images of the whole face would
    have to hold every combination; patches of 40 mm need a tenth of the numbers for the same
    error. Patches overlap by a quarter of their side, where their images fade. The style of the
    block's image holds the coefficients' principal components, of unit variance over the corpus.

    Attributes
    ----------
    images
        (n^2, K, side, side) in the raw unit, faded at their edges; patches row by row.
    loadings
        (n^2 K, 512): coefficients of the images for each number of a style.
    mean
        (n^2 K,): coefficients for the style zero.
    """

    def __init__(self, resolution: int, count: int) -> None:
        super().__init__()
        self.resolution, self.count = resolution, count
        self.side, self.hop, self.patches = patch_grid(resolution)
        patches = self.patches**2
        self.images = nn.Parameter(torch.zeros(patches, count, self.side, self.side))
        self.loadings = nn.Parameter(torch.zeros(patches * count, W_SIZE))
        self.mean = nn.Parameter(torch.zeros(patches * count))

    def coefficients(self, w: Tensor) -> Tensor:
        """Coefficients (N, n^2 K) of styles w (N, 512)."""
        return F.linear(w, self.loadings, self.mean)

    def mixture(self, coefficients: Tensor) -> Tensor:
        """Mix the images: (N, 1, R, R) of coefficients (N, n^2 K)."""
        by_patch = coefficients.unflatten(1, (-1, self.count)).transpose(0, 1)
        mixed = torch.bmm(by_patch, self.images.flatten(2)).transpose(0, 1)
        return self.assemble(mixed.unflatten(2, (self.side, self.side)))

    def forward(self, w: Tensor) -> Tensor:
        """Map of styles w (N, 512): (N, 1, R, R) in the raw unit."""
        return self.mixture(self.coefficients(w))

    def assemble(self, patches: Tensor) -> Tensor:
        """Add patches (N, n^2, side, side) up where they overlap: (N, 1, R, R)."""
        n, hop, side = self.patches, self.hop, self.side
        grid = patches.unflatten(1, (n, n))
        # Every second patch lies clear of the others: four images without overlap, each shifted.
        cells = F.pad(grid, (0, 2 * hop - side) * 2)
        total: Tensor | None = None
        size = (n + 1) * hop
        for i in (0, 1):
            for j in (0, 1):
                part = cells[:, i::2, j::2]
                rows, columns = part.shape[1], part.shape[2]
                image = part.transpose(2, 3).reshape(-1, rows * 2 * hop, columns * 2 * hop)
                right, below = (size - k * hop - s * 2 * hop for k, s in ((j, columns), (i, rows)))
                image = F.pad(image, (j * hop, right, i * hop, below))
                total = image if total is None else total + image
        assert total is not None
        start = side - hop
        return total[:, None, start : start + self.resolution, start : start + self.resolution]


def patch_grid(resolution: int) -> tuple[int, int, int]:
    """Side of a patch, distance of patches, patches in a row: 32, 24, 11 at 256 texels."""
    side = resolution // 8
    hop = side * 3 // 4
    return side, hop, math.ceil(resolution / hop)
