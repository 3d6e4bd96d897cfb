"""What tests of several rooms share: the command as a child process, and the built extension."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent

# A shell starts its background jobs deaf to Ctrl-C, and children inherit that; tests of Ctrl-C need it.
signal.signal(signal.SIGINT, signal.default_int_handler)

Furrow = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def furrow() -> Furrow:
    """Run the `furrow` command: ``furrow("speak", path, "-o", out, cwd=..., timeout=...)``."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "furrow", *map(str, arguments)]
        settings: dict = {"capture_output": True, "text": True, "timeout": 120} | options
        return subprocess.run(command, **settings)

    return run


@pytest.fixture(scope="session")
def extension_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension as `make extension` builds it, once for all tests."""
    folder = tmp_path_factory.mktemp("extension")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "extension.py"), "--output", str(folder)],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.zip")
    return path


@pytest.fixture(scope="session")
def tiny_networks(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a folder with detail networks that cost nothing: ``tiny_networks(work=0)``.

    Heads have 6 shape components, maps 256 texels; `work` rounds of multiplication make a map slow.
    """

    def make(work: int = 0) -> Path:
        folder = tmp_path_factory.mktemp("networks")
        _tiny_encoder(folder / "encoder.onnx")
        _tiny_noise(folder / "noise.onnx")
        _tiny_bases(folder / "bases.onnx")
        _tiny_generator(folder / "generator.onnx", work)
        return folder

    return make


@pytest.fixture(scope="session")
def write_tensors() -> Callable[[Path, dict[str, np.ndarray]], Path]:
    """Write a .safetensors file by hand: ``write_tensors(path, {"name": array})``."""
    kinds = {"float16": "F16", "float32": "F32"}

    def write(path: Path, tensors: dict[str, np.ndarray]) -> Path:
        header, data = {}, b""
        for name, values in tensors.items():
            offsets = [len(data), len(data) + values.nbytes]
            kind = kinds[values.dtype.name]
            header[name] = {"dtype": kind, "shape": values.shape, "data_offsets": offsets}
            data += values.tobytes()
        text = json.dumps({"__metadata__": {"by": "a test"}, **header}).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data)
        return path

    return write


def _tiny_encoder(path: Path) -> None:
    """w = M [a, b] with a fixed random M."""
    from onnx import helper, numpy_helper

    matrix = np.random.RandomState(1).standard_normal((22 + 52, 14 * 512)).astype(np.float32) * 0.1
    nodes = [
        helper.make_node("Concat", ["identity", "expression"], ["both"], axis=1),
        helper.make_node("MatMul", ["both", "matrix"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["w"]),
    ]
    constants = {"matrix": matrix, "shape": np.array([1, 14, 512])}
    _save(path, nodes, {"identity": [1, 22], "expression": [1, 52]}, {"w": [1, 14, 512]},
          [numpy_helper.from_array(value, name) for name, value in constants.items()])  # fmt: skip


def _tiny_noise(path: Path) -> None:
    """fine = noise / 100; coarse = its first texel."""
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("Mul", ["noise", "hundredth"], ["fine"]),
        helper.make_node("Slice", ["noise", "start", "end"], ["coarse"]),
    ]
    constants = {
        "hundredth": np.float32(0.01), "start": np.array([0] * 4), "end": np.array([1] * 4),
    }  # fmt: skip
    outputs = {"coarse": [1, 1, 1, 1], "fine": [1, 1, 256, 256]}
    _save(path, nodes, {"noise": [1, 1, 256, 256]}, outputs,
          [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()])  # fmt: skip


def _tiny_bases(path: Path) -> None:
    """basis_128 = the styles' first two, weighting two fixed images; displacement = it doubled + rest."""
    from onnx import helper, numpy_helper

    images = np.random.RandomState(3).standard_normal((2, 128 * 128)).astype(np.float32) * 0.1
    nodes = [
        helper.make_node("Slice", ["w", "0", "1", "last"], ["firsts"]),
        helper.make_node("Slice", ["firsts", "0", "2", "styles"], ["pair"]),
        helper.make_node("Reshape", ["pair", "row"], ["weights"]),
        helper.make_node("MatMul", ["weights", "images"], ["flat"]),
        helper.make_node("Reshape", ["flat", "square"], ["basis_128"]),
        helper.make_node("Resize", ["basis_128", "", "double"], ["large"], mode="nearest"),
        helper.make_node("Add", ["large", "rest"], ["displacement"]),
    ]
    constants = {
        "0": np.array([0]), "1": np.array([1]), "2": np.array([2]), "last": np.array([2]),
        "styles": np.array([1]), "row": np.array([1, 2]), "images": images,
        "square": np.array([1, 1, 128, 128]), "double": np.array([1, 1, 2, 2], np.float32),
    }  # fmt: skip
    outputs = {"basis_128": [1, 1, 128, 128], "displacement": [1, 1, 256, 256]}
    _save(path, nodes, {"w": [1, 14, 512], "rest": [1, 1, 256, 256]}, outputs,
          [numpy_helper.from_array(value, name) for name, value in constants.items()])  # fmt: skip


def _tiny_generator(path: Path, work: int) -> None:
    """displacement = outer product of two styles + the basis doubled + fine noise."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Slice", ["w", "0", "256", "last"], ["half"]),
        helper.make_node("Gather", ["half", "first"], ["row"], axis=1),
        helper.make_node("Gather", ["half", "second"], ["other"], axis=1),
        helper.make_node("Reshape", ["row", "column"], ["a"]),
        helper.make_node("Mul", ["a", "other"], ["outer"]),
        helper.make_node("Resize", ["basis_128", "", "double"], ["large"], mode="nearest"),
        helper.make_node("Add", ["outer", "fine"], ["convolved"]),
        helper.make_node("Add", ["convolved", "large"], ["sum"]),
    ]
    constants = {
        "0": np.array([0]), "256": np.array([256]), "last": np.array([2]),
        "first": np.array([[0]]), "second": np.array([[1]]), "column": np.array([1, 1, 256, 1]),
        "double": np.array([1, 1, 2, 2], np.float32), "tiny": np.array(1e-30, np.float32),
    }  # fmt: skip
    if work:
        square = np.random.RandomState(2).standard_normal((1024, 1024)).astype(np.float32) / 1024
        constants |= {"square": square, "rounds": np.array(work)}
        body = helper.make_graph(
            [helper.make_node("MatMul", ["x", "square"], ["y"]),
             helper.make_node("Identity", ["go"], ["still"])],
            "round",
            [helper.make_tensor_value_info("i", TensorProto.INT64, []),
             helper.make_tensor_value_info("go", TensorProto.BOOL, []),
             helper.make_tensor_value_info("x", TensorProto.FLOAT, [1024, 1024])],
            [helper.make_tensor_value_info("still", TensorProto.BOOL, []),
             helper.make_tensor_value_info("y", TensorProto.FLOAT, [1024, 1024])],
        )  # fmt: skip
        nodes += [
            helper.make_node("ReduceMean", ["w"], ["mean"], keepdims=0),
            helper.make_node("Add", ["square", "mean"], ["start"]),
            helper.make_node("Loop", ["rounds", "", "start"], ["end"], body=body),
            helper.make_node("ReduceMean", ["end"], ["rest"], keepdims=0),
            helper.make_node("Mul", ["rest", "tiny"], ["nothing"]),
            helper.make_node("Add", ["sum", "nothing"], ["displacement"]),
        ]
    else:
        nodes += [helper.make_node("Identity", ["sum"], ["displacement"])]
    size = [1, 1, 256, 256]
    inputs = {"w": [1, 14, 512], "coarse": [1] * 4, "fine": size, "basis_128": [1, 1, 128, 128]}
    _save(path, nodes, inputs, {"displacement": size},
          [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()])  # fmt: skip


def _save(path: Path, nodes: list, inputs: dict, outputs: dict, constants: list) -> None:
    import onnx
    from onnx import TensorProto, helper

    def infos(values: dict) -> list:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in values.items()
        ]

    graph = helper.make_graph(nodes, path.stem, infos(inputs), infos(outputs), constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
