"""The detail networks in PyTorch: `Synthesis`, W+ to a map; the encoder is `torch_encoder`'s.

Shared by the PyTorch engine and by training; imported on demand only, so that the backend runs
without PyTorch. `Synthesis` is the synthesis network of StyleGAN2 (Karras et al. 2020: modulated
convolutions with demodulation, a skip of one-channel images) with four changes for one fixed UV
chart and a small budget: convolutions come before the (bilinear) up-sampling; activations are
brought to unit variance by a running mean of their squares, as in StyleGAN3, since up-sampling
shrinks them; the per-layer noise images are learned constants, which tell a block where on the
face it is; a linear basis of maps, local by patches, stands beside the convolutions and reads the
same styles; and the random noise makes only the fine relief.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import FurrowError
from ...formats.tensors import damaged
from .torch_encoder import (
    Encoder,
    EncoderConfig,
    encoder_config,
    read_description,
    read_state,
    restored,
    with_tuples,
)
from .torch_layers import MAGNITUDE_MOMENTUM, W_SIZE, LocalBasis, ModulatedConv, Relief, enlarge

__all__ = ["W_SIZE", "Encoder", "EncoderConfig", "Synthesis", "SynthesisConfig", "load"]
"""What the networks' users need, wherever it lies."""


def style_count(resolution: int) -> int:
    """num_ws of StyleGAN2: 18 styles at 1024, two fewer per halving."""
    return 2 * int(math.log2(resolution)) - 2


def map_style(resolution: int) -> int:
    """Index of the style that a block's image and local basis read: 13 at 256, 15 at 512."""
    return style_count(resolution) - 1


def style_split(resolution: int) -> tuple[int, int, int]:
    """Styles read from the encoder's layers 3, 4 and 5: 9/5/4 at 1024, 9/5/2 at 512, 9/5 at 256."""
    count = style_count(resolution)
    return min(9, count), min(5, max(0, count - 9)), max(0, count - 14)


@dataclass(frozen=True)
class SynthesisConfig:
    """Sizes of a `Synthesis`.

    Attributes
    ----------
    resolution
        Width and height R of the maps in texels, a power of two.
    channels
        Activations' channels at 4, 8, 16, ... R; or none at all, ( ), where the local bases draw
        everything but the relief.
    const_channels
        Learned constant images at 16, 32, ... R; as many as there are channels above 8.
    basis_images
        Images for each patch of the local basis at 16, 32, ... R; 0 where there is none.
    texel_mm
        Median side of a texel on the face in millimetres; sets the wavelengths of the relief.
    """

    resolution: int
    channels: tuple[int, ...]
    const_channels: tuple[int, ...]
    basis_images: tuple[int, ...]
    texel_mm: float = 0.3


class Block(nn.Module):
    """Doubles the resolution of the activations and adds detail to the image.

    Without channels it has no convolutions, and its local basis is all that it adds.
    """

    def __init__(self, inputs: int, outputs: int, const: int, images: int, resolution: int) -> None:
        super().__init__()
        self.channels = outputs
        if outputs:
            self.conv0 = ModulatedConv(inputs, outputs, 3)
            self.conv1 = ModulatedConv(outputs, outputs, 3)
            self.to_map = ModulatedConv(outputs, 1, 1, demodulate=False)
            # Zero at the start: a block that is switched on while training grows changes nothing yet.
            nn.init.zeros_(self.to_map.weight)
            self.image_strength = nn.Parameter(torch.randn(inputs, 1, 1))
        if const:
            self.noise_const = nn.Parameter(torch.randn(const, resolution, resolution))
            self.noise_strength = nn.Parameter(torch.randn(outputs, const))
        self.const = const
        self.basis = LocalBasis(resolution, images) if images else None

    def forward(
        self,
        x: Tensor,
        image: Tensor,
        ws: Tensor,
        crop: tuple[int, int, int] | None = None,
        mixed: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return activations and image at twice the resolution; ws (N, 3, 512).

        `crop` (row, column, size), in texels of the result, says which part of the tile x is.
        `mixed` is what the local basis gives for ws, where that is known already.
        """
        if self.channels:
            const = self.const_images(crop) if self.const else None
            # The convolutions see the map so far: what they add is drawn on it.
            x = x + (self.image_strength * image).to(x.dtype)
            x = enlarge(self.conv0(x, ws[:, 0]), 2)
            x = self.conv0.activate(x, None if const is None else self.place(const))
            x = self.conv1.activate(self.conv1(x, ws[:, 1]))
        image = enlarge(image, 2)
        if self.basis is not None:
            mixed = self.basis(ws[:, 2]) if mixed is None else mixed
            if crop is not None:
                row, column, size = crop
                mixed = mixed[..., row : row + size, column : column + size]
            image = image + mixed
        if not self.channels:
            return x, image
        return x, image + self.to_map(x, ws[:, 2]).float() + self.to_map.bias[:, None, None]

    def const_images(self, crop: tuple[int, int, int] | None = None) -> Tensor:
        """The learned constant images (K, h, w), all of them or a part (row, column, size)."""
        if crop is None:
            return self.noise_const
        row, column, size = crop
        return self.noise_const[:, row : row + size, column : column + size]

    def place(self, const: Tensor) -> Tensor:
        """What the constant images add to each channel after conv0: (C, h, w), channels last."""
        # Of unit variance over the whole tile, whatever they weigh in the map.
        scale = torch.rsqrt(self.noise_const.square().mean((1, 2)) * self.const + 1e-12)
        added = const.flatten(1).T @ (self.noise_strength * scale).T
        return added.unflatten(0, const.shape[1:]).permute(2, 0, 1)


class Synthesis(nn.Module):
    """W+ and noise to a displacement map in millimetres."""

    scale: Tensor

    def __init__(self, config: SynthesisConfig) -> None:
        super().__init__()
        self.config = config
        levels = int(math.log2(config.resolution)) - 1
        channels = config.channels or (0,) * levels
        above = config.const_channels if config.channels else (0,) * (levels - 2)
        if len(channels) != levels or {len(above), len(config.basis_images)} != {levels - 2}:
            raise ValueError(f"{config} needs channels for {levels} resolutions")
        self.num_ws = style_count(config.resolution)
        if config.channels:
            self.input = nn.Parameter(torch.randn(1, channels[0], 4, 4))
            self.first = ModulatedConv(channels[0], channels[0], 3)
            self.first_to_map = ModulatedConv(channels[0], 1, 1, demodulate=False)
            nn.init.zeros_(self.first_to_map.weight)
        const, images = (0, *above), (0, *config.basis_images)
        self.blocks = nn.ModuleList(
            Block(channels[i], channels[i + 1], const[i], images[i], 8 << i)
            for i in range(levels - 1)
        )
        self.relief = Relief(config.resolution, config.texel_mm)
        self.register_buffer("scale", torch.ones(()))  # mm of one unit of the raw output

    def forward(self, w: Tensor, noise: Tensor | tuple[Tensor, Tensor], *mixed: Tensor) -> Tensor:
        """Synthesise maps.

        Parameters
        ----------
        w
            (N, num_ws, 512) styles, w_avg included.
        noise
            (N or 1, 1, R, R) standard normal: decides pores and fine lines; zeros leave them out.
            Or what `relief.filtered` returns for it, where that is known already.
        mixed
            What :meth:`mixed` returns for w, where that is known already.

        Returns
        -------
        Tensor
            (N, 1, R, R) displacement outward in millimetres.
        """
        _, image = self.lower(w, self.config.resolution, mixed=mixed)
        return (image + self.relief(w[:, -1], noise)) * self.scale

    def filtered(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """What noise (N, 1, R, R) gives whatever the style; see :meth:`Relief.filtered`."""
        return self.relief.filtered(noise)

    def levels(self) -> list[int]:
        """Resolutions that have a local basis, from the lowest."""
        return [8 << i for i, images in enumerate((0, *self.config.basis_images)) if images]

    def mixed(self, w: Tensor) -> list[Tensor]:
        """What each local basis gives for styles w (N, num_ws, 512): raw units, (N, 1, r, r)."""
        images = []
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            if block.basis is not None:
                images.append(block.basis(w[:, 2 * index + 3]))
        return images

    def mixture(self, mixed: Sequence[Tensor], rest: Tensor) -> Tensor:
        """Maps (N, 1, R, R) in mm of what :meth:`mixed` returns and a rest (1, 1, R, R) in mm."""
        total: Tensor | None = None
        for level, image in zip(self.levels(), mixed, strict=True):
            image = image * self.scale  # here, and not at the full size, which costs more
            total = image if total is None else total + image
            finer = [size for size in (*self.levels(), self.config.resolution) if size > level]
            while level < min(finer, default=level):
                total, level = enlarge(total, 2), 2 * level
        return rest.clone() if total is None else total + rest

    def lower(
        self,
        w: Tensor,
        resolution: int,
        dtype: torch.dtype = torch.float32,
        mixed: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Tensor]:
        """Activations and image (raw units, float32) at a lower resolution, 4 to R.

        Activations are computed in `dtype`, channels last, which is what CPUs convolve fastest.
        `mixed` as in :meth:`forward`.
        """
        known = dict(zip(self.levels(), mixed, strict=True)) if mixed else {}
        begin, end = 0, int(math.log2(resolution)) - 2
        if self.config.channels:
            x = self.input.to(dtype).expand(w.shape[0], -1, -1, -1)
            x = x.contiguous(memory_format=torch.channels_last)
            x = self.first.activate(self.first(x, w[:, 0]))
            image = self.first_to_map(x, w[:, 1]).float()
        else:  # nothing is drawn below the first basis
            begin = min([end, *(int(math.log2(level)) - 3 for level in self.levels())])
            image = w.new_zeros(w.shape[0], 1, 4 << begin, 4 << begin)
            x = image[:, :0]
        for index in range(begin, end):
            x, image = self.block(index, x, image, w, mixed=known.get(8 << index))
        return x, image

    @torch.no_grad()
    def calibrate(self, w: Tensor, resolution: int) -> None:
        """Bring the activations up to `resolution` to unit variance for styles w (N, num_ws, 512)."""
        convs = [module for module in self.modules() if isinstance(module, ModulatedConv)]
        training = self.training
        self.train()
        for conv in convs:
            conv.momentum = 1.0
        for _ in range(2 * int(math.log2(resolution))):  # a layer settles after those before it
            self.lower(w, resolution)
        for conv in convs:
            conv.momentum = MAGNITUDE_MOMENTUM
        self.train(training)

    def block(
        self,
        index: int,
        x: Tensor,
        image: Tensor,
        w: Tensor,
        crop: tuple[int, int, int] | None = None,
        mixed: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Apply the block that leads to resolution 8 << index; styles are shared as in StyleGAN2."""
        first = 1 + 2 * index
        return self.blocks[index](x, image, w[:, first : first + 3], crop, mixed)


def load(folder: str | Path, device: str | torch.device = "cpu") -> tuple[Encoder, Synthesis]:
    """Load the networks from `folder` (detail.json, encoder and generator .safetensors).

    Raises
    ------
    FurrowError
        If a file is missing or does not fit the others, or the generator is a standard StyleGAN2.
    """
    folder = Path(folder)
    description = read_description(folder)
    if "architecture" in description:
        raise FurrowError(
            f"{folder} holds a generator of {description['architecture']}. Maps can be made of it, but "
            "this needs local bases and relief, as `furrow train dnpm` learns them."
        )
    try:
        encoder = Encoder(encoder_config(description))
        synthesis = Synthesis(SynthesisConfig(**with_tuples(description["synthesis"])))
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise damaged(folder / "detail.json", error) from None
    read_state(encoder, folder / "encoder.safetensors", restored)
    read_state(synthesis, folder / "generator.safetensors", restored)
    return encoder.to(device).eval(), synthesis.to(device).eval()
