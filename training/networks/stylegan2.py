"""StyleGAN2 (Karras et al. 2020) for displacement maps: the mapping, the generator, the discriminator.

The synthesis network lies where the runtime finds it (`backend.detail.engines.stylegan2`). The
architecture is that of StyleGAN2-ADA's PyTorch release, unconditional and with one output channel,
so that `stylegan_pickle` can bring weights over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backend.detail.engines.stylegan2 import (
    GanConfig,
    Linear,
    LowPass,
    Noise,
    Synthesis,
    leaky,
)
from ...backend.detail.engines.torch_layers import W_SIZE

Z_SIZE = 512

W_AVERAGE_BETA = 0.995


class Mapping(nn.Module):
    """z (N, 512), standard normal, to w (N, 512); keeps the mean w for truncation."""

    w_avg: Tensor

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
