"""The backend process of this Blender session, and jobs that run without stopping the window."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ...backend.detail.engines import engines
from ...backend.errors import FurrowError
from ...backend.formats.expressions import EXPRESSIONS
from .. import PACKAGE
from ..head.head_object import head
from ..interface.preferences import preferences

if TYPE_CHECKING:
    from .client import Client

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.1

_client: Client | None = None


def client() -> Client:
    """The backend of this session; started on the first call, which does not wait for it."""
    from .client import Client  # here: what it imports would slow Blender's start

    global _client
    if _client is None:
        _client = Client(python(), launch_arguments())
        _client.start()
    return _client


def running() -> Client | None:
    """The backend if it has been started, else None."""
    return _client


def stop() -> None:
    """End the backend process; the next request starts a new one."""
    global _client
    if _client is not None:
        _client.stop()
        _client = None


def python() -> str:
    """The Python that runs the backend: the preferences', else FURROW_PYTHON, else Blender's own."""
    return preferences().python or os.environ.get("FURROW_PYTHON") or sys.executable


def own_python() -> bool:
    """Whether the backend runs in Blender's own Python."""
    return not (preferences().python or os.environ.get("FURROW_PYTHON"))


def launch_arguments() -> list[str]:
    """Arguments of backend/process/launch.py, which the preferences and what was added decide."""
    from ...backend.process import accelerator

    folder = user_folder()
    arguments = ["--engine", preferences().engine, "--user-folder", str(folder)]
    if not own_python():
        return arguments
    wheels = ROOT / "wheels"
    if wheels.is_dir():
        arguments += ["--wheels", str(wheels), "--unpack-to", str(folder)]
    if openvino := accelerator.installed(folder):
        arguments += ["--site-packages", str(openvino)]
    return arguments


def user_folder() -> Path:
    """The folder that Blender gives to this extension; in development, a folder of its cache."""
    try:
        return Path(bpy.utils.extension_path_user(PACKAGE, create=True))
    except ValueError:  # not installed as an extension
        folder = Path(bpy.utils.user_resource("CONFIG", path="furrow", create=True))
        return folder


def state_lines() -> list[str]:
    """The state of the backend for people."""
    if _client is None:
        return ["Not running; it starts when it is needed"]
    words = {"starting": "Starting ...", "ready": "Ready", "failed": "Failed", "stopped": "Stopped"}
    lines = [words[_client.state]]
    if _client.info.get("engine"):
        lines.append(f"{engines.TITLES[_client.info['kind']]} on {_client.info['device']}")
    return lines


def examine(
    client: Client, progress: Callable[[float, str], None], cancelled: Callable[[], bool]
) -> tuple[bool, list[str]]:
    """Whether the backend makes maps, and what there is to say about it; touches no bpy."""
    progress(0.1, "Starting the backend")
    try:
        client.wait_ready()
        status = client.call("status", timeout=60)
    except FurrowError as error:
        return False, [str(error)]
    progress(0.5, "Making a map")
    average = head().average().request()
    start = time.perf_counter()
    pending = client.request(
        "map", {"identity": average, "expression": [0.0] * len(EXPRESSIONS), "resolution": 512}
    )
    while not pending.wait(0.1):
        if cancelled():
            pending.cancel()
    try:
        pending.result()
    except FurrowError as error:
        return False, [str(error), *readable(status)]
    took = 1000 * (time.perf_counter() - start)
    return True, [f"A map of 512 pixels took {took:.0f} ms", *readable(status)]


def readable(status: dict[str, Any]) -> list[str]:
    """The result of the method ``status`` as lines for people."""
    lines = [
        f"Furrow {status['version']}, Python {status['versions']['python']}",
        f"Engine: {status['engine']} on {status['device']}"
        if status["engine"]
        else f"No engine: {status['problem']}",
        f"Memory of the backend: {status['memory_bytes'] / 1e6:.0f} MB",
    ]
    if status.get("why"):
        lines.append(f"Why: {status['why']}")
    speeds = status.get("exact_ms", {})
    for engine in status["available"]:
        kind, found = engine["kind"], engine["reason"] or engine["note"] or engine["device"]
        speed = f", {speeds[kind]:.0f} ms an exact map" if kind in speeds else ""
        lines.append(f"{engine['name']}: {found}{speed}")
    for model in status["models"]:
        lines.append(f"{model['name']}: {model['bytes'] / 1e6:.1f} MB, {model['sha256'][:12]}")
    lines += [f"{name} {version}" for name, version in status["versions"].items()]
    return lines


def redraw_panels() -> None:
    """Draw the sidebars again, since a state that they show has changed."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


class Background:
    """A function of the backend's rooms in a thread, polled like a request to the process.

    Parameters
    ----------
    function
        Called with `progress` and `cancelled` besides `arguments`; must not touch bpy.
    """

    def __init__(self, function: Callable[..., Any], **arguments: Any) -> None:
        self.progress: tuple[float, str] = (0.0, "")
        self._cancelled = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, args=(function, arguments), name="furrow-job", daemon=True
        )
        self._thread.start()

    def _run(self, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
        try:
            self._result = function(
                **arguments, progress=self._report, cancelled=self._cancelled.is_set
            )
        except BaseException as error:  # carried to result(), on the main thread
            self._error = error

    def _report(self, fraction: float, text: str) -> None:
        self.progress = (fraction, text)

    def done(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, seconds: float | None = None) -> bool:
        """Block until it is done or `seconds` have passed; returns done()."""
        self._thread.join(seconds)
        return self.done()

    def cancel(self) -> None:
        self._cancelled.set()

    def result(self) -> Any:
        """What the function returned, once done; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result


class JobOperator:
    """Mixin of operators whose long part runs elsewhere while the window lives.

    `begin(context)` returns a request or a :class:`Background`; `commit(context, result)` writes its
    result into Blender. With a window the operator is modal, with a progress bar, and Esc cancels;
    without one it waits. Datablocks are kept by name between the two, since undo frees them.
    """

    _job: Any = None
    _timer: bpy.types.Timer | None = None

    def begin(self, context: bpy.types.Context) -> Any:
        raise NotImplementedError

    def commit(self, context: bpy.types.Context, result: Any) -> None:
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Wait for the job; operators that choose a file first call run_modal() here instead."""
        return self.run_blocking(context)

    def run_blocking(self, context: bpy.types.Context) -> set[str]:
        try:
            job = self.begin(context)
            job.wait()
            self.commit(context, job.result())
        except FurrowError as error:
            self.report({"ERROR"}, str(error))  # type: ignore[attr-defined]
            return {"CANCELLED"}
        return {"FINISHED"}

    def run_modal(self, context: bpy.types.Context) -> set[str]:
        """Call from invoke(), or from execute() after a file was chosen."""
        if bpy.app.background:
            return self.run_blocking(context)
        try:
            self._job = self.begin(context)
        except FurrowError as error:
            self.report({"ERROR"}, str(error))  # type: ignore[attr-defined]
            return {"CANCELLED"}
        manager = context.window_manager
        manager.progress_begin(0, 100)
        self._timer = manager.event_timer_add(POLL_SECONDS, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS":
            self._job.cancel()
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        fraction, text = self._job.progress or (0.0, "")
        context.window_manager.progress_update(100 * fraction)
        context.workspace.status_text_set(f"{text} {100 * fraction:.0f} %   (Esc cancels)")
        if not self._job.done():
            return {"PASS_THROUGH"}
        self._end(context)
        try:
            self.commit(context, self._job.result())
        except FurrowError as error:
            kind = "INFO" if error.code == "cancelled" else "ERROR"
            self.report({kind}, str(error))  # type: ignore[attr-defined]
            return {"CANCELLED"}
        return {"FINISHED"}

    def cancel(self, context: bpy.types.Context) -> None:
        if self._job is not None:
            self._job.cancel()
            self._end(context)

    def _end(self, context: bpy.types.Context) -> None:
        context.window_manager.progress_end()
        context.window_manager.event_timer_remove(self._timer)
        context.workspace.status_text_set(None)
