"""The real backend process, spoken to as its client speaks: with lines on its pipes."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from furrow.backend.process import protocol

LAUNCHER = Path(__file__).resolve().parents[3] / "backend" / "process" / "launch.py"
PARAMS = {
    "identity": {"shape": [0.5] * 6, "skin": [0.5] * 16, "detail_seed": 1},
    "expression": [0.1] * 52,
    "resolution": 256,
}


class Backend:
    """A process and what it said, without the heartbeats.

    LAUNCHER is the file that starts it, PARAMS are those of a map.
    """

    LAUNCHER = LAUNCHER
    PARAMS = PARAMS

    def __init__(self, *arguments: object, launcher: Path = LAUNCHER) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(launcher), *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.beats = 0
        self._messages: queue.Queue[dict] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in iter(self._line, b""):
            message = json.loads(line)
            if message.get("event") == "alive":
                self.beats += 1
            else:
                self._messages.put(message)

    def _line(self) -> bytes:
        with contextlib.suppress(ValueError, OSError):  # a test closed it
            return self.process.stdout.readline()
        return b""

    def say(self, message: dict | bytes) -> None:
        line = message if isinstance(message, bytes) else protocol.encode(message)
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def hear(self, number: int | None = None, timeout: float = 20) -> dict:
        """The next message that is no progress, or the answer to a request."""
        until = time.monotonic() + timeout
        while True:
            message = self._messages.get(timeout=max(0.01, until - time.monotonic()))
            if "progress" not in message and number in (None, message.get("id")):
                return message

    def map(self, number: int, channel: str | None = None, **changes: object) -> None:
        self.say({"id": number, "method": "map", "channel": channel, "params": PARAMS | changes})

    def end(self) -> str:
        """Close its stdin and return its log."""
        self.process.stdin.close()
        self.process.wait(5)
        return self.process.stderr.read().decode()


@pytest.fixture(scope="session")
def backend_class() -> type[Backend]:
    """Starts a process with launch.py's arguments."""
    return Backend


@pytest.fixture
def start(tiny_networks) -> Iterator[Callable[..., Backend]]:
    """Start a process with tiny networks: ``start(work=0, *arguments, **options of Backend)``."""
    running = []

    def make(work: int = 0, *arguments: object, **options: object) -> Backend:
        backend = Backend("--networks", tiny_networks(work), *arguments, **options)
        running.append(backend)
        assert backend.hear()["event"] == "ready"
        return backend

    yield make
    for backend in running:
        with contextlib.suppress(OSError):
            backend.process.stdin.close()
        backend.process.kill()
        backend.process.wait()


@pytest.fixture(scope="module")
def shared(tiny_networks) -> Iterator[Backend]:
    """One process for the requests that must not harm it."""
    backend = Backend("--networks", tiny_networks())
    assert backend.hear()["event"] == "ready"
    yield backend
    assert backend.end() == ""  # nothing was logged: every failure was foreseen
