"""W+ at run time: directions, truncation, mixing, random people, and files that are not what they should be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from furrow.backend.detail.detail_model import DetailModel
from furrow.backend.detail.engines import engines
from furrow.backend.detail.space import Space
from furrow.backend.errors import FurrowError
from furrow.backend.formats.identity import (
    ADJUSTMENTS,
    Identity,
    adjustments_of,
    read_identity,
    write_identity,
)
from furrow.backend.formats.tensors import read_tensors
from safetensors.numpy import save_file

NEUTRAL = np.zeros(52, np.float32)
NUM_WS = 14
"""Styles of the tiny networks."""


GAIN = np.linspace(0, 0.5, NUM_WS).astype(np.float16)
"""Of furrow_depth."""


def directions() -> dict[str, np.ndarray]:
    random = np.random.RandomState(4)
    return {name: random.standard_normal((NUM_WS, 512)).astype(np.float16) for name in ADJUSTMENTS}


def write_mapping(path: Path, num_ws: int = NUM_WS) -> np.ndarray:
    """w = M z with a random M, which is returned."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    matrix = np.random.RandomState(5).standard_normal((512, num_ws * 512)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["z", "matrix"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["w"]),
    ]
    constants = {"matrix": matrix, "shape": np.array([1, num_ws, 512])}
    ports = {"z": [1, 512], "w": [1, num_ws, 512]}
    z, w = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in ports.items())
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "mapping", [z], [w], tensors)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return matrix


@pytest.fixture(scope="module")
def folder(tiny_networks, write_tensors):
    """Tiny networks with directions, w_avg and a mapping network."""
    folder = tiny_networks()
    gain = {"furrow_depth_gain": GAIN}
    write_tensors(folder / "directions.safetensors", directions() | gain)
    w_avg = np.random.RandomState(6).standard_normal((NUM_WS, 512)).astype(np.float32)
    write_tensors(folder / "encoder.safetensors", {"gain": np.ones(74, np.float32), "w_avg": w_avg})
    write_mapping(folder / "mapping.onnx")
    return folder


@pytest.fixture
def model(folder):
    return DetailModel(engines.load("ort", folder), folder)


@pytest.fixture
def person():
    return Identity(np.linspace(-1, 1, 6, dtype=np.float32), detail_seed=5)


def test_adjustments_move_w_along_their_directions(model, person):
    moved = replace(person, adjustments=adjustments_of({"furrow_depth": 0.5, "asymmetry": -1.0}))
    expected = 0.5 * directions()["furrow_depth"].astype(np.float32) - directions()["asymmetry"]
    w = model.w_plus(person, NEUTRAL)
    expected += 0.5 * GAIN[:, None].astype(np.float32) * w
    np.testing.assert_allclose(model.w_plus(moved, NEUTRAL) - w, expected, atol=1e-5)
    one, other = model.map(person, NEUTRAL, 256), model.map(moved, NEUTRAL, 256)
    assert np.abs(one - other).max() > 0.1  # the remembered map is not taken for the adjusted one
    assert np.array_equal(model.map(moved, NEUTRAL, 256), other)


def test_without_directions_only_sliders_off_zero_fail(tiny_networks, person):
    folder = tiny_networks()
    model = DetailModel(engines.load("ort", folder), folder)
    model.map(person, NEUTRAL, 256)
    moved = replace(person, adjustments=adjustments_of({"skin_age": 0.1}))
    with pytest.raises(FurrowError, match=r"directions\.safetensors, which is missing") as failure:
        model.map(moved, NEUTRAL, 256)
    assert failure.value.code == "missing_model"


def test_truncation_goes_from_the_mean_to_the_face_and_on(model, person, folder):
    w = model.w_plus(person, NEUTRAL)
    w_avg = read_tensors(folder / "encoder.safetensors", ("w_avg",))["w_avg"]
    np.testing.assert_array_equal(model.space.truncated(w, 0.0), w_avg)
    np.testing.assert_allclose(model.space.truncated(w, 0.5), (w + w_avg) / 2, atol=1e-6)
    np.testing.assert_array_equal(model.space.truncated(w, 1.0), w)
    for psi in (-0.1, 1.6, float("nan")):
        with pytest.raises(FurrowError, match=r"outside 0 to 1\.5"):
            model.space.truncated(w, psi)


def test_truncation_needs_the_encoders_mean(tmp_path, write_tensors):
    space = Space(SimpleNamespace(num_ws=NUM_WS), tmp_path)
    w = np.zeros((NUM_WS, 512), np.float32)
    with pytest.raises(FurrowError, match=r"encoder\.safetensors is missing") as failure:
        space.truncated(w, 0.5)
    assert failure.value.code == "missing_model"
    path = write_tensors(tmp_path / "encoder.safetensors", {"w_avg": w})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(
        FurrowError, match=r"encoder\.safetensors is damaged .*file not fully covered"
    ):
        space.truncated(w, 0.5)
    assert space.truncated(w, 1.0) is w  # needs no file


def test_mixing_takes_styles_from_a_layer_on(model, person):
    w, other = model.w_plus(person, NEUTRAL), np.zeros((NUM_WS, 512), np.float32)
    mixed = model.space.mixed(w, other, 9)
    assert np.array_equal(mixed[:9], w[:9]) and not mixed[9:].any()
    assert np.array_equal(model.space.mixed(w, other, NUM_WS), w)
    with pytest.raises(FurrowError, match="no style layer 15; there are 0 to 14"):
        model.space.mixed(w, other, 15)


def test_random_people_follow_their_seed(model, folder):
    matrix = write_mapping(folder / "mapping.onnx")
    z = np.random.RandomState(7).standard_normal(512).astype(np.float32)
    np.testing.assert_allclose(
        model.space.random(7), (z @ matrix).reshape(NUM_WS, 512), rtol=1e-4, atol=1e-3
    )
    assert np.abs(model.space.random(7) - model.space.random(8)).mean() > 1


def test_random_people_need_the_mapping_network(tiny_networks):
    folder = tiny_networks()
    model = DetailModel(engines.load("ort", folder), folder)
    with pytest.raises(FurrowError, match=r"mapping\.onnx is missing") as failure:
        model.space.random(0)
    assert failure.value.code == "missing_model"
    write_mapping(folder / "mapping.onnx", num_ws=18)  # of a generator at another resolution
    with pytest.raises(FurrowError, match=r"mapping\.onnx is damaged .*another network"):
        model.space.random(0)
    (folder / "mapping.onnx").write_bytes(b"no network")
    with pytest.raises(FurrowError, match=r"mapping\.onnx is damaged"):
        model.space.random(0)


def test_half_and_single_floats_are_read_as_single(tmp_path):
    random = np.random.RandomState(0)
    tensors = {
        "a": random.standard_normal((3, 5)).astype(np.float16),
        "b": random.standard_normal((7, 2, 4)).astype(np.float32),
        "c": np.float32([]),
    }
    save_file(tensors, tmp_path / "some.safetensors", {"about": "a test"})
    read = read_tensors(tmp_path / "some.safetensors")
    assert set(read) == set(tensors)
    for name, values in tensors.items():
        np.testing.assert_array_equal(read[name], values)


def header(text: str, data: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + data


ENTRY = '{"skin_age": {"dtype": "%s", "shape": %s, "data_offsets": %s}}'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "header too small"),
        (b"\x10", "header too small"),
        (b"\xff" * 8 + b"{}", "header too large"),
        (b"PK\x03\x04" + b"x" * 500, "header too large"),
        (header("[1, 2]"), "invalid JSON in header"),
        (header("{not json}"), "invalid JSON in header"),
        (header("{}"), "holds no skin_age"),
        (header('{"skin_age": 3}'), "damaged"),
        (header(ENTRY % ("I64", "[1]", "[0, 8]"), b"x" * 8), "type I64"),
        (header(ENTRY % ("F32", "[2]", "[0, 4]"), b"x" * 8), "invalid shape"),
        (header(ENTRY % ("F32", "[-1]", "[0, -4]"), b"x" * 8), "`-1`"),
        (header(ENTRY % ("F32", "[2]", "[0, 8]"), b"x" * 5), "file not fully covered"),
        (header(ENTRY % ("F32", "[1]", "[0, 4]"), np.float32(np.nan).tobytes()), "not numbers"),
        (header("[" * 99_999), "damaged"),
    ],
)  # fmt: skip
def test_bad_directions_are_named_in_one_line(tmp_path, content, reason):
    (tmp_path / "directions.safetensors").write_bytes(content)
    refuses_directions(tmp_path, reason)


def test_directions_of_another_generator_are_named(tmp_path, write_tensors):
    tensors = {name: values[:9] for name, values in directions().items()}
    write_tensors(tmp_path / "directions.safetensors", tensors)
    refuses_directions(tmp_path, "skin_age is 9 x 512, this generator needs 14 x 512")


def refuses_directions(folder: Path, reason: str) -> None:
    space = Space(SimpleNamespace(num_ws=NUM_WS), folder)
    with pytest.raises(FurrowError, match=r"directions\.safetensors is damaged") as failure:
        space.adjusted(np.zeros((NUM_WS, 512), np.float32), adjustments_of({"skin_age": 0.1}))
    assert reason in str(failure.value) and "\n" not in str(failure.value)
    assert failure.value.code == "missing_model"


def test_adjustments_are_checked_by_name():
    assert adjustments_of({"asymmetry": -1})[3] == -1
    with pytest.raises(FurrowError, match=r'no detail adjustment "skin_agee".*"skin_age"'):
        adjustments_of({"skin_agee": 0.1})
    for value in (1.1, -2, float("nan"), "1", True, None):
        with pytest.raises(FurrowError, match="pore_strength"):
            adjustments_of({"pore_strength": value})
    with pytest.raises(FurrowError, match="object"):
        adjustments_of([0.1])


def test_identity_files_carry_adjustments(person, tmp_path):
    adjusted = replace(person, adjustments=adjustments_of({"skin_age": 0.3, "asymmetry": -1.0}))
    write_identity(adjusted, tmp_path / "a.json")
    write_identity(person, tmp_path / "b.json")
    assert json.loads((tmp_path / "a.json").read_text())["detail"]["asymmetry"] == -1.0
    assert "detail" not in json.loads((tmp_path / "b.json").read_text())  # older versions read it
    np.testing.assert_array_equal(
        read_identity(tmp_path / "a.json").adjustments, adjusted.adjustments
    )
    assert not read_identity(tmp_path / "b.json").adjustments.any()
    assert "detail" not in person.request() and adjusted.request()["detail"]["skin_age"] == 0.3
