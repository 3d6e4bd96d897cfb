"""The detail networks in PyTorch: `Synthesis` (W+ to a map) and `Encoder` ((a, b) to W+).

Shared by the PyTorch engine and by training; imported on demand only, so that the backend runs
without PyTorch. `Synthesis` is the synthesis network of StyleGAN2 (Karras et al. 2020: modulated
convolutions with demodulation, a skip of one-channel images) with four changes for one fixed UV
chart and a small budget: convolutions come before the (bilinear) up-sampling; activations are
brought to unit variance by a running mean of their squares, as in StyleGAN3, since up-sampling
shrinks them; the per-layer noise images are learned constants, which tell a block where on the
face it is; a linear basis of maps, local by patches, stands beside the convolutions and reads the
same styles; and the random noise makes only the fine relief. `Encoder` is the fully connected
network of DNPM.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ...errors import FurrowError
from ...formats.tensors import damaged
from .torch_layers import MAGNITUDE_MOMENTUM, W_SIZE, LocalBasis, ModulatedConv, Relief, enlarge


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
        Activations' channels at 4, 8, 16, ... R.
    const_channels
        Learned constant images at 16, 32, ... R.
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
    """Doubles the resolution of the activations and adds detail to the image."""

    def __init__(self, inputs: int, outputs: int, const: int, images: int, resolution: int) -> None:
        super().__init__()
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

    def __init__(self, config: SynthesisConfig) -> None:
        super().__init__()
        self.config = config
        levels = int(math.log2(config.resolution)) - 1
        above = {len(config.const_channels), len(config.basis_images)}
        if len(config.channels) != levels or above != {levels - 2}:
            raise ValueError(f"{config} needs channels for {levels} resolutions")
        self.num_ws = style_count(config.resolution)
        channels = config.channels
        self.input = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        self.first = ModulatedConv(channels[0], channels[0], 3)
        self.first_to_map = ModulatedConv(channels[0], 1, 1, demodulate=False)
        nn.init.zeros_(self.first_to_map.weight)
        const, images = (0, *config.const_channels), (0, *config.basis_images)
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

    def levels(self) -> list[int]:
        """Resolutions that have a local basis, from the lowest."""
        return [8 << i for i, images in enumerate((0, *self.config.basis_images)) if images]

    def mixed(self, w: Tensor) -> list[Tensor]:
        """What each local basis gives for styles w (N, num_ws, 512): raw units, (N, 1, r, r)."""
        return [
            block.basis(w[:, 2 * index + 3])
            for index, block in enumerate(self.blocks)
            if block.basis is not None
        ]

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
        x = self.input.to(dtype).expand(w.shape[0], -1, -1, -1)
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.first.activate(self.first(x, w[:, 0]))
        image = self.first_to_map(x, w[:, 1]).float()
        for index in range(int(math.log2(resolution)) - 2):
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


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of an `Encoder`.

    Attributes
    ----------
    identity
        K + 16 identity coefficients.
    expression
        52 expression weights.
    split
        Styles read from layers 3, 4 and 5.
    hidden
        Two widths: layers 3 to 5 are the styles themselves, as in the paper, whose 113 M
        parameters are (7680, 7680) with 9/5/4 styles. Five widths: every layer is as wide as said
        and layers 3 to 5 have linear heads to the styles.
    """

    identity: int
    expression: int
    split: tuple[int, int, int]
    hidden: tuple[int, ...]


class Encoder(nn.Module):
    """Identity and expression to W+: fully connected, ReLU, [a, b] again after the first layer."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.num_ws = sum(config.split)
        size = config.identity + config.expression
        first, second = config.hidden[:2]
        self.layer1 = nn.Linear(size, first)
        self.layer2 = nn.Linear(first + size, second)
        outputs = [count * W_SIZE for count in config.split if count]
        widths = config.hidden[2 : 2 + len(outputs)] or tuple(outputs)
        self.trunk = nn.ModuleList(
            nn.Linear(a, b) for a, b in zip((second, *widths[:-1]), widths, strict=True)
        )
        self.heads = nn.ModuleList(
            nn.Linear(a, b) if config.hidden[2:] else nn.Identity()
            for a, b in zip(widths, outputs, strict=True)
        )
        # Inputs are brought to a like range, so that a step of Adam means as much for each of them.
        for layer in (self.layer1, self.layer2, *self.trunk, *self.heads):
            if isinstance(
                layer, nn.Linear
            ):  # He: signals keep their size, so that W+ varies from the start
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        self.register_buffer("shift", torch.zeros(size))
        self.register_buffer("gain", torch.ones(size))
        self.register_buffer("w_avg", torch.zeros(self.num_ws, W_SIZE))

    def forward(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Encode.

        Parameters
        ----------
        identity
            (N, K + 16): shape in standard deviations, then skin in [0, 1].
        expression
            (N, 52) weights in [0, 1].

        Returns
        -------
        Tensor
            (N, num_ws, 512): w_avg + E(a, b).
        """
        read = zip(self.heads, self.features(identity, expression), strict=True)
        styles = [head(x) for head, x in read]
        return torch.cat(styles, 1).unflatten(1, (self.num_ws, W_SIZE)) + self.w_avg

    def features(self, identity: Tensor, expression: Tensor) -> list[Tensor]:
        """What the heads of layers 3, 4 and 5 read."""
        shift: Tensor = self.shift  # type: ignore[assignment]
        gain: Tensor = self.gain  # type: ignore[assignment]
        both = (torch.cat([identity, expression], 1) - shift) * gain
        x = F.relu(self.layer1(both))
        x = F.relu(self.layer2(torch.cat([x, both], 1)))
        features = []
        for layer in self.trunk:
            raw = layer(x)
            x = F.relu(raw)
            # Without heads the layer is the style and stays linear: a ReLU would keep W+ positive.
            features.append(x if self.config.hidden[2:] else raw)
        return features


def configs(detail: dict[str, Any]) -> tuple[SynthesisConfig, EncoderConfig]:
    """Read the networks' sizes from the content of ``detail.json``."""
    tuples = {
        part: {key: tuple(v) if isinstance(v, list) else v for key, v in detail[part].items()}
        for part in ("synthesis", "encoder")
    }
    return SynthesisConfig(**tuples["synthesis"]), EncoderConfig(**tuples["encoder"])


SCALE_SUFFIX = ".scale"
"""Beside an int8 tensor NAME in a .safetensors file stands NAME.scale: value = int8 x scale."""


def restored(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters in float32 from those that are stored in 8 bits, with a scale for each row."""
    return {
        name: value.float() * state[name + SCALE_SUFFIX] if value.dtype == torch.int8 else value
        for name, value in state.items()
        if not name.endswith(SCALE_SUFFIX)
    }


def load(folder: str | Path, device: str | torch.device = "cpu") -> tuple[Encoder, Synthesis]:
    """Load the networks from `folder` (detail.json, encoder and generator .safetensors).

    Raises
    ------
    FurrowError
        If a file is missing or does not fit the others.
    """
    folder = Path(folder)
    try:
        detail = json.loads((folder / "detail.json").read_text(encoding="utf-8"))
        synthesis_config, encoder_config = configs(detail)
        encoder, synthesis = Encoder(encoder_config), Synthesis(synthesis_config)
    except FileNotFoundError as error:
        raise FurrowError(f"A detail network is missing: {error}.", "missing_model") from None
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise damaged(folder / "detail.json", error) from None
    for network, name in ((encoder, "encoder"), (synthesis, "generator")):
        path = folder / f"{name}.safetensors"
        try:
            network.load_state_dict(restored(load_file(path)))
        except FileNotFoundError:
            raise FurrowError(
                f"The network {path} is missing. Install Furrow again.", "missing_model"
            ) from None
        except SafetensorError as error:
            raise damaged(path, error) from None
        except RuntimeError:  # names or sizes of parameters; PyTorch lists them all
            reason = "its parameters are not those that detail.json describes"
            raise damaged(path, reason) from None
    return encoder.to(device).eval(), synthesis.to(device).eval()
