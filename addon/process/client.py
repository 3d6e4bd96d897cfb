"""The add-on's end of the backend process: starts it, asks it, watches it, ends it. No bpy here.

Nothing here waits but :meth:`Client.call`, :meth:`Client.wait_ready` and :meth:`Client.stop`, and
`Pending.wait` and `Pending.result`: operators and timers ask `Pending.done()` and go on.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import queue
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...backend.errors import FurrowError
from ...backend.process.protocol import HEARTBEAT_S, PROTOCOL, SILENCE_S, decode, encode, receive
from .pending import Pending

LAUNCHER = Path(__file__).resolve().parents[2] / "backend" / "process" / "launch.py"

STOPPED, STARTING, READY, FAILED = "stopped", "starting", "ready", "failed"
START_LIMIT_S = 120.0
"""Unpacking wheels and importing PyTorch with CUDA from a cold disk take this long at worst."""

STOP_LIMIT_S = 2.0
RESTARTS = 3
"""Restarts without an answer in between; then, or if a start fails, start() has to be called."""

ATTEMPTS = 2
"""How often a request is sent. Every method reads, or writes a whole file, so a request may be asked
again of the next process if one dies; but not for ever, for it may be what kills them."""


class Client:
    """One backend process and its requests; safe to use from any thread.

    Parameters
    ----------
    python
        Interpreter to run it in; by default the one that runs this, in Blender Blender's own.
    arguments
        For backend/process/launch.py, such as ``["--wheels", DIR, "--unpack-to", DIR]``.
    on_message
        Called with each line for people (start, death, restart), from a thread of the client.
    launcher
        The file to start instead of backend/process/launch.py.

    Attributes
    ----------
    state
        "stopped", "starting", "ready" or "failed".
    info
        The content of ``ready``: version, pid, engine, device, perhaps problem.
    messages
        The last lines for people, the newest last.
    """

    def __init__(
        self,
        python: str | Path | None = None,
        arguments: Sequence[str] = (),
        on_message: Callable[[str], None] | None = None,
        launcher: str | Path = LAUNCHER,
    ) -> None:
        self.state = STOPPED
        self.info: dict[str, Any] = {}
        self.messages: deque[str] = deque(maxlen=50)
        self._command = [str(python or sys.executable), "-I", str(launcher), *map(str, arguments)]
        self._on_message = on_message
        self._lock = threading.RLock()
        self._pending: dict[int, Pending] = {}
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._log: Any = None
        self._restarts = 0
        self._silent_s = 0.0
        self._patience_s = SILENCE_S
        self._state_changed = threading.Condition(self._lock)
        _clients.add(self)

    def start(self) -> None:
        """Start the process without waiting for it; requests may be made at once."""
        with self._lock:
            if self._process is None:
                self._restarts = 0
                self._spawn()

    def request(
        self, method: str, params: dict[str, Any] | None = None, channel: str | None = None
    ) -> Pending:
        """Ask, without waiting. Starts the process if it is stopped, not if it has failed.

        Of requests on one channel, those that wait are dropped for the newest and end with the
        error ``superseded``; a map that is being computed is finished and delivered.
        """
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params or {}}
        if channel is not None:
            message["channel"] = channel
        pending = Pending(message, self._cancel)
        with self._lock:
            if self.state == STOPPED:
                self.start()
            self._pending[number] = pending
            if self.state == FAILED:  # a drag must not start it again and again: start() does
                del self._pending[number]
                pending.finish(None, FurrowError(self._last_message(), "backend_died"))
            elif self.state == READY:
                self._send(message)
        return pending

    def call(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        timeout: float | None = None,
        progress: Callable[[float, str], None] | None = None,
    ) -> dict[str, Any]:
        """Ask and wait for the result; for scripts, renders and tests.

        Parameters
        ----------
        method, params
            As in docs/backend.md.
        timeout
            Seconds; None waits as long as the process lives.
        progress
            Called with (fraction, text) from this thread.

        Raises
        ------
        FurrowError
            As :meth:`Pending.result`, and ``timeout``.
        """
        until = None if timeout is None else time.monotonic() + timeout
        pending = self.request(method, params)
        reported = pending.progress
        try:
            while not pending.wait(0.05):
                if progress is not None and pending.progress != reported:
                    reported = pending.progress
                    progress(*reported)
                if until is not None and time.monotonic() > until:
                    text = f"The backend did not finish {method} within {timeout:g} s."
                    raise FurrowError(text, "timeout")
        except BaseException:  # KeyboardInterrupt too
            pending.cancel()
            raise
        return pending.result()

    def wait_ready(self, timeout: float = START_LIMIT_S) -> None:
        """Start the process if need be and block until it is ready; raises FurrowError."""
        self.start()
        with self._state_changed:
            self._state_changed.wait_for(lambda: self.state in (READY, FAILED, STOPPED), timeout)
            if self.state != READY:
                raise FurrowError(self._last_message(), "backend_died")

    def stop(self) -> None:
        """End the process: closes its pipe, kills it after 2 s, and fails what is on its way."""
        with self._lock:
            process, self._process = self._process, None
            self._outbox.put(None)
            self._set_state(STOPPED)
            self._fail_pending("The backend was stopped.", "cancelled")
        if process is not None:
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # The process

    def _spawn(self) -> None:
        """Start a process and its threads; the lock is held."""
        self._silent_s = 0.0
        self._patience_s = SILENCE_S
        self._outbox = queue.SimpleQueue()
        self.info = {}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # read when the process has died
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            cause = error.strerror or str(error)
            self._give_up(f"The backend does not start: {self._command[0]}: {cause}.")
            return
        self._set_state(STARTING)
        process = self._process
        for target, more in ((self._read, ()), (self._write, (self._outbox,)), (self._watch, ())):
            name = f"furrow{target.__name__}"
            threading.Thread(target=target, args=(process, *more), name=name, daemon=True).start()

    def _write(
        self, process: subprocess.Popen[bytes], outbox: queue.SimpleQueue[bytes | None]
    ) -> None:
        """Write what is in the outbox: in a thread, for a process that hangs does not empty its pipe."""
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # broken: the reader sees to the death
            while (line := outbox.get()) is not None:
                process.stdin.write(line)
                process.stdin.flush()
        with contextlib.suppress(OSError):
            process.stdin.close()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        """Take messages until the process closes its end, then see to its death."""
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self._silent_s = 0.0
                try:
                    message = decode(line)
                except FurrowError as error:
                    self._say(str(error))
                    continue
                if "event" in message:
                    self._take_event(process, message)
                else:
                    self._take_answer(process, message)
        self._died(process)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Notice silence.

        Counts ticks instead of reading a clock: while Blender holds the interpreter's lock for
        seconds, or the machine sleeps, no time passes here either, and nobody is taken for dead.
        """
        tick = HEARTBEAT_S / 2
        while self._process is process:
            time.sleep(tick)
            self._silent_s += tick
            limit = self._patience_s if self.state == READY else START_LIMIT_S
            if self._silent_s >= limit:
                self._died(process, f"was silent for {limit:g} s")
                return

    def _died(self, process: subprocess.Popen[bytes], how: str = "") -> None:
        """Bury a process that we did not stop and start the next, unless that is hopeless."""
        with self._lock:
            if self._process is not process:
                return  # stopped by us, or the other thread was here first
            self._process = None
            self._outbox.put(None)
            text = f"The backend {how or _cause(process, self._log_tail)}"
            process.kill()
            process.wait()
            self._restarts += 1
            if self.state == STARTING:
                self._give_up(f"{text} before it was ready.")
                return
            if self._restarts > RESTARTS:
                self._give_up(f"{text}. It was restarted {RESTARTS} times in vain.")
                return
            self._say(f"{text}; it is being restarted.")
            error = FurrowError(f"{text} before this was done.", "backend_died")
            for number, pending in list(self._pending.items()):
                pending.attempts += 1
                if pending.attempts > ATTEMPTS:
                    del self._pending[number]
                    pending.finish(None, error)
            self._spawn()

    def _give_up(self, text: str) -> None:
        self._say(text)
        self._set_state(FAILED)
        self._fail_pending(text, "backend_died")

    def _log_tail(self) -> str:
        """Return the last line that the process logged, which is where Python says why it died."""
        with contextlib.suppress(OSError, ValueError):
            size = self._log.seek(0, 2)
            self._log.seek(max(0, size - 4096))
            lines = self._log.read().decode(errors="replace").strip().splitlines()
            return next((line for line in reversed(lines) if "resource_tracker" not in line), "")
        return ""

    # Messages

    def _send(self, message: dict[str, Any]) -> None:
        """Hand one message to the writer."""
        self._outbox.put(encode(message))

    def _take_event(self, process: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
        if message["event"] == "alive":
            self._patience_s = float(message.get("patience", SILENCE_S))
        if message["event"] in ("error", "message"):
            self._say(str(message.get("message")))
        if message["event"] != "ready":
            return
        with self._lock:
            if self._process is not process:
                return
            if message.get("protocol") != PROTOCOL:
                self._process = None
                process.kill()
                process.wait()
                self._give_up("The backend is of another version of Furrow. Restart Blender.")
                return
            self.info = message
            self._set_state(READY)
            self._say(f"The backend runs on {message.get('engine')} ({message.get('device')}).")
            if message.get("problem"):
                self._say(str(message["problem"]))
            for pending in list(self._pending.values()):  # asked before, or of a dead process
                self._send(pending.message)

    def _take_answer(self, process: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
        with self._lock:
            number = message.get("id")
            pending = self._pending.get(number) if isinstance(number, int) else None
            if "progress" in message:
                if pending is not None:
                    pending.progress = (float(message["progress"]), str(message.get("text", "")))
                return
            if isinstance(number, int):
                self._pending.pop(number, None)
            if self._process is process:
                self._restarts = 0
        if "error" in message:
            error = message["error"]
            if pending is not None:
                pending.finish(None, FurrowError(str(error["message"]), str(error["code"])))
            return
        result = dict(message.get("result", {}))
        failure: FurrowError | None = None
        if isinstance(result.get("array"), dict):
            name = result["array"].get("name")
            if pending is not None:
                try:
                    result["array"] = receive(result["array"])
                except FurrowError as error:
                    failure = error
            self._send({"release": name})
        if pending is not None:
            pending.finish(result, failure)

    def _cancel(self, pending: Pending) -> None:
        number = pending.message["id"]
        with self._lock:
            if self._pending.pop(number, None) is not None and self.state == READY:
                self._send({"cancel": number})

    def _fail_pending(self, text: str, code: str) -> None:
        with self._lock:
            waiting, self._pending = list(self._pending.values()), {}
        for pending in waiting:
            pending.finish(None, FurrowError(text, code))

    def _set_state(self, state: str) -> None:
        with self._state_changed:
            self.state = state
            self._state_changed.notify_all()

    def _say(self, text: str) -> None:
        self.messages.append(text)
        if self._on_message is not None:
            self._on_message(text)

    def _last_message(self) -> str:
        return self.messages[-1] if self.messages else "The backend does not run."


def _cause(process: subprocess.Popen[bytes], log_tail: Callable[[], str]) -> str:
    """Say in words why a process that closed its pipe has ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.5)
    code = process.returncode
    if code is not None and code < 0:
        return f"was killed (signal {-code})"
    tail = log_tail().rstrip(".") if code else ""
    return f"ended unexpectedly ({tail})" if tail else "ended unexpectedly"


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """End every process when the interpreter does, whoever forgot to."""
    for client in list(_clients):
        client.stop()
