"""StyleGAN2 (Karras et al. 2020) for displacement maps: mapping, synthesis, discriminator.

Written after the papers and checked against the published networks' files: the architecture is that
of StyleGAN2-ADA's PyTorch release, unconditional and with one output channel, so that
`stylegan_pickle` can bring weights over. Parameters are stored at unit variance and scaled on use
(equalised learning rate). Beside `backend.detail.engines.torch_networks.Synthesis`, which is the lean network that
ships, this is the standard one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backend.detail.engines.torch_networks import W_SIZE, style_count
from ...backend.errors import FurrowError

Noise = Literal["random", "const", "none"]

Z_SIZE = 512
SLOPE = 0.2
"""Of leaky ReLUs on their negative side."""

W_AVERAGE_BETA = 0.995


@dataclass(frozen=True)
class GanConfig:
    """Sizes of a generator and its discriminator.

    Attributes
    ----------
    resolution
        Width and height R of the maps, a power of two from 8.
    channel_base, channel_max
        Activations have min(channel_base / r, channel_max) channels at resolution r.
    mapping_layers
        2 in StyleGAN2-ADA's automatic configuration, 8 in the papers'.
    clamp
        Bound on activations, for 16-bit floats of little range; None for none.
    bfloat16_resolutions
        How many of the highest resolutions compute their activations in bfloat16.
    group
        Maps among which the discriminator compares (minibatch standard deviation).
    """

    resolution: int
    channel_base: int = 16384
    channel_max: int = 512
    mapping_layers: int = 2
    clamp: float | None = None
    bfloat16_resolutions: int = 0
    group: int = 4

    def __post_init__(self) -> None:
        if self.resolution < 8 or self.resolution & (self.resolution - 1):
            raise FurrowError(
                f"The resolution {self.resolution} is no power of two from 8; take 256, 512 or 1024."
            )
        if self.channel_base < self.resolution or self.channel_max < 1:
            raise FurrowError(
                f"A channel base of {self.channel_base} leaves no channel at {self.resolution} "
                "texels; it must be at least as large."
            )

    @property
    def resolutions(self) -> list[int]:
        """4, 8, ... R."""
        return [2**level for level in range(2, int(math.log2(self.resolution)) + 1)]

    def channels(self, resolution: int) -> int:
        """Channels of the activations at a resolution."""
        return min(self.channel_base // resolution, self.channel_max)

    def dtype(self, resolution: int) -> torch.dtype:
        """What activations at a resolution are computed in."""
        highest = resolution > self.resolution >> self.bfloat16_resolutions
        return torch.bfloat16 if highest and resolution > 4 else torch.float32


def leaky(x: Tensor, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    """Leaky ReLU that keeps the variance (gain sqrt 2), times `gain`; bounded by `clamp` times `gain`."""
    x = F.leaky_relu(x, SLOPE) * (math.sqrt(2.0) * gain)
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


class LowPass(nn.Module):
    """The FIR filter [1, 3, 3, 1] in both directions, of unit sum."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8.0
        self.register_buffer("kernel", line[:, None] * line, persistent=False)

    def forward(self, x: Tensor, padding: int, stride: int = 1, gain: float = 1.0) -> Tensor:
        """Filter each channel of (N, C, H, W); zeros lie outside."""
        kernel = (self.kernel * gain).to(x.dtype).expand(x.shape[1], 1, -1, -1)
        return F.conv2d(x, kernel, stride=stride, padding=padding, groups=x.shape[1])

    def double_size(self, image: Tensor) -> Tensor:
        """Double the size of (N, C, H, W): zeros between the samples, then the filter."""
        kernel = (self.kernel * 4.0).to(image.dtype).expand(image.shape[1], 1, -1, -1)
        return F.conv_transpose2d(image, kernel, stride=2, padding=1, groups=image.shape[1])


class Linear(nn.Module):
    """Fully connected layer with an equalised learning rate, `rate` times the others'."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        gain = self.rate / math.sqrt(self.weight.shape[1])
        return F.linear(x, self.weight * gain, self.bias * self.rate)


class Mapping(nn.Module):
    """z (N, 512), standard normal, to w (N, 512); keeps the mean w for truncation."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Linear(W_SIZE if k else Z_SIZE, W_SIZE, rate=0.01) for k in range(layers)
        )
        self.register_buffer("w_avg", torch.zeros(W_SIZE))

    def forward(self, z: Tensor) -> Tensor:
        x = z.float()
        x = x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            x = leaky(layer(x))
        return x

    @torch.no_grad()
    def track(self, w: Tensor) -> None:
        """Move the mean towards that of a batch w (N, 512)."""
        self.w_avg.lerp_(w.mean(0), 1.0 - W_AVERAGE_BETA)


class Modulated(nn.Module):
    """Convolution whose input channels a style scales.

    The activations are scaled, not the weights: the same result, and one convolution for a batch.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.affine = Linear(W_SIZE, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))


class StyledConv(Modulated):
    """3 x 3, demodulated, with noise and leaky ReLU; doubles the size where `up` is set."""

    def __init__(
        self, inputs: int, outputs: int, resolution: int, up: bool, clamp: float | None
    ) -> None:
        super().__init__(inputs, outputs, 3)
        self.up, self.clamp = up, clamp
        self.low_pass = LowPass()
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.noise_strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, w: Tensor, noise: Noise) -> Tensor:
        style = self.affine(w)
        # Scales are computed in float32 and cast, or every product would be promoted at full size.
        x = x * style[:, :, None, None].to(x.dtype)
        weight = self.weight.to(x.dtype)
        if self.up:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            x = self.low_pass(x, padding=1, gain=4.0)
        else:
            x = F.conv2d(x, weight, padding=1)
        energy = style.square() @ self.weight.square().sum((2, 3)).T
        x = x * (energy + 1e-8).rsqrt()[:, :, None, None].to(x.dtype)
        if noise == "random":
            drawn = torch.randn(len(x), 1, *x.shape[2:], device=x.device)
            x = x + (drawn * self.noise_strength).to(x.dtype)
        elif noise == "const":
            x = x + (self.noise_const * self.noise_strength).to(x.dtype)
        return leaky(x + self.bias[:, None, None].to(x.dtype), clamp=self.clamp)


class ToMap(Modulated):
    """1 x 1, not demodulated: activations to what a block adds to the map."""

    def __init__(self, inputs: int, clamp: float | None) -> None:
        super().__init__(inputs, 1, 1)
        self.clamp = clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w) / math.sqrt(self.weight.shape[1])
        x = F.conv2d(x * style[:, :, None, None].to(x.dtype), self.weight.to(x.dtype))
        x = x.float() + self.bias[:, None, None]
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class Block(nn.Module):
    """One resolution of the synthesis network; at 4 x 4 it starts from a learned constant."""

    def __init__(self, config: GanConfig, resolution: int) -> None:
        super().__init__()
        outputs = config.channels(resolution)
        self.dtype = config.dtype(resolution)
        if resolution == 4:
            self.const = nn.Parameter(torch.randn(outputs, 4, 4))
        else:
            inputs = config.channels(resolution // 2)
            self.conv0 = StyledConv(inputs, outputs, resolution, True, config.clamp)
        self.conv1 = StyledConv(outputs, outputs, resolution, False, config.clamp)
        self.to_map = ToMap(outputs, config.clamp)
        self.low_pass = LowPass()

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """Activations and map of the resolution below, and styles (N, 2 or 3, 512), to those here."""
        if x is None:
            x = self.const.to(self.dtype).expand(len(ws), -1, -1, -1)
            x = x.contiguous(memory_format=torch.channels_last)
        else:
            x = self.conv0(x.to(self.dtype), ws[:, 0], noise)
        x = self.conv1(x, ws[:, -2], noise)
        added = self.to_map(x, ws[:, -1])
        return x, added if image is None else self.low_pass.double_size(image) + added


class Synthesis(nn.Module):
    """Styles W+ to maps: StyleGAN2's skip generator."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.num_ws = style_count(config.resolution)
        self.blocks = nn.ModuleList(Block(config, r) for r in config.resolutions)

    def forward(self, ws: Tensor, noise: Noise = "random") -> Tensor:
        """Synthesise.

        Parameters
        ----------
        ws
            (N, num_ws, 512). A block's last style is the next block's first.
        noise
            Drawn anew, each layer's own constant, or none.

        Returns
        -------
        Tensor
            (N, 1, R, R) float32, in the unit that the network was trained in.
        """
        x, image = self.blocks[0](None, None, ws[:, :2], noise)
        for index, block in enumerate(self.blocks[1:]):
            x, image = block(x, image, ws[:, 2 * index + 1 : 2 * index + 4], noise)
        return image


class Generator(nn.Module):
    """Mapping and synthesis; `unit_mm` says what 1 in its maps is in millimetres."""

    unit_mm: Tensor

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config.mapping_layers)
        self.synthesis = Synthesis(config)
        self.num_ws = self.synthesis.num_ws
        self.register_buffer("unit_mm", torch.ones(()))

    def forward(self, z: Tensor, truncation: float = 1.0, noise: Noise = "const") -> Tensor:
        """Maps (N, 1, R, R) in the network's unit from z (N, 512); truncation 0 gives the mean face's."""
        w = self.mapping.w_avg.lerp(self.mapping(z), truncation)
        return self.synthesis(w[:, None].expand(-1, self.num_ws, -1), noise)


class Conv(nn.Module):
    """The discriminator's convolution, with an equalised learning rate; halves the size where `down` is set."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, down: bool = False, active: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if active else None
        self.padding, self.down = kernel // 2, down
        self.low_pass = LowPass()

    def forward(self, x: Tensor, gain: float = 1.0, clamp: float | None = None) -> Tensor:
        weight = (self.weight / math.sqrt(self.weight[0].numel())).to(x.dtype)
        if not self.down:
            x = F.conv2d(x, weight, padding=self.padding)
        elif self.padding:
            x = F.conv2d(self.low_pass(x, padding=2), weight, stride=2)
        else:
            x = F.conv2d(self.low_pass(x, padding=1, stride=2), weight)
        if self.bias is None:
            return x * gain
        return leaky(x + self.bias[:, None, None].to(x.dtype), gain, clamp)


class Halve(nn.Module):
    """One resolution of the residual discriminator."""

    def __init__(self, config: GanConfig, resolution: int) -> None:
        super().__init__()
        inputs, outputs = config.channels(resolution), config.channels(resolution // 2)
        self.dtype, self.clamp = config.dtype(resolution), config.clamp
        if resolution == config.resolution:
            self.from_map = Conv(1, inputs, 1)
        self.conv0 = Conv(inputs, inputs, 3)
        self.conv1 = Conv(inputs, outputs, 3, down=True)
        self.skip = Conv(inputs, outputs, 1, down=True, active=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        if hasattr(self, "from_map"):
            x = self.from_map(x.contiguous(memory_format=torch.channels_last), clamp=self.clamp)
        gain = math.sqrt(0.5)
        around = self.skip(x, gain)
        x = self.conv0(x, clamp=self.clamp)
        return self.conv1(x, gain, self.clamp) + around


class Discriminator(nn.Module):
    """Maps (N, 1, R, R) in the generator's unit to logits (N, 1), high for maps of the data."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Halve(config, r) for r in config.resolutions[:0:-1])
        channels = config.channels(4)
        self.conv = Conv(channels + 1, channels, 3)
        self.fc = Linear(channels * 16, channels)
        self.out = Linear(channels, 1)
        self.clamp, self.group = config.clamp, config.group

    def forward(self, image: Tensor) -> Tensor:
        x = image
        for block in self.blocks:
            x = block(x)
        x = torch.cat([x.float(), minibatch_deviation(x.float(), self.group)], 1)
        x = self.conv(x, clamp=self.clamp)
        return self.out(leaky(self.fc(x.flatten(1))))


def minibatch_deviation(x: Tensor, group: int) -> Tensor:
    """Mean standard deviation among a group of maps, which tells a generator that repeats itself.

    Parameters
    ----------
    x
        (N, C, H, W).
    group
        Maps in a group; the largest smaller number that divides N where this does not. Every
        (N / group)-th map is in the same one.

    Returns
    -------
    Tensor
        (N, 1, H, W), constant over each map.
    """
    group = next(g for g in range(min(group, len(x)), 0, -1) if len(x) % g == 0)
    grouped = x.unflatten(0, (group, -1))
    deviation = (grouped.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    return deviation.repeat(group)[:, None, None, None].expand(-1, 1, *x.shape[2:])


def count(parameters: Iterable[Tensor]) -> int:
    """How many numbers there are in parameters."""
    return sum(p.numel() for p in parameters)
