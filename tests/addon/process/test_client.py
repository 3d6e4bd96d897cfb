"""The add-on's client with a real backend process, and what happens when that one dies."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from furrow.addon.process.client import Client
from furrow.backend.errors import FurrowError

PARAMS = {
    "identity": {"shape": [0.5] * 6, "skin": [0.5] * 16, "detail_seed": 1},
    "expression": [0.1] * 52,
    "resolution": 256,
}


@pytest.fixture
def start(tiny_networks):
    clients = []

    def make(work: int = 0, **options) -> Client:
        client = Client(arguments=["--networks", str(tiny_networks(work))], **options)
        clients.append(client)
        client.wait_ready(30)
        return client

    yield make
    for client in clients:
        client.stop()


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie counts, for it would stay in Blender's list."""
    return Path(f"/proc/{pid}").exists()


def blocks(pid: int) -> list[str]:
    """The shared memory of a backend."""
    return [name for name in os.listdir("/dev/shm") if name.startswith(f"furrow-{pid}-")]


def wait_for(condition, seconds: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not happen"
        time.sleep(0.02)
    return time.monotonic() - began


def params(weight: float) -> dict:
    return PARAMS | {"expression": [weight] * 52}


def test_a_map_comes_back(start):
    client = start()
    assert client.state == "ready" and client.info["pid"] != os.getpid()
    map_mm = client.call("map", PARAMS, timeout=20)["array"]
    assert map_mm.shape == (256, 256) and map_mm.dtype == np.float32
    pending = client.request("map", PARAMS, channel="head-1")
    assert pending.wait(20) and pending.done()
    assert np.array_equal(pending.result()["array"], map_mm)


def test_start_and_request_do_not_wait(tiny_networks):
    client = Client(arguments=["--networks", str(tiny_networks())])
    began = time.monotonic()
    pending = client.request("map", PARAMS)  # starts the process by itself
    assert time.monotonic() - began < 0.1 and client.state == "starting"
    assert pending.result(20)["array"].shape == (256, 256)
    client.stop()


def test_error_of_the_backend_arrives_typed(start):
    with pytest.raises(FurrowError, match="256, 512 or 1024") as caught:
        start().call("map", PARAMS | {"resolution": 7})
    assert caught.value.code == "bad_input"


def test_drag_shows_the_newest(start):
    client = start(work=8)
    drag = [client.request("map", params(i / 20), channel="head-1") for i in range(20)]
    last = drag[-1].result(30)["array"]
    assert np.array_equal(last, client.call("map", params(19 / 20))["array"])
    codes = set()
    for pending in drag[1:-1]:
        with pytest.raises(FurrowError) as caught:
            pending.result(10)
        codes.add(caught.value.code)
    assert codes == {"superseded"}


def test_cancel_is_immediate_and_nothing_stays_behind(start):
    client = start(work=12)
    pending = client.request("map", params(0.3))
    time.sleep(0.1)
    pending.cancel()
    assert pending.done()
    with pytest.raises(FurrowError) as caught:
        pending.result()
    assert caught.value.code == "cancelled"
    assert client.call("map", params(0.4), timeout=30)["array"].shape == (256, 256)
    assert len(blocks(client.info["pid"])) <= 1  # kept for the next map


def test_killed_in_the_middle_of_a_map_it_is_made_all_the_same(start):
    client = start(work=20)
    pid = client.info["pid"]
    pending = client.request("map", params(0.5))
    time.sleep(0.2)
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: client.state != "ready", 2)
    assert time.monotonic() - began < 2
    assert pending.result(60)["array"].shape == (256, 256)
    assert client.info["pid"] != pid and not alive(pid)
    assert any("killed (signal 9); it is being restarted" in text for text in client.messages)


def test_killed_twice_in_the_middle_of_a_file_the_request_fails(start, tmp_path):
    said: list[dict] = []
    client = start(work=40, on_message=said.append)
    path = tmp_path / "map.exr"
    one = params(0.5) | {"expressions": [params(0.5)["expression"]], "paths": [str(path)]}
    pending = client.request("write_maps", one)
    for _ in range(2):
        client.wait_ready(20)
        time.sleep(0.2)
        pid = client.info["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: client.info.get("pid") != pid, 5)
    with pytest.raises(FurrowError, match="before this was done") as caught:
        pending.result(5)
    assert caught.value.code == "backend_died" and not path.exists()
    assert sum("restarted" in text for text in said) == 2
    assert client.call("write_maps", one, timeout=60)["sha256"] and path.exists()


def test_silence_is_noticed_within_two_seconds(start):
    client = start()
    pid = client.info["pid"]
    client.call("map", PARAMS, timeout=30)  # the networks are loaded
    os.kill(pid, signal.SIGSTOP)
    took = wait_for(lambda: client.state != "ready", 5)
    assert 1.0 < took < 2.8  # the last beat was up to 0.5 s before
    assert client.call("map", PARAMS, timeout=30)["array"].shape == (256, 256)
    assert not alive(pid)
    assert any("silent" in text for text in client.messages)


def test_loading_may_be_silent_for_longer(tmp_path):
    """ONNX Runtime holds Python's lock while it prepares a large network; that is no hang."""
    launcher = tmp_path / "launch.py"
    launcher.write_text(
        "import json, sys, time\n"
        "def say(m): print(json.dumps(m), flush=True)\n"
        "say({'event': 'ready', 'protocol': 1})\n"
        "say({'event': 'alive', 'patience': 60})\n"
        "time.sleep(3)\n"
        "say({'event': 'alive'})\n"
        "time.sleep(20)\n"
    )
    client = Client(launcher=launcher)
    client.wait_ready(10)
    time.sleep(2.9)
    assert client.state == "ready" and not any("silent" in text for text in client.messages)
    wait_for(lambda: any("silent for 2 s" in text for text in client.messages), 5)
    client.stop()


def test_a_busy_blender_does_not_blame_the_process(start):
    """Blender holds Python's lock for seconds in long operators; so does this call of libc."""
    client = start()
    client.call("map", PARAMS, timeout=30)
    pid = client.info["pid"]
    ctypes.PyDLL(None).usleep(3_500_000)
    time.sleep(0.6)
    assert client.state == "ready" and client.info["pid"] == pid
    assert client.call("map", PARAMS, timeout=20)["array"].shape == (256, 256)


def test_a_hanging_process_does_not_block_requests_or_stop(start):
    """The pipe of a stopped process is full after 64 KiB; the window must not notice."""
    client = start()
    client.call("map", PARAMS, timeout=30)
    os.kill(client.info["pid"], signal.SIGSTOP)
    began = time.monotonic()
    for _ in range(100):
        client.request("map", PARAMS, channel="head-1")
    assert time.monotonic() - began < 0.5
    client.stop()
    assert time.monotonic() - began < 3.5


def test_a_request_that_kills_every_process_does_not_go_on_for_ever(tmp_path, start):
    """A backend that dies of each map: the request is tried twice, status goes on working."""
    launcher = tmp_path / "launch.py"
    launcher.write_text(
        "import json, os, sys\n"
        "def say(m): print(json.dumps(m), flush=True)\n"
        "say({'event': 'ready', 'protocol': 1, 'engine': 'x', 'device': 'y', 'pid': os.getpid()})\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    if m.get('method') == 'map': os.kill(os.getpid(), 11)\n"
        "    if 'id' in m: say({'id': m['id'], 'result': {}})\n"
    )
    client = Client(launcher=launcher)
    with pytest.raises(FurrowError, match="signal 11") as caught:
        client.call("map", {}, timeout=20)
    assert caught.value.code == "backend_died"
    assert client.call("status", timeout=20) == {}
    client.stop()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("raise SystemExit('No engine is here.')", "No engine is here"),
        ("import nonsense_package", "nonsense_package"),
        ("import json; print(json.dumps({'event': 'ready', 'protocol': 99}), flush=True)",
         "another version"),
    ],
)  # fmt: skip
def test_a_start_in_vain_is_explained_once(tmp_path, code, text):
    launcher = tmp_path / "launch.py"
    launcher.write_text(code)
    client = Client(launcher=launcher)
    pending = client.request("map", PARAMS)
    with pytest.raises(FurrowError, match=text) as caught:
        pending.result(20)
    assert caught.value.code == "backend_died"
    assert client.state == "failed" and len(client.messages) == 1
    with pytest.raises(FurrowError, match=text):
        client.request("map", PARAMS).result(1)
    client.stop()
    assert client.state == "stopped"


def test_python_that_does_not_exist():
    client = Client(python="/nowhere/python")
    with pytest.raises(FurrowError, match="/nowhere/python"):
        client.wait_ready(5)


def test_stop_leaves_nothing(start):
    client = start(work=20)
    pid = client.info["pid"]
    threads = threading.active_count()
    pending = client.request("map", params(0.7))
    time.sleep(0.1)
    began = time.monotonic()
    client.stop()
    assert time.monotonic() - began < 3
    with pytest.raises(FurrowError) as caught:
        pending.result(1)
    assert caught.value.code == "cancelled" and client.state == "stopped"
    assert not alive(pid) and not blocks(pid)
    wait_for(lambda: threading.active_count() < threads, 2)
    client.stop()  # twice does no harm
    client.wait_ready(20)  # and it starts again
    assert alive(client.info["pid"])


def test_call_reports_progress_and_times_out(tmp_path):
    launcher = tmp_path / "launch.py"
    launcher.write_text(
        "import json, sys, time\n"
        "def say(m): print(json.dumps(m), flush=True)\n"
        "say({'event': 'ready', 'protocol': 1})\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    if 'cancel' in m: continue\n"
        "    for i in range(4):\n"
        "        say({'id': m['id'], 'progress': i / 4, 'text': 'Listening'}); time.sleep(0.1)\n"
        "    if m['method'] == 'speech': say({'id': m['id'], 'result': {'fps': 30}})\n"
    )
    client = Client(launcher=launcher)
    heard = []
    result = client.call("speech", timeout=20, progress=lambda f, t: heard.append((f, t)))
    assert result == {"fps": 30} and (0.75, "Listening") in heard
    with pytest.raises(FurrowError, match=r"within 0\.6 s") as caught:
        client.call("other", timeout=0.6)
    assert caught.value.code == "timeout"
    client.stop()


def test_the_process_ends_with_its_parent(tiny_networks):
    """Killed without a word, as Blender may be, the parent leaves no process and no memory."""
    code = (
        "import sys, time\n"
        "from furrow.addon.process.client import Client\n"
        "client = Client(arguments=['--networks', sys.argv[1]])\n"
        "client.wait_ready(30)\n"
        "print(client.info['pid'], flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tiny_networks())]
    for how in (signal.SIGKILL, signal.SIGINT):
        parent = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        pid = int(parent.stdout.readline())
        parent.send_signal(how)
        parent.wait(10)
        wait_for(lambda pid=pid: not alive(pid), 5)


def test_client_imports_neither_bpy_nor_an_engine():
    code = (
        "import sys; import furrow.addon.process.client\n"
        "print(sorted({'bpy', 'onnxruntime', 'torch', 'openvino'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout == "[]\n", done.stderr
