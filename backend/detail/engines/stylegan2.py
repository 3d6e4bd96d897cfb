"""The standard synthesis network of StyleGAN2 (Karras et al. 2020), for displacement maps.

Written after the papers and checked against the published networks' files: the architecture is that
of StyleGAN2-ADA's PyTorch release with one output channel. Parameters are stored at unit variance
and scaled on use (equalised learning rate). `SeededSynthesis` is what the runtime plays and what
encoders are trained for: millimetres, and noise that follows a seed. Its other half, the mapping,
and the discriminator belong to training. Beside `torch_networks.Synthesis`,
the lean network that ships, this is what users bring who have trained a GAN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import FurrowError
from ...formats.tensors import damaged
from .torch_encoder import Encoder, encoder_config, read_description, read_state, restored
from .torch_layers import W_SIZE
from .torch_networks import style_count

ARCHITECTURE = "stylegan2"
"""What ``detail.json`` calls such networks; the lean ones have no such entry."""

Noise = Literal["random", "const", "none"]
"""Drawn anew, each layer's own constant, or none."""

SLOPE = 0.2
"""Of leaky ReLUs on their negative side."""


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

    noise_const: Tensor

    def __init__(
        self, inputs: int, outputs: int, resolution: int, up: bool, clamp: float | None
    ) -> None:
        super().__init__(inputs, outputs, 3)
        self.up, self.clamp = up, clamp
        self.low_pass = LowPass()
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.noise_strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, w: Tensor, noise: Noise | Tensor) -> Tensor:
        """Map activations x (N, inputs, h, w) under styles w (N, 512); a noise image is (1, 1, R, R)."""
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
        if isinstance(noise, Tensor):
            x = x + (noise * self.noise_strength).to(x.dtype)
        elif noise == "random":
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
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, noise: Noise | Tensor
    ) -> tuple[Tensor, Tensor]:
        """Activations and map of the resolution below, and styles (N, 2 or 3, 512), to those here.

        Noise images (1, 2, r, r) are those of the block's two layers.
        """
        first, second = (noise[:, :1], noise[:, 1:]) if isinstance(noise, Tensor) else (noise,) * 2
        if x is None:
            x = self.const.to(self.dtype).expand(len(ws), -1, -1, -1)
            x = x.contiguous(memory_format=torch.channels_last)
        else:
            x = self.conv0(x.to(self.dtype), ws[:, 0], first)
        x = self.conv1(x, ws[:, -2], second)
        added = self.to_map(x, ws[:, -1])
        return x, added if image is None else self.low_pass.double_size(image) + added


class Synthesis(nn.Module):
    """Styles W+ to maps: StyleGAN2's skip generator."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.num_ws = style_count(config.resolution)
        self.blocks = nn.ModuleList(Block(config, r) for r in config.resolutions)

    def forward(self, ws: Tensor, noise: Noise | Sequence[Tensor] = "random") -> Tensor:
        """Synthesise.

        Parameters
        ----------
        ws
            (N, num_ws, 512). A block's last style is the next block's first.
        noise
            Drawn anew, each layer's own constant, or none; or an image (1, 2, r, r) for the layers of
            each block, standard normal.

        Returns
        -------
        Tensor
            (N, 1, R, R) float32, in the unit that the network was trained in.
        """
        images = [noise] * len(self.blocks) if isinstance(noise, str) else noise
        x, image = self.blocks[0](None, None, ws[:, :2], images[0])
        for index, block in enumerate(self.blocks[1:]):
            x, image = block(x, image, ws[:, 2 * index + 1 : 2 * index + 4], images[index + 1])
        return image


class SeededSynthesis(nn.Module):
    """The standard synthesis network as the runtime plays it: in millimetres, with noise of a seed.

    It has no local bases, so that no part of its maps is linear in W+.
    """

    scale: Tensor

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.config = config
        self.synthesis = Synthesis(config)
        self.num_ws = self.synthesis.num_ws
        self.register_buffer("scale", torch.ones(()))  # mm of one unit of the raw output

    @property
    def blocks(self) -> nn.ModuleList:
        """The network's blocks, one a resolution."""
        return self.synthesis.blocks

    def levels(self) -> list[int]:
        """Resolutions that have a local basis, as the lean network has them: none."""
        return []

    def mixed(self, w: Tensor) -> list[Tensor]:
        """What each local basis gives for styles w (N, num_ws, 512): nothing."""
        return []

    def mixture(self, mixed: Sequence[Tensor], rest: Tensor) -> Tensor:
        """What is linear in W+ and a rest (1, 1, R, R) mm: the rest alone."""
        return rest.clone()

    def filtered(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """What the layers add, of noise (1, 1, R, R), standard normal: the same for all styles.

        Training draws noise for each layer by itself. One image for all would let them agree on where
        a pore lies, so each gets another part of it, turned over: white noise, as they learned it.

        Returns
        -------
        tuple
            That of the layers below R, (1, 2, R / 2, R / 2), each from its corner; that of R's two
            layers, (1, 2, R, R).
        """
        half = noise.shape[-1] // 2
        coarse = torch.cat([noise[..., half:, :half], noise[..., :half, half:]], 1)
        return coarse, torch.cat([noise.flip(2), noise], 1)

    def forward(self, w: Tensor, noise: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Synthesise maps.

        Parameters
        ----------
        w
            (N, num_ws, 512) styles, w_avg included.
        noise
            (1, 1, R, R) standard normal, which decides pores and fine lines; or what :meth:`filtered`
            returns for it.

        Returns
        -------
        Tensor
            (N, 1, R, R) displacement outward in millimetres.
        """
        coarse, fine = self.filtered(noise) if isinstance(noise, Tensor) else noise
        images = [coarse[..., :size, :size] for size in self.config.resolutions[:-1]]
        return self.synthesis(w, [*images, fine]) * self.scale


def is_stylegan2(description: dict[str, Any]) -> bool:
    """Whether the content of a ``detail.json`` describes networks of this kind."""
    return description.get("architecture") == ARCHITECTURE


def load(folder: Path, device: str | torch.device = "cpu") -> tuple[Encoder, SeededSynthesis]:
    """Load such networks from `folder` (detail.json, encoder and generator .safetensors).

    Raises
    ------
    FurrowError
        If a file is missing or does not fit the others.
    """
    description = read_description(folder)
    try:
        encoder = Encoder(encoder_config(description))
        synthesis = SeededSynthesis(GanConfig(**description["synthesis"]))
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise damaged(folder / "detail.json", error) from None
    read_state(encoder, folder / "encoder.safetensors", restored)
    read_state(synthesis, folder / "generator.safetensors", synthesis_state)
    return encoder.to(device).eval(), synthesis.to(device).eval()


def synthesis_state(generator: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of a `SeededSynthesis` in that of a whole generator, which has a mapping besides."""
    names = {name: name for name in generator if name.startswith("synthesis.")}
    return {new: generator[old] for new, old in (names | {"scale": "unit_mm"}).items()}
