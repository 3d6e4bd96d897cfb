"""What a run trains: the networks' sizes and the choices of the training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ...backend.identity import SKIN
from ...backend.torch_networks import (
    Encoder,
    EncoderConfig,
    Synthesis,
    SynthesisConfig,
    style_split,
)
from .data import Maps


@dataclass(frozen=True)
class Options:
    """Choices of a run; the command line's, except in tests."""

    resolution: int = 512
    channels: tuple[int, ...] = (32, 32, 32, 32, 32, 32, 16, 8)
    const_channels: tuple[int, ...] = (8, 8, 48, 128, 24, 2)
    hidden: tuple[int, ...] = (1024, 1024, 384, 256, 128)
    basis_from: int = 64
    batch: int = 8
    coefficient_batch: int = 128
    weight_decay: float = 0.3
    """Of the encoder while it learns coefficients (AdamW)."""
    kept_back: float = 0.1
    """Share of the people, the first ones, whom the encoder does not learn: the convolutions do.

    On people whom the encoder knows its errors are small and of another kind than on unseen
    people; convolutions that learn there help those people and harm all others.
    """
    seed: int = 0
    bfloat16: bool = True
    stages: tuple[tuple[str, float], ...] = (
        ("basis", 0.5),
        ("grow256", 0.37),
        ("detail", 0.13),
    )
    """Stages and their shares of the budget; each has its own optimiser and cosine."""


class Networks(nn.Module):
    """Encoder and synthesis as one module, for the average and the checkpoint."""

    def __init__(self, encoder: Encoder, synthesis: Synthesis) -> None:
        super().__init__()
        self.encoder, self.synthesis = encoder, synthesis


def networks(options: Options, coarse: Maps, fine: Maps) -> Networks:
    """Untrained networks of the sizes that the options and the data ask for."""
    split = style_split(options.resolution)
    sizes = (coarse.identity.shape[1], coarse.expression.shape[1])
    return Networks(
        Encoder(EncoderConfig(*sizes, split, options.hidden)),
        Synthesis(
            SynthesisConfig(
                options.resolution, options.channels, options.const_channels, fine.texel_mm
            )
        ),
    )


def scale_inputs(encoder: Encoder, maps: Maps) -> None:
    """Let shape count little, since skin decides furrows, and centre the skin coefficients.

    Gains of 3 on skin and expression, which give them unit variance, fit the training people
    closer and unseen people worse than 1: the function comes out less smooth.
    """
    shape = maps.identity.shape[1] - len(SKIN)
    encoder.shift[shape : shape + len(SKIN)] = 0.5
    encoder.gain[:shape] = 0.02
