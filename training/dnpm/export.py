"""From a trained run to what ships: ONNX for inference, safetensors for training, detail.json."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ...backend.files import whole_file, write_whole
from ...backend.torch_networks import Encoder
from ..networks.schedule import load_checkpoint
from .data import read
from .setup import Networks, Options, networks

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


HALF_FROM = 4096
"""Parameters with at least so many numbers are stored in half precision; all are used in float32."""


@torch.no_grad()
def round_weights(module: nn.Module) -> None:
    """Round what is stored in half precision, so that ONNX and safetensors hold equal networks."""
    for parameter in module.parameters():
        if parameter.numel() >= HALF_FROM:
            parameter.copy_(parameter.half().float())


def export_onnx(module: nn.Module, inputs: dict[str, Tensor], output: str, path: Path) -> None:
    """Write a module as ONNX with fixed shapes."""
    with whole_file(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter announces its retirement
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            str(temporary),
            input_names=list(inputs),
            output_names=[output],
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=False,  # keeps parameters as they are stored
        )
        _halve(temporary)


def export(networks: Networks, folder: Path, record: dict[str, Any]) -> None:
    """Write encoder and generator to `folder` as docs/architecture.md says.

    Parameters
    ----------
    networks
        Trained; changed in place by rounding.
    record
        What else ``detail.json`` shall say: data hashes, training command.
    """
    encoder, synthesis = networks.encoder.eval(), networks.synthesis.eval()
    round_weights(networks)
    config = synthesis.config
    sizes = encoder.config
    noise = torch.zeros(1, 1, config.resolution, config.resolution)
    export_onnx(
        encoder,
        {
            "identity": torch.zeros(1, sizes.identity),
            "expression": torch.zeros(1, sizes.expression),
        },
        "w",
        folder / "encoder.onnx",
    )
    export_onnx(
        synthesis,
        {"w": torch.zeros(1, synthesis.num_ws, 512), "noise": noise},
        "displacement",
        folder / "generator.onnx",
    )
    for name, module in (("encoder", encoder), ("generator", synthesis)):
        with whole_file(folder / f"{name}.safetensors") as temporary:
            save_file(halved_state(module), temporary)
    detail = {
        "format": "furrow.detail/1",
        "resolution": config.resolution,
        "num_ws": synthesis.num_ws,
        "channels": dict(
            zip((str(4 << i) for i in range(len(config.channels))), config.channels, strict=True)
        ),
        "synthesis": asdict(config),
        "encoder": asdict(sizes),
        **record,
    }
    write_whole(folder / "detail.json", json.dumps(detail, indent=1).encode() + b"\n")


def halved_state(module: nn.Module) -> dict[str, Tensor]:
    """A module's state as it is stored: large tensors that half precision holds exactly in it."""
    return {
        key: value.half()
        if value.numel() >= HALF_FROM and value.equal(value.half().float())
        else value.contiguous()
        for key, value in module.state_dict().items()
    }


def _halve(path: Path) -> None:
    """Store an ONNX file's large tensors in half precision; Casts, folded on loading, restore them."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        half = values.astype(np.float16)
        if values.size >= HALF_FROM and np.array_equal(half.astype(values.dtype), values):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(half, name + "_half"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
    onnx.checker.check_model(model)
    with whole_file(path) as temporary:
        onnx.save(model, temporary)


def export_run(run: Path, data: Path, assets: Path) -> None:
    """Export the averaged networks of a run's folder, which learned from the sets in `data`."""
    content = load_checkpoint(run / "checkpoint.pt")
    record = json.loads((run / "run.json").read_text())
    coarse = read(data / "train256")
    fine = read(data / "train512")
    options = Options(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in content["options"].items()}
    )
    trained = networks(options, coarse, fine)
    trained.load_state_dict(content["shadow"])
    rows = np.arange(0, len(coarse.map), max(1, len(coarse.map) // 2000))
    centre_styles(
        trained.encoder,
        torch.from_numpy(coarse.identity[rows]),
        torch.from_numpy(coarse.expression[rows]),
    )
    record["steps"] = content["step"]
    record["minutes"] = round(content["spent"] / 60, 1)
    export(trained, assets, record)
