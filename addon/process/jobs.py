"""The backend process of this Blender session, and jobs that run without stopping the window."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import bpy

from ...backend.detail.engines.kinds import KINDS
from ...backend.errors import FurrowError
from ...backend.formats.expressions import EXPRESSIONS
from ...backend.formats.identity import Identity
from ..package import PACKAGE
from .preferences import preferences

if TYPE_CHECKING:
    from .client import Client

ROOT = Path(__file__).resolve().parents[2]

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
    if preferences().networks:
        arguments += ["--networks", preferences().networks]
    if not own_python():
        return arguments
    wheels = ROOT / "wheels"
    if wheels.is_dir():
        arguments += ["--wheels", str(wheels), "--unpack-to", str(folder)]
    if openvino := accelerator.installed(folder):
        arguments += ["--site-packages", str(openvino)]
    return arguments


def user_folder(create: bool = True) -> Path:
    """The folder that Blender gives to this extension; in development, a folder of its configuration.

    Parameters
    ----------
    create
        Whether to make it where it is absent.
    """
    try:
        return Path(bpy.utils.extension_path_user(PACKAGE, create=create))
    except ValueError:  # not installed as an extension
        return Path(bpy.utils.user_resource("CONFIG", path="furrow", create=create))


def state_lines() -> list[str]:
    """The state of the backend for people."""
    if _client is None:
        return ["Not running; it starts when it is needed"]
    words = {"starting": "Starting ...", "ready": "Ready", "failed": "Failed", "stopped": "Stopped"}
    lines = [words[_client.state]]
    if _client.info.get("engine"):
        lines.append(f"{KINDS[_client.info['kind']].title} on {_client.info['device']}")
    return lines


def examine(
    client: Client,
    person: Callable[[], Identity],
    progress: Callable[[float, str], None],
    cancelled: Callable[[], bool],
) -> tuple[bool, list[str]]:
    """Whether the backend makes a map of a person, and what there is to say about it; touches no bpy."""
    progress(0.1, "Starting the backend")
    try:
        client.wait_ready()
        status = client.call("status", timeout=60)
    except FurrowError as error:
        return False, [str(error)]
    progress(0.5, "Making a map")
    identity = person().request()
    start = time.perf_counter()
    pending = client.request(
        "map", {"identity": identity, "expression": [0.0] * len(EXPRESSIONS), "resolution": 512}
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
        kind, text = engine["kind"], engine["reason"] or engine["note"] or engine["device"]
        speed = f", {speeds[kind]:.0f} ms an exact map" if kind in speeds else ""
        lines.append(f"{engine['name']}: {text}{speed}")
    for model in status["models"]:
        lines.append(f"{model['name']}: {model['bytes'] / 1e6:.1f} MB, {model['sha256'][:12]}")
    lines += [f"{name} {version}" for name, version in status["versions"].items()]
    return lines


def redraw_panels() -> None:
    """Draw the sidebars again, since a state that they show has changed."""
    manager = bpy.context.window_manager
    for window in manager.windows if manager is not None else ():
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


class Job(Protocol):
    """Work that runs elsewhere: a request to the process (`Pending`), or a :class:`Background`."""

    progress: tuple[float, str]

    def done(self) -> bool:
        """Whether there is a result or an error."""

    def wait(self, seconds: float | None = None) -> bool:
        """Block until it is done or `seconds` have passed; returns done()."""

    def cancel(self) -> None:
        """Ask it to end."""

    def result(self) -> Any:
        """Its result, once done; raises its error."""


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
        """Whether the function has returned or raised."""
        return not self._thread.is_alive()

    def wait(self, seconds: float | None = None) -> bool:
        """Block until it is done or `seconds` have passed; returns done()."""
        self._thread.join(seconds)
        return self.done()

    def cancel(self) -> None:
        """Let `cancelled` be true from now on; the function ends when it asks."""
        self._cancelled.set()

    def result(self) -> Any:
        """What the function returned, once done; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result
