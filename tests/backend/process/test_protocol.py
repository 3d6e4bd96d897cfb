"""Messages and arrays between two processes: whole, not leaked, not unlinked too early."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from multiprocessing import shared_memory
from pathlib import Path

import numpy as np
import pytest
from furrow.backend.errors import FurrowError
from furrow.backend.process.protocol import SharedArrays, decode, encode, receive


def exists(name: str) -> bool:
    return os.path.exists(f"/dev/shm/{name}")


linux = pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="blocks are files on Linux only")


def test_messages_are_lines():
    message = {"id": 3, "method": "speech", "params": {"path": "/tmp/a\nb ä.wav"}}
    line = encode(message)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode(line) == message


@pytest.mark.parametrize("line", [b"hello\n", b"[1]\n", b"\xff\n", b"\n", b"[" * 100_000])
def test_garbage_is_refused(line):
    with pytest.raises(FurrowError) as failure:
        decode(line)
    assert failure.value.code == "bad_message" and len(str(failure.value)) < 500


@linux
def test_array_comes_back_and_is_released():
    arrays = SharedArrays()
    sent = np.random.default_rng(0).random((37, 41, 4)).astype(np.float32)
    description = json.loads(json.dumps(arrays.send(sent)))
    back = receive(description)
    assert np.array_equal(back, sent) and back.flags.writeable
    assert exists(description["name"])
    arrays.release(description["name"])
    arrays.release(description["name"])  # twice does no harm
    again = arrays.send(2 * sent)
    assert again["name"] == description["name"]  # fresh memory is slow: a drag uses two blocks
    other = arrays.send(3 * sent)
    assert np.array_equal(receive(again), 2 * sent) and np.array_equal(receive(other), 3 * sent)
    assert np.array_equal(back, sent)  # it is a copy
    arrays.close()
    assert not exists(again["name"]) and not exists(other["name"])
    with pytest.raises(FurrowError) as failure:
        receive(description | {"name": f"{description['name']}0"})
    assert failure.value.code == "backend_died"


@linux
def test_large_arrays_are_let_go_of_once_they_are_read():
    arrays = SharedArrays()
    for side, times_mapped in ((1024, 2), (3000, 1)):  # by sending, and by reading
        sent = np.full((side, side), side, np.float32)
        description = arrays.send(sent)
        assert np.array_equal(receive(description), sent)
        mapped = Path("/proc/self/maps").read_text().count(description["name"])
        assert mapped == times_mapped
    arrays.close()


def test_empty_array_comes_back():
    arrays = SharedArrays()
    assert receive(arrays.send(np.zeros((0, 52), np.float32))).shape == (0, 52)
    arrays.close()


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"name": "x", "shape": "no", "dtype": "float32"},
        {"name": "x", "shape": [2], "dtype": "object"},
        {"name": "x", "shape": [-1], "dtype": "float32"},
    ],
)
def test_damaged_description_is_refused(description):
    with pytest.raises(FurrowError) as failure:
        receive(description)
    assert failure.value.code == "bad_message"


@linux
def test_description_larger_than_the_block_is_refused():
    arrays = SharedArrays()
    description = arrays.send(np.zeros(10, np.float32)) | {"shape": [10**6]}
    with pytest.raises(FurrowError):
        receive(description)
    arrays.close()


@linux
def test_a_reader_that_ends_leaves_the_block_alone():
    """Before Python 3.13 a reader's resource tracker would unlink it and warn about a leak."""
    arrays = SharedArrays()
    description = arrays.send(np.arange(1000, dtype=np.float32))
    code = (
        "import json, sys\n"
        "from furrow.backend.process.protocol import receive\n"
        "print(receive(json.loads(sys.argv[1])).sum())\n"
        "from multiprocessing import resource_tracker\n"
        "assert resource_tracker._resource_tracker._fd is None, 'a tracker runs'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(description)],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("499500.0\n", "", 0)
    time.sleep(0.2)
    assert exists(description["name"])
    arrays.close()
    assert not exists(description["name"])


@linux
def test_blocks_of_a_killed_sender_go():
    code = (
        "import numpy as np, time\n"
        "from furrow.backend.process.protocol import SharedArrays\n"
        "print(SharedArrays().send(np.zeros(100, np.float32))['name'], flush=True)\n"
        "time.sleep(60)\n"
    )
    sender = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    name = sender.stdout.readline().strip()
    assert exists(name)
    sender.send_signal(signal.SIGKILL)
    sender.wait()
    until = time.monotonic() + 5
    while exists(name) and time.monotonic() < until:
        time.sleep(0.05)
    assert not exists(name)


def test_closed_arrays_send_nothing():
    arrays = SharedArrays()
    name = arrays.send(np.zeros(4, np.float32))["name"]
    arrays.close()
    with pytest.raises(FileNotFoundError):
        shared_memory.SharedMemory(name)
    with pytest.raises(FurrowError):
        arrays.send(np.zeros(4, np.float32))
