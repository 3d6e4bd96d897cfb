"""From a generator of `furrow train gan` and its encoder to a folder of networks that the runtime plays."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...backend.detail.engines.stylegan2 import (
    ARCHITECTURE,
    SeededSynthesis,
    synthesis_state,
)
from ...backend.detail.engines.torch_encoder import Encoder, EncoderConfig
from ...backend.detail.engines.torch_networks import style_split
from ...backend.formats.expressions import EXPRESSIONS
from ...backend.formats.files import write_whole
from ..export.detail import export_encoder, export_onnx, export_synthesis
from ..networks.stylegan2 import Z_SIZE, Generator
from .files import write_generator


class MappedStyles(nn.Module):
    """What ``mapping.onnx`` computes: z to W+, whose styles are all the same w."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.mapping, self.num_ws = generator.mapping, generator.num_ws

    def forward(self, z: Tensor) -> Tensor:
        """Map z (1, 512) to W+ (1, num_ws, 512)."""
        w: Tensor = self.mapping(z)
        return w[:, None].repeat(1, self.num_ws, 1)


def synthesis_of(generator: Generator) -> SeededSynthesis:
    """Return the part of a generator that makes maps of W+, in millimetres."""
    synthesis = SeededSynthesis(generator.config)
    synthesis.load_state_dict(synthesis_state(generator.state_dict()))
    return synthesis.eval().requires_grad_(False)


def new_encoder(generator: Generator, identity_size: int, hidden: tuple[int, ...]) -> Encoder:
    """Make an untrained encoder whose w_avg is the generator's; identities have K + 16 numbers."""
    sizes = (identity_size, len(EXPRESSIONS))
    encoder = Encoder(EncoderConfig(*sizes, style_split(generator.config.resolution), hidden))
    encoder.w_avg.copy_(generator.mapping.w_avg)
    return encoder


@torch.no_grad()
def export(encoder: Encoder, generator: Generator, folder: Path, record: dict[str, Any]) -> None:
    """Write the networks to `folder` as docs/architecture.md says; the generator in float32.

    Parameters
    ----------
    encoder
        Trained; changed in place by rounding.
    record
        What else ``detail.json`` shall say: data hashes, training command.
    """
    config = generator.config
    export_encoder(encoder.eval(), folder)
    export_synthesis(synthesis_of(generator), folder)
    export_onnx(MappedStyles(generator), {"z": torch.zeros(1, Z_SIZE)}, ["w"], folder / "mapping.onnx")  # fmt: skip
    write_generator(folder / "generator.safetensors", generator)
    detail = {
        "format": "furrow.detail/1",
        "architecture": ARCHITECTURE,
        "resolution": config.resolution,
        "num_ws": generator.num_ws,
        "channels": {str(size): config.channels(size) for size in config.resolutions},
        "synthesis": asdict(config),
        "encoder": asdict(encoder.config),
        **record,
    }
    write_whole(folder / "detail.json", json.dumps(detail, indent=1).encode() + b"\n")
