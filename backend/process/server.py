"""The loop of the backend process: reads requests, runs them on lanes, answers, beats, and ends cleanly."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from ..errors import FurrowError
from ..system.interrupt import Interrupt
from .protocol import HEARTBEAT_S, LOADING_S, SharedArrays, decode, encode

PROGRESS_INTERVAL_S = 0.05
END_GRACE_S = 1.0
"""How long work in flight may take to notice that the process ends, so that no partial file is left."""

Method = Callable[["Request"], dict[str, Any]]


class Request:
    """One request while it waits or runs; methods read `params` and watch :meth:`unwanted`.

    Attributes
    ----------
    interrupt
        Set when the request is unwanted, for work that nothing but an interrupt ends.
    """

    def __init__(
        self,
        send: Callable[[dict[str, Any]], None],
        number: int,
        params: dict[str, Any],
        channel: str | None,
    ) -> None:
        self.id = number
        self.params = params
        self.channel = channel
        self.stop_code: str | None = None
        self.interrupt = Interrupt()
        self._send = send
        self._last_progress = 0.0

    def stop(self, code: str) -> None:
        """Ask the method that runs to end: somebody cancelled it, or a newer request superseded it."""
        if not self.cancelled():
            self.stop_code = code
            self.interrupt.set()

    def cancelled(self) -> bool:
        """Whether somebody cancelled the request."""
        return self.stop_code == "cancelled"

    def unwanted(self) -> bool:
        """Whether it was cancelled or a newer request of its channel superseded it."""
        return self.stop_code is not None

    def progress(self, fraction: float, text: str) -> None:
        """Report how far the request is, in [0, 1]; at most 20 times a second reach the pipe."""
        now = time.monotonic()
        if now - self._last_progress >= PROGRESS_INTERVAL_S:
            self._last_progress = now
            self._send({"id": self.id, "progress": round(float(fraction), 4), "text": text})


class Lane:
    """A queue and its threads: requests of a lane begin in order, lanes run beside one another."""

    def __init__(self, name: str, threads: int, run: Callable[[Request, Method], None]) -> None:
        self._run = run
        self._waiting: deque[tuple[Request, Method]] = deque()
        self._condition = threading.Condition()
        self.running: list[Request] = []
        for _ in range(threads):
            threading.Thread(target=self._loop, name=name, daemon=True).start()

    def submit(self, request: Request, method: Method) -> None:
        """Queue a request."""
        with self._condition:
            self._waiting.append((request, method))
            self._condition.notify()

    def withdraw(self, unwanted: Callable[[Request], bool], code: str) -> list[Request]:
        """Take out what waits and is unwanted, tell what runs; returns the requests taken out."""
        with self._condition:
            withdrawn = [request for request, _ in self._waiting if unwanted(request)]
            self._waiting = deque(entry for entry in self._waiting if entry[0] not in withdrawn)
            for request in self.running:
                if unwanted(request):
                    request.stop(code)
        return withdrawn

    def busy(self) -> bool:
        """Whether a request waits or runs."""
        with self._condition:
            return bool(self._waiting or self.running)

    def _loop(self) -> None:
        while True:
            with self._condition:
                while not self._waiting:
                    self._condition.wait()
                request, method = self._waiting.popleft()
                self.running.append(request)
            self._run(request, method)
            with self._condition:
                self.running.remove(request)


class Server:
    """Answers requests of one client on a pair of pipes.

    Parameters
    ----------
    read, write
        The pipes; nothing else in the process may write to `write`.
    lanes
        name -> number of threads.
    methods
        name -> (lane, function). A function gets the :class:`Request`, returns the result, and may
        put one ndarray under "array"; FurrowError reaches the client as it is.
    """

    def __init__(
        self,
        read: BinaryIO,
        write: BinaryIO,
        lanes: dict[str, int],
        methods: dict[str, tuple[str, Method]],
    ) -> None:
        self._read = read
        self._write = write
        self._write_lock = threading.Lock()
        self._methods = methods
        self._arrays = SharedArrays()
        self._parent = os.getppid()
        self._loading = 0
        self._loading_lock = threading.Lock()
        self._lanes = {name: Lane(name, threads, self._answer) for name, threads in lanes.items()}
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def serve(self) -> None:
        """Answer until the client closes its end; ends the process."""
        for line in self._read:
            try:
                self._take(decode(line))
            except FurrowError as error:
                self.send({"event": "error", "code": error.code, "message": str(error)})
        self._end()

    def send(self, message: dict[str, Any]) -> None:
        """Write one message; a client that is gone ends the process."""
        line = encode(message)
        try:
            with self._write_lock:
                self._write.write(line)
                self._write.flush()
        except (OSError, ValueError):
            self._end()

    def warm_up(self, lane: str, work: Callable[[], None]) -> None:
        """Run `work` first on a lane, without a request; its failure shows when it is asked for."""

        def method(_request: Request) -> dict[str, Any]:
            with contextlib.suppress(FurrowError):
                work()
            return {}

        self._lanes[lane].submit(Request(lambda _message: None, -1, {}, None), method)

    def busy(self) -> bool:
        """Whether a request waits or runs."""
        return any(lane.busy() for lane in self._lanes.values())

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """Ask the client for patience while the block may hold every thread, the heartbeat too."""
        self._change_loading(+1)
        try:
            yield
        finally:
            self._change_loading(-1)

    def _change_loading(self, by: int) -> None:
        with self._loading_lock:
            self._loading += by
        self.send(self._alive())

    def _alive(self) -> dict[str, Any]:
        message: dict[str, Any] = {"event": "alive"}
        return message | {"patience": LOADING_S} if self._loading else message

    def _take(self, message: dict[str, Any]) -> None:
        """Act on one message of the client."""
        if "release" in message:
            self._arrays.release(str(message["release"]))
        elif "cancel" in message:
            number = message["cancel"]
            self._withdraw(lambda request: request.id == number, "cancelled")
        else:
            self._queue(message)

    def _queue(self, message: dict[str, Any]) -> None:
        number, name = message.get("id"), message.get("method")
        params, channel = message.get("params", {}), message.get("channel")
        if not isinstance(number, int) or not isinstance(params, dict):
            raise FurrowError("A request needs a number as id and named params.", "bad_message")
        if name not in self._methods:
            self._fail(number, "unknown_method", f'The backend has no method "{name}".')
            return
        if channel is not None:
            self._withdraw(lambda request: request.channel == channel, "superseded")
        lane, method = self._methods[name]
        self._lanes[lane].submit(Request(self.send, number, params, channel), method)

    def _withdraw(self, unwanted: Callable[[Request], bool], code: str) -> None:
        for lane in self._lanes.values():
            for request in lane.withdraw(unwanted, code):
                self._fail(request.id, code, _STOPPED[code])

    def _answer(self, request: Request, method: Method) -> None:
        """Run one request on its lane's thread and send its result or its error."""
        try:
            result = method(request)
            if request.cancelled():
                raise FurrowError(_STOPPED["cancelled"], "cancelled")
            array = result.get("array")
            if isinstance(array, np.ndarray):
                result = {**result, "array": self._arrays.send(array)}
            if request.id >= 0:
                self.send({"id": request.id, "result": result})
        except FurrowError as error:
            code = (
                request.stop_code if error.code == "cancelled" and request.stop_code else error.code
            )
            self._fail(request.id, code, _STOPPED.get(code, str(error)))
        except ModuleNotFoundError as error:
            text = f"{sys.executable} has no package {error.name}; install it, or choose another Python."
            self._fail(request.id, "engine_unavailable", text)
        except MemoryError:
            self._fail(request.id, "internal", "The backend has no memory left for this.")
        except Exception as error:  # a fault of ours: the log gets the traceback, people one line
            traceback.print_exc(file=sys.stderr)
            text = f"The backend failed: {type(error).__name__}: {error}"
            self._fail(request.id, "internal", text)

    def _fail(self, number: int, code: str, text: str) -> None:
        if number >= 0:
            text = " ".join(text.split())  # one line, whatever a library said
            self.send({"id": number, "error": {"code": code, "message": text}})

    def _beat(self) -> None:
        """Say that the process lives, from a thread of its own; notice that the parent is gone.

        The pipe alone does not tell: a fork of the parent that did not exec keeps it open.
        """
        while True:
            time.sleep(HEARTBEAT_S)
            if os.getppid() != self._parent:
                self._end()
            self.send(self._alive())

    def _end(self) -> None:
        """End the process now: no thread, no block of shared memory, no partial file stays."""
        for lane in self._lanes.values():
            lane.withdraw(lambda _request: True, "cancelled")
        until = time.monotonic() + END_GRACE_S
        current = threading.current_thread().name
        while time.monotonic() < until and any(
            len(lane.running) > (name == current) for name, lane in self._lanes.items()
        ):
            time.sleep(0.01)
        self._arrays.close()
        sys.stderr.flush()
        os._exit(0)  # a library call that does not return must not keep the process


_STOPPED = {
    "cancelled": "Cancelled.",
    "superseded": "A newer request took the place of this one.",
}
