"""What `furrow bench` sets beside our maps: the paper's generator, and the work that maps take.

The paper's generator is StyleGAN2's configuration F at 1024 texels with one output channel. Its
weights are random here: they do not change what a map costs.
"""

from __future__ import annotations

import json
import math
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ...backend.detail.engines.stylegan2 import GanConfig, Synthesis
from ...backend.detail.engines.torch_layers import W_SIZE
from ...backend.detail.engines.torch_networks import load as load_networks
from ...backend.formats.figures import Figure
from ...backend.system.processor import physical_cores
from ..export.detail import OPSET

PAPER = GanConfig(resolution=1024, channel_base=32768, channel_max=512, mapping_layers=8)
"""Configuration F."""

PROFILED = 5
"""Runs of a network whose operators are timed."""

BYTES = 4
"""Of a float32."""


class _ConstantNoise(nn.Module):
    """A generator with its layers' own noise, as a function of the styles alone."""

    def __init__(self, synthesis: Synthesis) -> None:
        super().__init__()
        self.synthesis = synthesis

    def forward(self, ws: Tensor) -> Tensor:
        return self.synthesis(ws, "const")


def peers(networks: Path) -> tuple[dict[str, Callable[[], object]], list[Figure]]:
    """What `furrow bench` compares the maps of networks in a folder with: :func:`rivals`, :func:`work`."""
    with tempfile.TemporaryDirectory(prefix="furrow-") as folder:
        return rivals(Path(folder)), work(networks, Path(folder))


def rivals(folder: Path, config: GanConfig = PAPER) -> dict[str, Callable[[], object]]:
    """The paper's generator in eager PyTorch and in ONNX Runtime, ready to be timed.

    Parameters
    ----------
    folder
        Where its ONNX file is written; 120 MB in configuration F.
    """
    torch.set_num_threads(physical_cores() or torch.get_num_threads())
    network = _ConstantNoise(Synthesis(config)).eval().requires_grad_(False)
    ws = torch.randn(
        1, network.synthesis.num_ws, W_SIZE, generator=torch.Generator().manual_seed(0)
    )
    path = folder / "paper.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter announces its retirement
        torch.onnx.export(network, (ws,), str(path), input_names=["ws"], output_names=["map"],
                          opset_version=OPSET, dynamo=False)  # fmt: skip
    session = _session(path, onnxruntime.SessionOptions())
    feed = {"ws": ws.numpy()}

    def eager() -> Tensor:
        with torch.inference_mode():
            return network(ws)

    size = config.resolution
    return {
        f"paper_{size}_eager": eager,
        f"paper_{size}_ort": lambda: session.run(["map"], feed),
    }


def work(networks: Path, folder: Path, config: GanConfig = PAPER) -> list[Figure]:
    """Operations and bytes of one map: ours, its mixture alone, the paper's.

    ``work_exact_least_mb`` is what a map cannot do without: its inputs, parameters and the result,
    each once. ``work_exact_moved_mb`` is what ONNX Runtime's operators read and write, and
    ``work_exact_convolutions_percent`` how much of the generator's time convolutions take.

    Parameters
    ----------
    networks
        Folder of the detail networks.
    folder
        For temporary files.
    """
    _, synthesis = load_networks(networks)
    synthesis.eval().requires_grad_(False)
    size = synthesis.config.resolution
    w, noise = torch.zeros(1, synthesis.num_ws, W_SIZE), torch.zeros(1, 1, size, size)
    filtered = synthesis.relief.filtered(noise)
    with torch.device("meta"):  # sizes alone: nothing is computed
        paper = Synthesis(config).eval().requires_grad_(False)
        ws = torch.zeros(1, paper.num_ws, W_SIZE)
    figures = [
        Figure("work_exact_gflop", _gflop(lambda: synthesis(w, filtered)), "GFLOP"),
        Figure("work_mixture_gflop", _gflop(lambda: synthesis.mixed(w)), "GFLOP"),
        Figure("work_paper_gflop", _gflop(lambda: paper(ws, "const")), "GFLOP"),
    ]
    least = {name: _least(networks / f"{name}.onnx") for name in ("bases", "generator")}
    moved, convolved = {}, 0.0
    for name in least:
        moved[name], convolved = _profile(networks / f"{name}.onnx", folder)
    # An exact map is both: the images of the bases are the generator's input.
    for name, parts in (("mixture", ["bases"]), ("exact", ["bases", "generator"])):
        for kind, sizes in (("least", least), ("moved", moved)):
            total = sum(sizes[part] for part in parts)
            figures.append(Figure(f"work_{name}_{kind}_mb", total / 1e6, "MB"))
    figures.append(Figure("work_exact_convolutions_percent", 100 * convolved, "%"))
    return figures


def _gflop(call: Callable[[], object]) -> float:
    """Multiplications and additions of convolutions and products, each counted."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return counter.get_total_flops() / 1e9


def _least(path: Path) -> int:
    """Bytes of a network's inputs, outputs and parameters in float32."""
    graph = onnx.load(path).graph
    count = sum(math.prod(tensor.dims) for tensor in graph.initializer)
    for port in (*graph.input, *graph.output):
        count += math.prod(d.dim_value for d in port.type.tensor_type.shape.dim)
    return BYTES * count


def _profile(path: Path, folder: Path) -> tuple[float, float]:
    """By ONNX Runtime's own profile: bytes that its operators read and write for one run, and the
    share of its time that convolutions take."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / path.stem)
    # As in `backend.detail.engines.engine_ort`, which says why.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    session = _session(path, options)
    feed = {port.name: np.zeros(port.shape, np.float32) for port in session.get_inputs()}
    for _ in range(PROFILED):
        session.run(None, feed)
    events = json.loads(Path(session.end_profiling()).read_text())
    kernels = [e for e in events if e.get("name", "").endswith("_kernel_time")]
    sizes = ("activation_size", "parameter_size", "output_size")
    moved = sum(int(kernel["args"].get(size, 0)) for kernel in kernels for size in sizes)
    convolved = sum(k["dur"] for k in kernels if "Conv" in k["args"]["op_name"])
    return moved / PROFILED, convolved / sum(kernel["dur"] for kernel in kernels)


def _session(path: Path, options: Any) -> Any:
    options.intra_op_num_threads = physical_cores()  # as our engines
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
