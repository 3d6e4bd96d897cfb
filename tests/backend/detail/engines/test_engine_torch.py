"""PyTorch: a card that cannot be used is explained; where its memory ends, less and then the CPU goes on.

There is no card here: its lack of memory is played by a network that raises as PyTorch does.
"""

from __future__ import annotations

import ctypes
import json
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from furrow.backend.detail.engines import cuda, engines
from furrow.backend.detail.engines.engine_choice import EngineChoice
from furrow.backend.errors import FurrowError
from furrow.backend.system.interrupt import Interrupt

torch = pytest.importorskip("torch")

from furrow.backend.detail.engines.torch_networks import (  # noqa: E402
    Encoder,
    EncoderConfig,
    Synthesis,
    SynthesisConfig,
)
from safetensors.torch import save_file  # noqa: E402

SYNTHESIS = SynthesisConfig(64, (8, 8, 8, 8, 4), (2, 1, 0), (0, 3, 0))
ENCODER = EncoderConfig(22, 52, (9, 1, 0), (16, 16, 16, 16, 16))


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """A folder with small networks for PyTorch."""
    folder = tmp_path_factory.mktemp("torch")
    torch.manual_seed(1)
    save_file(Encoder(ENCODER).state_dict(), folder / "encoder.safetensors")
    synthesis = Synthesis(SYNTHESIS)
    torch.nn.init.normal_(synthesis.blocks[2].basis.images)
    save_file(synthesis.state_dict(), folder / "generator.safetensors")
    both = {"synthesis": vars(SYNTHESIS), "encoder": vars(ENCODER)}
    (folder / "detail.json").write_text(json.dumps(both))
    return folder


@pytest.fixture
def engine(networks):
    engine: Any = engines.load("torch", networks)
    engine.said = []
    engine.say = engine.said.append
    return engine


def styles(count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(2)
    ws = random.standard_normal((count, 10, 512)).astype(np.float32)
    return ws, random.standard_normal((64, 64)).astype(np.float32)


class Card:
    """Makes an engine on the CPU believe that it has a card whose memory holds `maps` maps."""

    def __init__(self, engine, monkeypatch, maps: int) -> None:
        self.sizes: list[int] = []
        self.maps = maps
        network = engine._synthesis
        real = network.forward

        def forward(w, noise, *mixed):
            if self.here and len(w) > self.maps:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
            self.sizes.append(len(w))
            return real(w, noise, *mixed)

        self.here = True
        monkeypatch.setattr(network, "forward", forward)
        monkeypatch.setattr(engine, "_batch_size", lambda: 8)
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
        leave = engine._leave_card

        def left() -> None:
            self.here = False
            leave()

        monkeypatch.setattr(engine, "_leave_card", left)


def test_a_batch_equals_maps_one_by_one(engine, monkeypatch):
    ws, noise = styles(5)
    singly = np.stack([engine.synthesise(w, noise) for w in ws])
    np.testing.assert_allclose(engine.synthesise_batch(ws, noise), singly, atol=1e-5)
    monkeypatch.setattr(engine, "_batch_size", lambda: 3)
    np.testing.assert_allclose(engine.synthesise_batch(ws, noise), singly, atol=1e-5)
    assert engine.said == []


def test_short_of_memory_takes_smaller_batches_and_says_so(engine, monkeypatch):
    ws, noise = styles(7)
    singly = np.stack([engine.synthesise(w, noise) for w in ws])
    card = Card(engine, monkeypatch, maps=2)
    np.testing.assert_allclose(engine.synthesise_batch(ws, noise), singly, atol=1e-5)
    assert card.sizes == [2, 2, 2, 1]
    assert [text.split(":")[1] for text in engine.said] == [
        " 4 maps are made at once.", " 2 maps are made at once.",
    ]  # fmt: skip


@pytest.mark.parametrize("batch", [True, False])
def test_without_memory_for_one_map_the_cpu_goes_on_and_it_is_said(engine, monkeypatch, batch):
    ws, noise = styles(2)
    singly = np.stack([engine.synthesise(w, noise) for w in ws])
    Card(engine, monkeypatch, maps=0)
    # What asks whether there is a card is told so; tensors stay where they are.
    monkeypatch.setattr(engine, "_device", SimpleNamespace(type="cuda"))
    monkeypatch.setattr(engine, "_tensor", lambda v: torch.from_numpy(np.array(v, np.float32)))
    monkeypatch.setattr(engine, "_single", lambda half: engine._synthesis)
    maps = (
        engine.synthesise_batch(ws, noise)
        if batch
        else np.stack([engine.synthesise(w, noise) for w in ws])
    )
    np.testing.assert_allclose(maps, singly, atol=1e-5)
    assert engine.device == "CPU" and not engine.has_preview
    assert "no memory left: the processor goes on" in engine.said[-1]


def test_a_graph_that_cannot_be_captured_is_said_and_done_without(engine, monkeypatch):
    (w,), noise = styles(1)
    expected = engine.synthesise(w, noise)
    monkeypatch.setattr(engine, "_tensor", lambda v: torch.from_numpy(np.array(v, np.float32)))
    monkeypatch.setattr(engine, "_device", SimpleNamespace(type="cuda"))

    def captured(half):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(engine, "_captured", captured)
    monkeypatch.setattr(engine, "_eager", lambda w, noise, half: engine._synthesis(w, noise))
    for _ in range(2):
        np.testing.assert_allclose(engine.synthesise(w, noise), expected, atol=1e-6)
    assert len(engine.said) == 1 and "not permitted" in engine.how


def test_no_memory_for_the_networks_takes_another_engine(tiny_networks, monkeypatch):
    def full(folder, device):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(cuda, "find", lambda: cuda.Cuda("NVIDIA H100"))
    monkeypatch.setattr("furrow.backend.detail.engines.torch_networks.load", full)
    folder = tiny_networks()
    (folder / "detail.json").write_text("{}")
    for name in engines.TORCH_NETWORKS:
        (folder / name).touch()
    output: list[str] = []
    choice = EngineChoice("auto", folder, None)
    choice.say = output.append
    assert choice.message()["device"] == "NVIDIA H100"
    assert choice.load().name in ("ONNX Runtime", "OpenVINO")
    assert "no memory left" in output[0] and "is used instead" in output[0]


def test_an_interrupt_ends_maps_between_the_blocks(engine):
    ws, noise = styles(2)
    interrupt = Interrupt()
    started = threading.Event()
    engine._synthesis.blocks[1].register_forward_hook(
        lambda *_: (started.set(), interrupt.set())[0]
    )
    for work in (
        lambda: engine.synthesise(ws[0], noise, interrupt=interrupt),
        lambda: engine.synthesise_batch(ws, noise, interrupt),
    ):
        with pytest.raises(FurrowError) as failure:
            work()
        assert failure.value.code == "cancelled"
    assert started.is_set()
    assert engine.synthesise(ws[0], noise).shape == (64, 64), "only its own map"


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        ((None, 12020, None), "built without CUDA"),
        (("12.8", 11040, "470.57.02"), "needs driver 525 or newer, here is driver 470.57.02, which knows CUDA 11.4"),
        (("13.0", 12020, None), "needs driver 580 or newer, here is one that knows CUDA 12.2"),
        (("14.1", 13000, None), "needs a driver for CUDA 14"),
        (("12.8", 12020, "535.1"), "finds no card that it can use; the driver knows CUDA 12.2"),
    ],
)  # fmt: skip
def test_a_card_that_pytorch_cannot_use_is_explained(arguments, output):
    assert output in cuda.unusable(*arguments)


def test_an_old_driver_is_seen_and_told(monkeypatch, tiny_networks):
    class Driver:
        """Of a card, for CUDA 11.4."""

        def cuInit(self, flags):
            return 0

        def cuDeviceGetCount(self, count):
            ctypes.cast(count, ctypes.POINTER(ctypes.c_int))[0] = 1
            return 0

        def cuDriverGetVersion(self, version):
            ctypes.cast(version, ctypes.POINTER(ctypes.c_int))[0] = 11040
            return 0

    monkeypatch.setattr(cuda, "_library", lambda _w, linux: Driver() if "cuda" in linux else None)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    card = cuda.find()
    assert card.device is None and card.problem is not None
    assert "too old" in card.problem and "11.4" in card.problem
    choice = EngineChoice("auto", tiny_networks(), None)
    assert choice.message()["engine"] != "torch" and "too old" in choice.message()["problem"]
