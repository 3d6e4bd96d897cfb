"""Engines: what is said of them, and that networks give what they hold."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from furrow.backend import engines
from furrow.backend.errors import FurrowError


def test_ort_runs_networks(tiny_networks):
    engine = engines.load("ort", tiny_networks())
    assert (engine.identity_size, engine.num_ws, engine.resolution) == (22, 14, 256)
    identity, expression = np.zeros(22, np.float32), np.zeros(52, np.float32)
    expression[17] = 1.0
    w = engine.encode(identity, expression)
    noise = np.zeros((256, 256), np.float32)
    map_mm = engine.synthesise(w, noise)
    assert map_mm.dtype == np.float32
    assert np.allclose(map_mm, np.outer(w[0, :256], w[1, :256]), atol=1e-6)


def test_missing_network_is_named(tmp_path):
    with pytest.raises(FurrowError, match=r"encoder\.onnx is missing") as caught:
        engines.load("ort", tmp_path)
    assert caught.value.code == "missing_model"


def test_damaged_network_is_named(tiny_networks):
    folder = tiny_networks()
    path = folder / "generator.onnx"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(FurrowError, match=r"generator\.onnx is damaged") as caught:
        engines.load("ort", folder)
    assert caught.value.code == "missing_model" and "\n" not in str(caught.value)


def test_foreign_networks_are_named(tiny_networks):
    folder = tiny_networks()
    encoder, generator = folder / "encoder.onnx", folder / "generator.onnx"
    whole = encoder.read_bytes()
    for path, content in ((encoder, generator.read_bytes()), (generator, whole), (encoder, b"")):
        before = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(FurrowError, match=rf"{path.name} is damaged") as caught:
            engines.load("ort", folder)
        assert caught.value.code == "missing_model" and "\n" not in str(caught.value)
        path.write_bytes(before)


def test_an_encoder_of_another_generator_is_named(tiny_networks):
    folder = tiny_networks()
    shutil.copy(engines.DETAIL / "encoder.onnx", folder)
    with pytest.raises(FurrowError, match=r"generator\.onnx is damaged .*does not fit the others"):
        engines.load("ort", folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("encoder.safetensors", lambda whole: whole[:5000]),
        ("generator.safetensors", lambda whole: b"no network at all"),
        ("generator.safetensors", lambda whole: b""),
        ("generator.safetensors", lambda whole: b"\x02" + bytes(7) + b"{}"),
        ("detail.json", lambda whole: whole[:100]),
        ("detail.json", lambda whole: b'{"synthesis": [], "encoder": []}'),
        ("detail.json", lambda whole: b"[]"),
    ],
)
def test_pytorch_names_a_damaged_file(tmp_path, name, content):
    pytest.importorskip("torch")
    for file in ("detail.json", "encoder.safetensors", "generator.safetensors"):
        shutil.copy(engines.DETAIL / file, tmp_path)
    (tmp_path / name).write_bytes(content((tmp_path / name).read_bytes()))
    with pytest.raises(FurrowError, match=name) as caught:
        engines.load("torch", tmp_path)
    assert caught.value.code == "missing_model" and "\n" not in str(caught.value)


def test_absent_engine_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FurrowError, match="openvino is not installed") as caught:
        engines.choose("openvino")
    assert caught.value.code == "engine_unavailable"
    with pytest.raises(FurrowError, match="No engine is installed"):
        engines.choose("auto")
    with pytest.raises(FurrowError, match='no engine "tensorrt"'):
        engines.choose("tensorrt")


def test_auto_takes_torch_only_with_cuda(monkeypatch):
    monkeypatch.setattr(engines, "_cuda_device", lambda: None)
    assert engines.choose("auto").kind != "torch"
    monkeypatch.setattr(engines, "_cuda_device", lambda: "NVIDIA H100")
    assert (engines.choose("auto").kind, engines.choose("auto").device) == ("torch", "NVIDIA H100")


def test_torch_on_the_cpu_equals_ort():
    pytest.importorskip("torch")
    ort, torch = engines.load("ort"), engines.load("torch")
    random = np.random.RandomState(3)
    identity = np.concatenate(
        [random.standard_normal(ort.identity_size - 16), random.uniform(size=16)]
    ).astype(np.float32)
    expression = random.uniform(size=52).astype(np.float32)
    noise = random.standard_normal((ort.resolution,) * 2).astype(np.float32)
    maps = [e.synthesise(e.encode(identity, expression), noise) for e in (ort, torch)]
    assert np.abs(maps[0]).max() > 0.01
    assert np.abs(maps[0] - maps[1]).max() < 1e-4
