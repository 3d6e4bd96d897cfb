"""What lies on this computer's disk and panels show: read beside their drawing, never in it.

Read when Furrow is registered, when it has added or removed something, and, while panels are drawn in a
window, at most every five seconds by a timer: the backend measures its engines when it is idle.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import bpy

from ...backend.detail.engines import engine_speed, network_files
from ...backend.detail.engines.kinds import KINDS
from ...backend.process import accelerator
from ..process import jobs
from ..process.preferences import preferences

STALE_SECONDS = 5.0
"""How old what panels show may be."""


@dataclass(frozen=True)
class Installation:
    """What was found.

    Attributes
    ----------
    speeds
        Lines on how fast each engine measured itself, and when.
    has_openvino
        Whether OpenVINO was added.
    has_directions
        Whether the networks came with directions of W+, so that the skin has sliders.
    """

    speeds: tuple[str, ...] = ()
    has_openvino: bool = False
    has_directions: bool = True


_last = Installation()
_read_at = 0.0


def current() -> Installation:
    """What was read last; a window has a stale one read again after the drawing."""
    stale = time.monotonic() - _read_at > STALE_SECONDS
    if stale and not bpy.app.background and not bpy.app.timers.is_registered(_refresh):
        bpy.app.timers.register(_refresh, first_interval=0.0)
    return _last


def read() -> None:
    """Read the disk now."""
    global _last, _read_at
    _last, _read_at = _read(), time.monotonic()


def _refresh() -> None:
    """Read the disk, and draw the panels again if something there has changed."""
    before = _last
    read()
    if _last != before:
        jobs.redraw_panels()


def _read() -> Installation:
    folder = jobs.user_folder(create=False)
    speeds = {k: v for k, v in engine_speed.read(folder).items() if k in KINDS}
    days = {speed.measured for speed in speeds.values()}
    lines = [
        f"{KINDS[kind].title}: {speed.exact_ms:.0f} ms a map" for kind, speed in speeds.items()
    ]
    lines += [f"Measured on {max(days)}"] if days else []
    networks = Path(preferences().networks or network_files.DETAIL)
    return Installation(
        speeds=tuple(lines),
        has_openvino=accelerator.installed(folder) is not None,
        has_directions=(networks / network_files.DIRECTIONS).is_file(),
    )


def register() -> None:
    read()


def unregister() -> None:
    if bpy.app.timers.is_registered(_refresh):
        bpy.app.timers.unregister(_refresh)
