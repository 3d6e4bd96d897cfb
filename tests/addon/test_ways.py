"""docs/ways.md names functions that exist, in the order in which they run, each once."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest
from furrow.addon.animation import motion
from furrow.addon.detail import live_updates
from furrow.addon.process import jobs
from furrow.addon.process.client import Client
from furrow.backend.formats.expressions import EXPRESSIONS
from furrow.backend.formats.files import ASSETS
from furrow.backend.formats.weights import Weights
from furrow.backend.process.server import Request
from furrow.backend.process.services import Services
from furrow.backend.speech import moonshine
from furrow.backend.speech.speech_model import SpeechModel

WAYS = Path(__file__).resolve().parents[2] / "docs" / "ways.md"
SLIDER = "From a slider to a vertex"
SOUND = "From a sound sample to a keyed weight"


def legs(title: str) -> dict[str, list[str]]:
    """Of a section of docs/ways.md: the functions of each leg, in order."""
    text = WAYS.read_text()
    _, _, section = text.partition(f"## {title}\n")
    section = section.partition("\n## ")[0]
    parts = re.split(r"^\*\*(\w+)\*\*", section, flags=re.MULTILINE)[1:]
    return {
        name: re.findall(r"^\d+\. `([\w.]+)`: gets ", part, re.MULTILINE)
        for name, part in zip(parts[::2], parts[1::2], strict=True)
    }


def function(name: str) -> Any:
    """What a dotted name below the package stands for."""
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(["furrow", *parts[:count]]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            owner = getattr(owner, part)
        return owner
    raise AssertionError(f"There is no {name}.")


def calls(names: list[str], run: Callable[[], object]) -> list[str]:
    """Which of the functions are entered while something runs, in order."""
    code = {function(name).__code__: name for name in names}
    log: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code in code:
            log.append(code[frame.f_code])

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return log


def test_every_function_on_the_ways_exists() -> None:
    titles = re.findall(r"^## (.*)$", WAYS.read_text(), re.MULTILINE)
    assert titles
    for title in titles:
        assert legs(title), title
        for leg, names in legs(title).items():
            assert names, f"{title}: {leg}"
            assert all(callable(function(name)) for name in names)


def test_a_slider_is_asked_for_and_shown_that_way(head, window, monkeypatch) -> None:
    client = Client()
    monkeypatch.setattr(client, "start", lambda: None)  # no process: the test answers
    monkeypatch.setattr(jobs, "client", lambda: client)
    way, key = legs(SLIDER), head.data.shape_keys.key_blocks["jawOpen"]

    def slide() -> None:
        key.value += 0.25
        bpy.context.view_layer.update()  # runs the handlers

    def answer() -> None:
        number, pending = max(client._pending.items())
        size = pending.message["params"]["resolution"]
        map_mm = np.full((size, size), key.value, np.float32)
        message = {"id": number, "result": {"array": map_mm, "exact": False}}
        client._take_answer(SimpleNamespace(), message)
        live_updates.poll()

    assert calls(way["Asking"], slide) == way["Asking"]
    assert calls(way["Showing"], answer) == way["Showing"]
    assert head.furrow.live_texture.image.pixels[0] == pytest.approx(0.25)


def test_a_map_is_made_that_way(tiny_networks) -> None:
    services = Services("ort", tiny_networks())
    identity = {"shape": [0.5] * 6, "skin": [0.5] * 16, "detail_seed": 1}
    parameters = {"identity": identity, "resolution": 256, "live": True}
    way = [name.replace("engine.Engine", "engine_ort.OrtEngine") for name in legs(SLIDER)["Making"]]
    inner = way[1:-1]  # without the pipes
    answers = []

    def make(weight: float) -> None:
        expression = [weight] * len(EXPRESSIONS)
        request = Request(lambda _message: None, 1, parameters | {"expression": expression}, "head")
        answers.append(services.map(request)["exact"])

    make(0.0)
    assert calls(inner, lambda: make(0.5)) == inner
    assert answers == [True, False]


def test_a_sound_is_heard_and_said_that_way() -> None:
    if not moonshine.is_set_up():
        pytest.skip("python -m furrow.backend.speech.moonshine was not run")
    model, way = SpeechModel.load(), legs(SOUND)
    names = [*way["Hearing"][2:], *way["Saying"], *way["Living"]]
    log = calls(names, lambda: model.weights(ASSETS / "demo" / "hello.wav", 30))
    assert list(dict.fromkeys(log)) == names, "in the order of their first calls"
    # Generators go on where they were; of everything else nothing is come back to.
    once = [name for name in log if not inspect.isgeneratorfunction(function(name))]
    leg_of = {name: leg for leg, members in way.items() for name in members}
    order = [leg_of[name] for name in once]
    assert order == sorted(order, key=list(way).index)


def test_weights_are_keyed_that_way(head, scene) -> None:
    weights = Weights(np.full((3, len(EXPRESSIONS)), 0.5, np.float32), 30.0)
    way = legs(SOUND)["Keying"][2:]
    log = calls(way, lambda: motion.apply([head], scene, "talk.wav", weights, motion.Placement()))
    assert list(dict.fromkeys(log)) == way
