"""What the backend process answers to requests, good and bad, and in which order."""

from __future__ import annotations

import hashlib
import os
import time
import wave

import numpy as np
import pytest
from furrow.backend.formats.files import ASSETS
from furrow.backend.formats.maps import read_map
from furrow.backend.process import protocol

IDENTITY = {"shape": [0.5] * 6, "skin": [0.5] * 16, "detail_seed": 1}


def expression(weight: float) -> list[float]:
    return [weight] * 52


def test_map_in_the_size_that_is_asked_for(start):
    backend = start()
    backend.map(1)
    result = backend.hear(1)["result"]
    map_mm = protocol.receive(result["array"])
    assert map_mm.shape == (256, 256) and map_mm.dtype == np.float32 and map_mm.std() > 0
    assert result["exact"]
    backend.map(2, resolution=512)
    large = protocol.receive(backend.hear(2)["result"]["array"])
    small = large.reshape(256, 2, 256, 2).mean((1, 3))
    assert np.corrcoef(small.ravel(), map_mm.ravel())[0, 1] > 0.95
    assert backend.end() == ""  # no word of a resource tracker either, though nothing was released


def test_live_maps_follow_the_last_exact_map_of_their_head(start):
    backend = start()

    def ask(number, channel, weight, **params):
        backend.map(number, channel, expression=expression(weight), **params)
        result = backend.hear(number)["result"]
        return result["exact"], protocol.receive(result["array"])

    first = ask(1, "a", 0.0, live=True)
    assert first[0]  # nothing to go by yet: the exact map
    live, exact = ask(2, "a", 0.5, live=True), ask(3, "a", 0.5)
    assert not live[0] and exact[0]
    assert np.abs(live[1] - first[1]).max() > 1e-3  # it moves with the expression
    np.testing.assert_allclose(ask(4, "a", 0.5, live=True)[1], exact[1], atol=1e-5)
    assert ask(5, "b", 0.5, live=True)[0]  # another head has no exact map yet
    backend.map(6, live=True)
    assert "channel" in backend.hear(6)["error"]["message"]


def test_several_maps_are_written_in_one_request(start, tmp_path):
    backend = start()
    paths = [tmp_path / "new" / f"{number:04d}.exr" for number in (1, 2, 3)]
    params = {
        "identity": IDENTITY,
        "resolution": 256,
        "expressions": [expression(0.1 * n) for n in range(3)],
        "paths": list(map(str, paths)),
    }
    backend.say({"id": 1, "method": "write_maps", "params": params})
    hashes = backend.hear(1)["result"]["sha256"]
    assert hashes == [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    backend.map(2, expression=expression(0.2))
    alone = protocol.receive(backend.hear(2)["result"]["array"])
    np.testing.assert_allclose(read_map(paths[2]), alone, rtol=1e-3, atol=1e-6)
    backend.say({"id": 3, "method": "write_maps", "params": params | {"paths": [str(paths[0])]}})
    assert backend.hear(3)["error"]["code"] == "bad_input"
    (tmp_path / "file").write_text("")
    bad = params | {"paths": [str(tmp_path / "file" / f"{number}.exr") for number in range(3)]}
    backend.say({"id": 4, "method": "write_maps", "params": bad})
    assert backend.hear(4)["error"]["code"] == "write_failed"


def test_memory_does_not_grow_with_maps_that_are_released_and_none_stays(start):
    backend = start()

    def blocks() -> list[str]:
        prefix = f"furrow-{backend.process.pid}-"
        return [name for name in os.listdir("/dev/shm") if name.startswith(prefix)]

    for number in range(12):
        backend.map(number, resolution=(256, 512, 1024)[number % 3])
        backend.say({"release": backend.hear(number)["result"]["array"]["name"]})
    assert len(blocks()) <= 3
    for number in range(12, 16):
        backend.map(number)
        backend.hear(number)
    assert len(blocks()) >= 4  # not released yet
    backend.end()
    assert not blocks()


def test_newest_on_a_channel_wins_and_other_channels_stay(start):
    backend = start(work=8)
    for number, channel in ((1, "a"), (2, "a"), (3, "b"), (4, "a"), (5, "a")):
        backend.map(number, channel, expression=expression(number / 10))
    answers = [backend.hear() for _ in range(5)]
    outcome = {a["id"]: a.get("error", {}).get("code", "done") for a in answers}
    assert outcome[5] == outcome[3] == "done"
    assert outcome[2] == outcome[4] == "superseded"
    assert outcome[1] in ("done", "superseded")  # it may have been finished before the second came


def test_cancel_waiting_and_running(start):
    backend = start(work=12)
    backend.map(1, expression=expression(0.1))
    backend.map(2, expression=expression(0.2))
    backend.map(3, expression=expression(0.3))
    backend.say({"cancel": 2})
    error = backend.hear()
    assert (error["id"], error["error"]["code"]) == (2, "cancelled")
    backend.say({"cancel": 1})
    assert backend.hear(1)["error"]["code"] == "cancelled"
    backend.say({"cancel": 99})  # unknown: no harm
    assert "array" in backend.hear(3)["result"]


@pytest.fixture(scope="module")
def minutes_of_noise(tmp_path_factory):
    """Ten minutes of sound, which take seconds to hear."""
    path = tmp_path_factory.mktemp("sound") / "noise.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        noise = np.random.default_rng(0).integers(-9000, 9000, 16000 * 60, np.int16).tobytes()
        for _ in range(10):
            sound.writeframes(noise)
    return str(path)


def test_a_map_and_the_status_do_not_wait_for_speech(start, minutes_of_noise):
    backend = start()
    backend.say({"id": 1, "method": "speech", "params": {"path": minutes_of_noise, "fps": 30}})
    backend.map(2)
    backend.say({"id": 3, "method": "status"})
    assert {backend.hear()["id"], backend.hear()["id"]} == {2, 3}
    backend.say({"cancel": 1})
    assert backend.hear(1)["error"]["code"] == "cancelled"


def test_speech_comes_back_and_a_newer_one_stops_it(start, minutes_of_noise):
    backend = start()
    speech = {"method": "speech", "channel": "speech"}
    backend.say(speech | {"id": 1, "params": {"path": minutes_of_noise, "fps": 30}})
    hello = ASSETS / "demo" / "hello.wav"
    backend.say(speech | {"id": 2, "params": {"path": str(hello), "fps": 24}})
    assert backend.hear(1)["error"]["code"] == "superseded"
    result = backend.hear(2)["result"]
    values = protocol.receive(result["array"])
    with wave.open(str(hello)) as sound:
        seconds = sound.getnframes() / sound.getframerate()
    assert result["fps"] == 24 and abs(len(values) - 24 * seconds) <= 1
    weights, head = values[:, :52], values[:, 52:]
    assert weights.min() >= 0 and weights.max() <= 1
    assert head.shape[1] == 3 and 0.001 < np.abs(head).max() < 0.15  # radians


def test_heart_beats_while_the_networks_work(start):
    backend = start(work=40)
    backend.map(1)
    began = time.monotonic()
    backend.hear(1, timeout=60)
    took = time.monotonic() - began
    assert backend.beats >= took / protocol.SILENCE_S - 1


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"garbage\n", "bad_message"),
        (b"\xff\xfe\n", "bad_message"),
        (b'{"method": "map"}\n', "bad_message"),
        (b'{"id": 1, "method": "map", "params": 3}\n', "bad_message"),
        (b'{"id": 1, "method": "fly"}\n', "unknown_method"),
        (b'{"id": 1, "method": "map"}\n', "bad_input"),
        (b'{"id": 1, "method": "speech", "params": {"path": 3}}\n', "bad_input"),
        (b'{"id": 1, "method": "speech", "params": {"path": "/no.wav"}}\n', "missing_file"),
    ],
)
def test_bad_requests_get_an_error_and_the_next_is_served(shared, line, code):
    shared.say(line)
    answer = shared.hear()
    error = answer.get("error", answer)
    assert error["code"] == code, answer
    assert "\n" not in error["message"] and "Traceback" not in error["message"]
    shared.map(7)
    assert "result" in shared.hear(7)


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": {"shape": [0.0] * 7, "skin": [0.5] * 16}},
        {"identity": {"shape": ["x"] * 6, "skin": [0.5] * 16}},
        {"identity": None},
        {"identity": IDENTITY | {"detail": {"skin": 0.1}}},
        {"identity": IDENTITY | {"detail": {"skin_age": 2}}},
        {"identity": IDENTITY | {"detail": [0.1]}},
        {"identity": IDENTITY | {"detail_seed": 0.5}},
        {"relief": {"shape": [0.0] * 7, "skin": [0.5] * 16}},
        {"relief": 3},
        {"expression": [float("nan")] * 52},
        {"expression": {"jawOpen": 1}},
        {"resolution": 300},
        {"resolution": "big"},
    ],
)
def test_bad_parameters_are_bad_input(shared, changes):
    shared.map(1, **changes)
    assert shared.hear(1)["error"]["code"] == "bad_input"


def test_status_and_release_memory(start):
    backend = start()
    backend.map(1)
    backend.hear(1)
    backend.say({"id": 2, "method": "status"})
    status = backend.hear(2)["result"]
    assert status["pid"] == backend.process.pid and status["memory_bytes"] > 1e7
    assert {model["name"].split("/")[1] for model in status["models"]} >= {"encoder.onnx"}
    assert all(len(model["sha256"]) == 64 for model in status["models"])
    backend.say({"id": 3, "method": "release_memory"})
    assert set(backend.hear(3)["result"]) == {"before", "after"}
    backend.map(4)
    assert "result" in backend.hear(4)  # loads again by itself


def test_adjustments_without_directions_are_told(start):
    backend = start()
    backend.map(1, identity=IDENTITY | {"detail": {"furrow_depth": 0.0}})
    assert "result" in backend.hear(1)
    backend.map(2, identity=IDENTITY | {"detail": {"furrow_depth": 0.4}})
    error = backend.hear(2)["error"]
    assert error["code"] == "missing_model" and "directions.safetensors" in error["message"]
