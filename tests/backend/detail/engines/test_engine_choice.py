"""Which engine is taken: by name, by what was measured, and when one fails."""

from __future__ import annotations

import json
import threading
import time
from types import SimpleNamespace

import pytest
from furrow.backend.detail.engines import engine_speed, engines
from furrow.backend.detail.engines.engine_choice import EngineChoice
from furrow.backend.detail.engines.engine_speed import Speed
from furrow.backend.errors import FurrowError
from furrow.backend.system import processor
from furrow.backend.system.idle import when_idle
from furrow.backend.system.interrupt import Interrupt


def speeds(**exact_ms: float) -> dict[str, Speed]:
    return {kind: Speed(kind, "1", ms, "2026-01-01") for kind, ms in exact_ms.items()}


@pytest.fixture
def both(monkeypatch):
    """ONNX Runtime as it is here, and an OpenVINO that is installed but cannot be imported."""
    real = engines._availability
    there = engines.Availability("openvino", "openvino", "2026.0.0", "CPU", None)
    absent = engines.Availability("torch", "torch", None, None, "torch is not installed.")
    entries = {"openvino": there, "torch": absent}
    monkeypatch.setattr(engines, "_availability", lambda kind: entries.get(kind) or real(kind))


def test_the_faster_engine_is_taken_once_both_are_measured(both):
    assert (engines.choose().kind, engines.choose().why) == (
        "openvino", "none is measured yet",
    )  # fmt: skip
    assert engines.choose("auto", speeds(ort=70)).kind == "openvino"
    chosen = engines.choose("auto", speeds(ort=70, openvino=90.4))
    assert (chosen.kind, chosen.why) == ("ort", "the fastest by measurement")
    assert engines.choose("auto", speeds(ort=70, openvino=60)).kind == "openvino"
    assert engines.choose("openvino", speeds(ort=70, openvino=90)).why == "chosen by name"


def test_an_engine_that_does_not_start_is_replaced_and_it_is_said(both, tiny_networks):
    choice = EngineChoice("auto", tiny_networks(), None)
    assert choice.message()["engine"] == "onnxruntime"
    assert "openvino is installed but does not start" in choice.message()["problem"]
    assert "onnxruntime is used instead" in choice.message()["problem"]
    named = EngineChoice("openvino", tiny_networks(), None)
    assert named.message()["engine"] is None and "does not start" in named.message()["problem"]
    with pytest.raises(FurrowError, match="does not start") as failure:
        named.load()
    assert failure.value.code == "engine_unavailable"


def test_an_engine_that_fails_on_the_networks_is_replaced(both, tiny_networks, monkeypatch):
    monkeypatch.setattr(engines, "import_packages", lambda kind: None)
    real = engines.load

    def load(kind, folder):
        if kind == "openvino":
            raise FurrowError("It does not know an operator.", "missing_model")
        return real(kind, folder)

    monkeypatch.setattr(engines, "load", load)
    output: list[str] = []
    choice = EngineChoice("auto", tiny_networks(), None)
    choice.say = output.append
    assert choice.load().name == "ONNX Runtime"
    assert output == ["It does not know an operator. onnxruntime is used instead."]


def test_damaged_networks_are_told_by_the_last_engine(both, tiny_networks):
    folder = tiny_networks()
    (folder / "bases.onnx").write_bytes(b"nothing")
    choice = EngineChoice("auto", folder, None)
    for _ in range(2):
        with pytest.raises(FurrowError, match=r"bases\.onnx is damaged"):
            choice.load()


def test_measured_once_for_the_same_engines_and_networks(tiny_networks, tmp_path):
    networks = tiny_networks()
    choice = EngineChoice("ort", networks, tmp_path)
    assert "ort" in {engine.kind for engine in choice.to_measure()}
    choice.measure(Interrupt())
    again = EngineChoice("ort", networks, tmp_path)
    assert again.to_measure() == [] and again.speeds["ort"].exact_ms > 0
    assert again.message()["exact_ms"]["ort"] == again.speeds["ort"].exact_ms
    assert EngineChoice("ort", tiny_networks(work=1), tmp_path).speeds == {}, "other networks"
    assert EngineChoice("ort", networks, None).to_measure() == [], "nowhere to remember it"
    for content in ("", "[]", '{"format": 1}', "{" * 5000, '{"format": "furrow.engine_speed/1"}'):
        (tmp_path / engine_speed.FILE).write_text(content)
        assert EngineChoice("ort", networks, tmp_path).to_measure(), "measured anew"


def test_measurements_tell_processor_and_versions(tiny_networks, tmp_path):
    EngineChoice("ort", tiny_networks(), tmp_path).measure(Interrupt())
    data = json.loads((tmp_path / engine_speed.FILE).read_text())
    assert data["processor"] == processor.name() and data["processor"]
    assert data["engines"]["ort"]["name"] == "onnxruntime"


def test_an_interrupted_measurement_leaves_nothing(tiny_networks, tmp_path):
    interrupt = Interrupt()
    interrupt.set()
    choice = EngineChoice("ort", tiny_networks(), tmp_path)
    with pytest.raises(FurrowError) as failure:
        choice.measure(interrupt)
    assert failure.value.code == "cancelled" and not list(tmp_path.iterdir())


def test_idle_work_gives_way_and_begins_anew():
    state, begun, ended = SimpleNamespace(busy=True), [], threading.Event()

    def work(interrupt: Interrupt) -> None:
        begun.append(interrupt)
        state.busy = len(begun) == 1
        until = time.monotonic() + (5 if state.busy else 0)
        while time.monotonic() < until:
            time.sleep(0.005)
            interrupt.check()
        ended.set()

    when_idle(lambda: state.busy, 0.05, work)
    time.sleep(0.2)
    assert begun == []
    state.busy = False
    while len(begun) == 0 or not begun[0].is_set():
        time.sleep(0.005)
    assert not ended.is_set()
    state.busy = False
    assert ended.wait(5) and len(begun) == 2


@pytest.mark.parametrize(("flags", "lacks"), [("fpu sse4_2 avx", True), ("avx avx2", False)])
def test_without_avx2_openvino_is_left_out_with_a_reason(monkeypatch, tmp_path, flags, lacks):
    if not processor._cpuinfo():
        pytest.skip("no /proc/cpuinfo here")
    (tmp_path / "cpuinfo").write_text(
        f"model name\t: An Old One\nflags\t\t: {flags}\n\nnext\t: 1\n"
    )
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(processor.platform, "machine", lambda: "x86_64")
    processor.lacks_avx2.cache_clear()
    try:
        assert processor.lacks_avx2() is lacks
        real = engines.importlib.util.find_spec
        monkeypatch.setattr(engines.importlib.util, "find_spec", lambda n: real("json"))
        reason = engines._availability("openvino").reason
        assert (reason is not None and "AVX2" in reason) is lacks
    finally:
        processor.lacks_avx2.cache_clear()


def test_a_machine_with_one_core_works(tiny_networks, monkeypatch):
    monkeypatch.setattr(processor.os, "sched_getaffinity", lambda pid: {0}, raising=False)
    assert processor.physical_cores() in (0, 1)
    engine = engines.load("ort", tiny_networks())
    assert EngineChoice("ort", tiny_networks(), None).load().resolution == engine.resolution
