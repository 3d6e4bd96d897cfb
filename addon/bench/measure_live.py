"""What `furrow bench` measures of the live loop: in the backend process, and in Blender's viewport."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import bpy
import numpy as np

from ...backend.errors import FurrowError
from ...backend.formats.expressions import EXPRESSIONS
from ...backend.formats.figures import Figure
from ...backend.formats.maps import RESOLUTIONS
from ...commands.timing import latency, timed
from ..detail import detail_modes, live_mode, live_updates, portable_mode
from ..detail.live_session import session
from ..head import head_object, head_state, typed
from ..process import jobs
from ..process.client import Client
from . import memory

PERSON = 7
"""Seed of the head that is measured: one with wrinkles."""

AIMED_VERTICES = 80_000
"""Between the subdivisions 1 and 2 of the head."""

LIMIT_S = 20.0
"""What a map may take at most; then something is broken."""

STARTS = 3

SETTLING = 3
"""Frames that are not counted after a change of settings."""


def backend(runs: int) -> list[Figure]:
    """The process alone: its start, and from a request to an array of a map in this process."""
    arguments = ["--engine", "ort"]  # no folder: engines are not measured meanwhile
    starts, firsts = [], []
    for _ in range(min(STARTS, runs)):
        client = Client(jobs.python(), arguments)
        begin = time.perf_counter()
        client.start()
        client.wait_ready()
        starts.append(time.perf_counter() - begin)
        _map(client, _request(0, RESOLUTIONS[-1], live=False))
        firsts.append(time.perf_counter() - begin)
        client.stop()
    client = Client(jobs.python(), arguments)
    client.start()
    _map(client, _request(0, RESOLUTIONS[-1], live=False))
    figures = [
        Figure("backend_start_s", statistics.median(starts), "s"),
        Figure("backend_first_map_s", statistics.median(firsts), "s"),
    ]
    for size in RESOLUTIONS:
        figures += latency(f"tick_backend_{size}", _asked(client, 4 * runs, size, live=True))
    figures += latency("exact_backend_1024", _asked(client, runs, RESOLUTIONS[-1], live=False))
    client.stop()
    return figures


def _asked(client: Client, runs: int, resolution: int, live: bool) -> list[float]:
    """Seconds from a request to the array, of maps that all differ; the first is not counted."""
    requests = [_request(1 + number, resolution, live) for number in range(1 + runs)]
    return timed(lambda number: _map(client, requests[number]), len(requests))[1:]


def _request(number: int, resolution: int, live: bool) -> dict[str, Any]:
    random = np.random.default_rng((number, live))
    # As many shapes as a face uses at once.
    expression = random.random(len(EXPRESSIONS)) * (random.random(len(EXPRESSIONS)) < 0.2)
    return {
        "identity": head_object.head().average().request(),
        "expression": expression.tolist(),
        "resolution": resolution,
        "live": live,
    }


def _map(client: Client, params: dict[str, Any]) -> None:
    """Ask for a map and wait until its array is here."""
    pending = client.request("map", params, channel="bench")
    if not pending.wait(LIMIT_S):
        raise FurrowError(f"A map took more than {LIMIT_S:g} s.", "timeout")
    result = pending.result()
    if result["exact"] == params["live"] or len(result["array"]) != params["resolution"]:
        raise FurrowError("The backend answered with another map than was asked for.", "internal")


def viewport(runs: int) -> list[Figure]:
    """From a slider to the evaluated mesh, for each viewport mode, and a change of identity."""
    obj = _head()
    figures = [Figure("head_vertices", len(_evaluated(obj).vertices), "vertices")]
    with session.by_hand():
        live_updates.request(obj)
        _settle(obj)
        figures += _ticks(obj, "tick_shaded", "SHADED", 0, runs)
        figures += _identity(obj, max(3, 2 * runs // 3))
        levels = {}
        for level in (1, 2):
            name = f"tick_displaced_level{level}"
            ticks = _ticks(obj, name, "DISPLACED", level, runs)
            vertices = len(_evaluated(obj).vertices)
            levels[vertices] = ticks[0].value
            figures += [*ticks, Figure(f"{name}_vertices", vertices, "vertices")]
        figures.append(_at_aimed_vertices(levels))
    return figures + memory.peaks()


def portable(runs: int) -> list[Figure]:
    """A portable head: making its basis, a frame of it, and a frame of the head without any detail."""
    obj = _head()
    begin = time.perf_counter()
    basis = jobs.client().call("wrinkle_basis", portable_mode.request(obj), timeout=600.0)
    detail_modes.make_portable(obj, basis)
    figures = [Figure("portable_make_s", time.perf_counter() - begin, "s")]
    jobs.stop()  # frames need no backend, and get the machine for themselves
    key = typed.keys(obj).key_blocks["browInnerUp"]

    def frame(number: int) -> None:
        key.value = _value(number)
        _evaluated(obj)

    for name, has_detail in (("portable", True), ("plain", False)):
        typed.properties(obj).detail_enabled = has_detail
        for level in (0, 1, 2):
            typed.properties(obj).detail_viewport_levels = level
            seconds = timed(frame, runs + SETTLING)[SETTLING:]
            figures += latency(f"{name}_frame_level{level}", seconds)
    return figures


def _head() -> bpy.types.Object:
    """A head with detail at 1024 texels, and a backend that is ready."""
    obj = head_object.create_head(head_object.head().random(PERSON))
    settings = typed.properties(obj)
    settings.detail_resolution, settings.detail_viewport_levels = str(RESOLUTIONS[-1]), 0
    detail_modes.attach(obj)
    jobs.client().wait_ready()
    return obj


def _at_aimed_vertices(levels: dict[int, float]) -> Figure:
    """Between the two subdivisions, linear in the vertices: no level has this many."""
    milliseconds = float(np.interp(AIMED_VERTICES, list(levels), list(levels.values())))
    return Figure("tick_displaced_ms", milliseconds, "ms")


def _ticks(obj: bpy.types.Object, name: str, mode: str, level: int, runs: int) -> list[Figure]:
    """From the value of a shape key to the evaluated mesh, with the map of that value."""
    settings = typed.properties(obj)
    settings.detail_viewport_levels, settings.detail_viewport = level, mode
    _evaluated(obj)
    _settle(obj)
    key = typed.keys(obj).key_blocks["browInnerUp"]

    def tick(number: int) -> None:
        key.value = _value(number)
        live_updates.poll()  # the window's timer would run it now
        _evaluated(obj)
        while not live_updates.is_current(obj):  # the map took longer than poll() waits
            live_updates.poll()
            _evaluated(obj)

    return latency(name, timed(tick, runs + SETTLING)[SETTLING:])


def _identity(obj: bpy.types.Object, runs: int) -> list[Figure]:
    """From a slider of the identity to the new head, with its live map, and with its exact one."""
    slider = typed.properties(obj).directions[0]
    written, live, exact = [], [], []
    for number in range(runs):
        begin = time.perf_counter()
        slider.value = _value(number)  # writes Basis and the shape keys
        written.append(time.perf_counter() - begin)
        live_updates.poll()
        _wait(lambda: live_updates.is_current(obj))
        _evaluated(obj)
        live.append(time.perf_counter() - begin)
        _settle(obj)
        exact.append(time.perf_counter() - begin)
    return [
        *latency("identity_mesh", written),
        *latency("identity_live", live),
        *latency("identity_exact", exact),
    ]


def _value(number: int) -> float:
    """A weight that differs from the one before."""
    return 0.1 + 0.8 * ((37 * number) % 100) / 100


def _evaluated(obj: bpy.types.Object) -> bpy.types.Mesh:
    """The mesh as the viewport shows it now."""
    return typed.mesh(obj.evaluated_get(bpy.context.evaluated_depsgraph_get()))


def _settle(obj: bpy.types.Object) -> None:
    """Wait until the exact map is shown."""
    _wait(lambda: live_mode.state_text(obj) == "Up to date")


def _wait(done: Callable[[], bool]) -> None:
    """Run the live loop until `done`, as the window's timer would."""
    end = time.monotonic() + LIMIT_S
    while not done():
        live_updates.poll()
        failures = [state.failure for _, state in head_state.items() if state.failure is not None]
        if failures or time.monotonic() > end:
            problem = failures[0].message if failures else f"no answer in {LIMIT_S:g} s"
            raise FurrowError(f"The live loop made no map: {problem}", "internal")
        time.sleep(0.001)
