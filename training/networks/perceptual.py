"""How alike maps look: LPIPS, and the layers of AlexNet and VGG16 that it compares.

LPIPS (Zhang et al. 2018, version 0.1) is the learned distance of two pictures in the layers of a
network trained on photographs. Maps enter as grey pictures: +-`RANGE_MM` becomes +-1.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from . import pretrained

RANGE_MM = 1.0
"""Displacement in mm that is shown as white; its negative as black. Deeper furrows go beyond."""

# Of photographs in [-1, 1], by colour: what the networks were trained with, as LPIPS 0.1 has it.
_MEAN = (-0.030, -0.088, -0.188)
_SPREAD = (0.458, 0.448, 0.450)


class Layers(nn.Module):
    """The convolutions of AlexNet or VGG16, in five parts that each end where LPIPS looks.

    Parameters
    ----------
    network
        ``alexnet`` or ``vgg16``.
    cache
        Where the pretrained weights lie; see :func:`.pretrained.load`.

    Raises
    ------
    FurrowError
        If the pretrained weights cannot be had.
    """

    NAMES = ("relu1", "relu2", "relu3", "relu4", "relu5")
    """The parts' last layers. In VGG16: relu1_2, relu2_2, relu3_3, relu4_3, relu5_3."""

    mean: Tensor
    spread: Tensor

    def __init__(self, network: str = "alexnet", cache: Path | None = None) -> None:
        super().__init__()
        weights = pretrained.load(network, cache)
        self.parts = nn.ModuleList(_alexnet() if network == "alexnet" else _vgg16())
        convolutions = [m for m in self.parts.modules() if isinstance(m, nn.Conv2d)]
        for i, convolution in enumerate(convolutions):
            convolution.load_state_dict(
                {part: weights[f"conv.{i}.{part}"] for part in ("weight", "bias")}
            )
        self.heads = [f"head{i}" for i in range(len(self.parts))]
        for i, name in enumerate(self.heads):
            self.register_buffer(name, weights[f"head.{i}"])
        for name, values in (("mean", _MEAN), ("spread", _SPREAD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None])
        self.requires_grad_(False)

    def forward(self, maps_mm: Tensor, depth: int = 5) -> list[Tensor]:
        """Activations of the first `depth` parts.

        Parameters
        ----------
        maps_mm
            (B, 1, H, W) millimetres.

        Returns
        -------
        list
            (B, C, h, w) each. For VGG16 C is 64, 128, 256, 512, 512 at H, H / 2, H / 4, H / 8 and
            H / 16; for AlexNet 64, 192, 384, 256, 256 at about H / 4, H / 8 and thrice H / 16.
        """
        return self.of_picture((maps_mm / RANGE_MM).expand(-1, 3, -1, -1), depth)

    def of_picture(self, picture: Tensor, depth: int = 5) -> list[Tensor]:
        """Activations for pictures (B, 3, H, W) in [-1, 1], red first."""
        x = (picture - self.mean) / self.spread
        outputs = []
        for part in self.parts[:depth]:
            x = part(x)
            outputs.append(x)
        return outputs


class Lpips(nn.Module):
    """The distance LPIPS 0.1 of maps; smaller is more alike, 0 the same.

    Gradients flow to the maps, so it is a loss as well; the network itself never learns.

    Parameters
    ----------
    network
        ``alexnet``, the usual one for evaluation, or ``vgg16``, the usual one for losses.
    cache
        See :class:`Layers`.
    """

    def __init__(self, network: str = "alexnet", cache: Path | None = None) -> None:
        super().__init__()
        self.layers = Layers(network, cache)

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        """Distances (B,) of maps `one` and `two`, both (B, 1, H, W) mm, at least 64 texels wide."""
        return self.compare(self.layers(one), self.layers(two))

    def compare(self, ones: list[Tensor], twos: list[Tensor]) -> Tensor:
        """Distances (B,) of two sets of activations of `layers`."""
        total = ones[0].new_zeros(len(ones[0]))
        for name, one, two in zip(self.layers.heads, ones, twos, strict=True):
            difference = (_unit(one) - _unit(two)).square()
            head = getattr(self.layers, name)
            total = total + torch.einsum("bchw,c->bhw", difference, head).mean((1, 2))
        return total


@functools.cache
def lpips(network: str = "alexnet") -> Lpips:
    """Return the metric, read once; raises FurrowError if its weights cannot be had."""
    # It is kept for all: made inside somebody's inference mode, it could never be learned through.
    with torch.inference_mode(False):
        return Lpips(network)


def _alexnet() -> Iterator[nn.Sequential]:
    """The parts of AlexNet (Krizhevsky 2014, one tower); a pooling belongs to the part after it."""
    inputs = 3
    for i, (outputs, kernel) in enumerate(((64, 11), (192, 5), (384, 3), (256, 3), (256, 3))):
        convolution = nn.Conv2d(
            inputs, outputs, kernel, stride=1 if i else 4, padding=kernel // 2 if i else 2
        )
        pooling = [nn.MaxPool2d(3, 2)] if i in (1, 2) else []
        yield nn.Sequential(*pooling, convolution, nn.ReLU())
        inputs = outputs


def _vgg16() -> Iterator[nn.Sequential]:
    """The parts of VGG16 (Simonyan and Zisserman 2014), likewise."""
    inputs = 3
    for i, (outputs, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        part: list[nn.Module] = [nn.MaxPool2d(2)] if i else []
        for _ in range(count):
            part += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
        yield nn.Sequential(*part)


def _unit(x: Tensor) -> Tensor:
    """Activations of length 1 at every place; the same as LPIPS, with a gradient at zero too."""
    length = (x.square().sum(1, keepdim=True) + 1e-20).sqrt()
    return x / (length + 1e-10)
