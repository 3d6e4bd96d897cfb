"""From trained networks to what ships: ONNX for inference, safetensors for training, detail.json."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ...backend.detail.engines.stylegan2 import SeededSynthesis
from ...backend.detail.engines.torch_encoder import SCALE_SUFFIX, Encoder
from ...backend.detail.engines.torch_networks import Synthesis
from ...backend.formats.files import whole_file, write_whole
from .bases_graph import Bases

OPSET = 17


@torch.no_grad()
def centre_styles(encoder: Encoder, identity: Tensor, expression: Tensor) -> None:
    """Move the mean of W+ over the data from the heads' biases into w_avg: E has mean zero then."""
    mean = encoder(identity, expression).mean(0) - encoder.w_avg
    start = 0
    heads = encoder.heads if encoder.config.hidden[2:] else encoder.trunk
    for head, count in zip(heads, (c for c in encoder.config.split if c), strict=True):
        head.bias -= mean[start : start + count].flatten()
        start += count
    encoder.w_avg += mean


SMALL = 4096
"""Parameters of fewer numbers, and vectors, are stored as they are; the others in 8 bits."""

ROW = 256
"""A row that shares a scale has at least so many numbers, where the tensor's shape allows it."""


def quantised(value: Tensor) -> tuple[Tensor, Tensor] | None:
    """A tensor as int8 and the scale of each of its rows, or None if it is stored as it is."""
    if value.ndim < 2 or value.numel() < SMALL:
        return None
    trailing = 1
    while trailing < value.ndim - 1 and math.prod(value.shape[-trailing:]) < ROW:
        trailing += 1
    scale = value.abs().amax(tuple(range(-trailing, 0)), keepdim=True).clamp(min=1e-12) / 127
    return torch.round(value / scale).to(torch.int8), scale


@torch.no_grad()
def round_weights(module: nn.Module) -> None:
    """Round what is stored in 8 bits, so that ONNX and safetensors hold equal networks."""
    for parameter in module.parameters():
        if (pair := quantised(parameter)) is not None:
            parameter.copy_(pair[0].float() * pair[1])


def write_tensors(module: nn.Module, path: Path) -> None:
    """Write a rounded module's state as safetensors, large parameters as int8 and NAME.scale."""
    parameters = {name for name, _ in module.named_parameters()}
    state: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        pair = quantised(value) if name in parameters else None
        if pair is None:
            state[name] = value.contiguous()
        else:
            state[name], state[name + SCALE_SUFFIX] = pair
    with whole_file(path) as temporary:
        save_file(state, temporary)


def export_onnx(
    module: nn.Module, inputs: dict[str, Tensor], outputs: Sequence[str], path: Path
) -> None:
    """Write a module as ONNX with fixed shapes."""
    with whole_file(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter announces its retirement
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            str(temporary),
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=False,  # keeps parameters as they are stored
        )
        _compress(temporary)


@torch.no_grad()
def export(encoder: Encoder, synthesis: Synthesis, folder: Path, record: dict[str, Any]) -> None:
    """Write encoder and generator to `folder` as docs/architecture.md says.

    Parameters
    ----------
    encoder, synthesis
        Trained; changed in place by rounding.
    record
        What else ``detail.json`` shall say: data hashes, training command.
    """
    encoder, synthesis = encoder.eval(), synthesis.eval()
    round_weights(synthesis)
    config = synthesis.config
    export_encoder(encoder, folder)
    export_synthesis(synthesis, folder)
    write_tensors(synthesis, folder / "generator.safetensors")
    detail = {
        "format": "furrow.detail/1",
        "resolution": config.resolution,
        "num_ws": synthesis.num_ws,
        "channels": dict(
            zip((str(4 << i) for i in range(len(config.channels))), config.channels, strict=True)
        ),
        "synthesis": asdict(config),
        "encoder": asdict(encoder.config),
        **record,
    }
    write_whole(folder / "detail.json", json.dumps(detail, indent=1).encode() + b"\n")


def export_encoder(encoder: Encoder, folder: Path) -> None:
    """Write ``encoder.onnx`` and ``encoder.safetensors``; rounds the encoder in place."""
    round_weights(encoder)
    sizes = encoder.config
    inputs = {
        "identity": torch.zeros(1, sizes.identity),
        "expression": torch.zeros(1, sizes.expression),
    }
    export_onnx(encoder, inputs, ["w"], folder / "encoder.onnx")
    write_tensors(encoder, folder / "encoder.safetensors")


class Filtering(nn.Module):
    """What a generator makes of its noise alone: ``noise.onnx``."""

    def __init__(self, synthesis: Synthesis | SeededSynthesis) -> None:
        super().__init__()
        self.synthesis = synthesis

    def forward(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Noise (1, 1, R, R): coarse parts (1, C, R / 2, R / 2), fine ones (1, F, R, R)."""
        return self.synthesis.filtered(noise)


class Drawing(nn.Module):
    """What a generator does for each map: ``generator.onnx``."""

    def __init__(self, synthesis: Synthesis | SeededSynthesis) -> None:
        super().__init__()
        self.synthesis = synthesis

    def forward(self, w: Tensor, coarse: Tensor, fine: Tensor, *mixed: Tensor) -> Tensor:
        """Styles, filtered noise and the bases' images: the map (1, 1, R, R) in mm."""
        return self.synthesis(w, (coarse, fine), *mixed)


def export_synthesis(synthesis: Synthesis | SeededSynthesis, folder: Path) -> None:
    """Write a generator in three: what a seed needs, what a slider needs, and the rest of a map."""
    size = synthesis.config.resolution
    w, plane = torch.zeros(1, synthesis.num_ws, 512), torch.zeros(1, 1, size, size)
    images = {f"basis_{level}": torch.zeros(1, 1, level, level) for level in synthesis.levels()}
    coarse, fine = synthesis.filtered(plane)
    filtered = {"coarse": coarse, "fine": fine}
    export_onnx(Filtering(synthesis), {"noise": plane}, list(filtered), folder / "noise.onnx")
    names = [*images, "displacement"]
    export_onnx(Bases(synthesis), {"w": w, "rest": plane}, names, folder / "bases.onnx")
    inputs = {"w": w, **filtered, **images}
    export_onnx(Drawing(synthesis), inputs, ["displacement"], folder / "generator.onnx")


def _compress(path: Path) -> None:
    """Store an ONNX file's large tensors in 8 bits; casts and products, folded on loading, restore them.

    Not DequantizeLinear: ONNX Runtime does not fold that on loading, but computes it for each map.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    nodes = []
    for tensor in list(model.graph.initializer):
        values = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        pair = quantised(values) if values.dtype == torch.float32 else None
        # Transposed copies and constants that are no parameters are not on a grid of 255 steps.
        if pair is None or not torch.allclose(pair[0].float() * pair[1], values, rtol=1e-5, atol=0):
            continue
        name = tensor.name
        names = [f"{name}_{part}" for part in ("int8", "scale", "float")]
        tensor.CopyFrom(numpy_helper.from_array(pair[0].numpy(), names[0]))
        model.graph.initializer.append(numpy_helper.from_array(pair[1].numpy(), names[1]))
        nodes.append(helper.make_node("Cast", [names[0]], [names[2]], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [names[2], names[1]], [name]))
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    onnx.checker.check_model(model)
    with whole_file(path) as temporary:
        onnx.save(model, temporary)
