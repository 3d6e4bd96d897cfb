"""Engines: what is said of them, and that networks give what they hold."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest
from furrow.backend.detail.engines import cuda, engines
from furrow.backend.errors import FurrowError
from furrow.backend.system.interrupt import Interrupt


def random_input(engine, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A random person and expression."""
    random = np.random.RandomState(seed)
    person = [random.standard_normal(engine.identity_size - 16), random.uniform(size=16)]
    return np.concatenate(person).astype(np.float32), random.uniform(size=52).astype(np.float32)


def random_styles(engine, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """W+ of a random person's expression, and noise."""
    noise = np.random.RandomState(seed).standard_normal((engine.resolution,) * 2)
    return engine.encode(*random_input(engine, seed)), noise.astype(np.float32)


def test_ort_runs_networks(tiny_networks):
    engine = engines.load("ort", tiny_networks())
    assert (engine.identity_size, engine.num_ws, engine.resolution) == (22, 14, 256)
    w, noise = random_styles(engine)
    linear = engine.mixture(w, np.zeros((256, 256), np.float32))
    map_mm = engine.synthesise(w, noise)
    assert map_mm.dtype == np.float32
    expected = np.outer(w[0, :256], w[1, :256]) + linear + noise / 100
    assert np.abs(linear).max() > 0.01
    np.testing.assert_allclose(map_mm, expected, atol=1e-5)


def test_the_mixture_is_affine_and_written_where_it_is_wanted():
    engine = engines.load("ort")
    one, two = random_styles(engine, 1)[0], random_styles(engine, 2)[0]
    rest = np.random.RandomState(4).standard_normal((engine.resolution,) * 2).astype(np.float32)
    out = np.empty_like(rest)
    assert engine.mixture(one, rest, out) is out
    half = engine.mixture((one + two) / 2, rest)
    np.testing.assert_allclose(half, (out + engine.mixture(two, rest)) / 2, atol=1e-5)
    np.testing.assert_allclose(engine.mixture(one, np.zeros_like(rest)) + rest, out, atol=1e-5)
    for wrong in (out[:, ::2], out[:5], out.astype(np.float64)):
        with pytest.raises(ValueError, match="C-contiguous"):
            engine.mixture(one, rest, wrong)


def test_the_mixture_is_most_of_what_an_expression_does():
    engine = engines.load("ort")
    noise = random_styles(engine)[1]
    person = np.full(engine.identity_size, 0.3, np.float32)
    weights = np.zeros((2, 52), np.float32)
    weights[1, [43, 44]] = 0.7, 0.3  # two of the brows
    rest, moved = (engine.encode(person, b) for b in weights)
    zero = np.zeros_like(noise)
    exact = engine.synthesise(moved, noise) - engine.synthesise(rest, noise)
    linear = engine.mixture(moved, zero) - engine.mixture(rest, zero)
    assert np.square(linear - exact).mean() < 0.05 * np.square(exact).mean()


def test_another_noise_makes_other_pores_and_the_first_comes_back(tiny_networks):
    engine = engines.load("ort", tiny_networks())
    w, noise = random_styles(engine)
    first = engine.synthesise(w, noise)
    np.testing.assert_allclose(engine.synthesise(w, -noise), first - noise / 50, atol=1e-5)
    assert np.array_equal(engine.synthesise(w, noise), first)
    noise *= 2  # in place: what was remembered of it must not be taken
    np.testing.assert_allclose(engine.synthesise(w, noise), first + noise / 200, atol=1e-5)


def test_an_interrupt_ends_a_map_at_once(tiny_networks):
    engine = engines.load("ort", tiny_networks(work=100_000))  # minutes
    w, noise = random_styles(engine)
    for early in (True, False):
        interrupt = Interrupt()
        timer = threading.Timer(0.0 if early else 0.2, interrupt.set)
        timer.start()
        if early:
            timer.join()
        with pytest.raises(FurrowError) as failure:
            engine.synthesise(w, noise, interrupt=interrupt)
        assert failure.value.code == "cancelled"
        timer.join()
    engine.mixture(w, noise)  # goes on working


def test_a_callback_of_an_interrupt_runs_in_its_block_only():
    interrupt, called = Interrupt(), []
    with interrupt.on_set(lambda: called.append("over")):
        pass
    with interrupt.on_set(lambda: called.append("inside")):
        interrupt.set()
        interrupt.set()
    with interrupt.on_set(lambda: called.append("late")):
        assert called == ["inside", "late"]
    with pytest.raises(FurrowError, match="Cancelled"):
        interrupt.check()


@pytest.mark.parametrize("name", engines.NETWORKS)
def test_missing_network_is_named(tiny_networks, name):
    folder = tiny_networks()
    (folder / name).unlink()
    with pytest.raises(FurrowError, match=rf"{name} is missing") as failure:
        engines.load("ort", folder)
    assert failure.value.code == "missing_model"


def test_damaged_network_is_named(tiny_networks):
    folder = tiny_networks()
    path = folder / "generator.onnx"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(FurrowError, match=r"generator\.onnx is damaged") as failure:
        engines.load("ort", folder)
    assert failure.value.code == "missing_model" and "\n" not in str(failure.value)


def test_foreign_networks_are_named(tiny_networks):
    folder = tiny_networks()
    encoder, noise, bases, generator = (folder / name for name in engines.NETWORKS)
    whole = encoder.read_bytes()
    for path, content in (
        (encoder, generator.read_bytes()), (generator, whole), (encoder, b""), (bases, whole),
        (noise, whole),
    ):  # fmt: skip
        before = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(FurrowError, match=rf"{path.name} is damaged") as failure:
            engines.load("ort", folder)
        assert failure.value.code == "missing_model" and "\n" not in str(failure.value)
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
    with pytest.raises(FurrowError, match=name) as failure:
        engines.load("torch", tmp_path)
    assert failure.value.code == "missing_model" and "\n" not in str(failure.value)


def test_absent_engine_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FurrowError, match="openvino is not installed") as failure:
        engines.choose("openvino")
    assert failure.value.code == "engine_unavailable"
    with pytest.raises(FurrowError, match="No engine is installed"):
        engines.choose("auto")
    with pytest.raises(FurrowError, match='no engine "tensorrt"'):
        engines.choose("tensorrt")


def test_auto_takes_torch_only_with_cuda(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(cuda, "find", cuda.Cuda)
    assert engines.choose("auto").kind != "torch"
    monkeypatch.setattr(cuda, "find", lambda: cuda.Cuda("NVIDIA H100"))
    assert (engines.choose("auto").kind, engines.choose("auto").device) == ("torch", "NVIDIA H100")


def test_torch_on_the_cpu_equals_ort():
    pytest.importorskip("torch")
    ort, torch = engines.load("ort"), engines.load("torch")
    w, noise = random_styles(ort)
    maps = [e.synthesise(e.encode(*random_input(ort)), noise) for e in (ort, torch)]
    assert np.abs(maps[0]).max() > 0.01
    assert np.abs(maps[0] - maps[1]).max() < 1e-4
    mixtures = [e.mixture(w, noise) for e in (ort, torch)]
    assert np.abs(mixtures[0] - mixtures[1]).max() < 1e-5
