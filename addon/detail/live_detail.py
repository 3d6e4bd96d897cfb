"""LIVE detail: the backend makes the map of what the sliders say now.

While a slider moves, or the timeline plays, maps are live ones, made in milliseconds (`backend.detail.live`);
once the hand rests, the exact map follows, and ends at once should the slider move again. Each head
has at most one request under way.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import bpy

from ...backend.errors import FurrowError
from ...backend.formats.identity import styles_request
from ..head import head_object
from ..process import jobs
from . import head_detail

TICK_SECONDS = 0.02
"""How long the window waits for a live map, so that skin and shape are drawn together."""

REST_SECONDS = 0.15
"""Without a change for so long, the hand rests: the exact map is asked for."""

WATCH_SECONDS = 2.0
"""After the last change poll() looks at the sliders for so long before each drawing of the window."""

EXACT_TIMEOUT = 120.0
"""Seconds that a render waits for a map; the first includes loading networks."""

SAVED_KEY = "furrow_map"
"""On the image: which map was packed."""

problems: dict[str, str] = {}
"""By head id, why its map could not be made; the panel shows it."""


@dataclass(frozen=True)
class _Asked:
    """A request under way: the key of its moment, whether a live map will do, and since when."""

    key: str
    live: bool
    pending: Any
    since: float


_asked: dict[str, _Asked] = {}  # by head id
_live: dict[str, str] = {}  # head id -> key of the live map in its image
_failed: dict[str, str] = {}  # head id -> key that the backend could not answer
_changed = 0.0  # when anything changed last
_paused = 0
_held = False
_by_hand = False


def map_request(
    obj: bpy.types.Object, resolution: int, depsgraph: bpy.types.Depsgraph | None = None
) -> dict[str, Any]:
    """What to ask the backend for the exact map of a head's identity and expression."""
    return {
        **styles_request(head_object.identity_of(obj), head_object.relief_of(obj)),
        "expression": head_object.expression_of(obj, depsgraph).tolist(),
        "resolution": resolution,
    }


def _moment(
    obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph | None = None
) -> tuple[str, dict[str, Any]]:
    """The request for the exact map of this moment, and a key that names it."""
    parameters = map_request(obj, int(obj.furrow.detail_resolution), depsgraph)
    return hashlib.blake2b(json.dumps(parameters).encode(), digest_size=16).hexdigest(), parameters


def polls() -> bool:
    """Whether Blender's timers run; without a window, renders ask for exact maps themselves."""
    return _by_hand or not bpy.app.background


@contextlib.contextmanager
def by_hand() -> Iterator[None]:
    """Without a window: live maps are asked for inside, and the caller runs poll() as the timer would."""
    global _by_hand
    _by_hand = True
    try:
        yield
    finally:
        _by_hand = False


def request(obj: bpy.types.Object, again: bool = False, wait: float = 0.0) -> None:
    """Ask for the live map of this moment, unless it is shown, on its way or has failed.

    Parameters
    ----------
    again
        Ask also if it is shown or has failed.
    wait
        Seconds from asking that the answer is waited for; later it is shown by :func:`poll`.
    """
    if not polls() or _paused or _held or not head_detail.is_live(obj):
        return
    head_id = obj.furrow.id
    if again:
        for known in (head_detail.exact, _live, _failed):
            known.pop(head_id, None)
    under_way = _asked.get(head_id)
    if under_way is not None and under_way.live:
        if not wait or not _arrives(under_way, wait):
            return  # poll() asks again when it returns
        _take(head_id)
    try:
        key, parameters = _moment(obj)
        if key in (head_detail.exact.get(head_id), _live.get(head_id), _failed.get(head_id)):
            return
        if under_way is not None and under_way.key == key:
            return
        _ask(obj, key, parameters, live=True)
    except FurrowError as error:
        problems[head_id] = str(error)
        return
    _watch()
    if wait and _arrives(_asked[head_id], wait):
        _take(head_id)


def _arrives(asked: _Asked, wait: float) -> bool:
    """Whether the answer is there `wait` seconds after it was asked for; waits so long."""
    return bool(asked.pending.wait(max(0.0, asked.since + wait - time.monotonic())))


def _ask(obj: bpy.types.Object, key: str, parameters: dict[str, Any], live: bool) -> None:
    head_id = obj.furrow.id
    parameters = parameters | ({"live": True} if live else {})
    pending = jobs.client().request("map", parameters, channel=f"head-{head_id}")
    _asked[head_id] = _Asked(key, live, pending, time.monotonic())


def _watch() -> None:
    """Have poll() run before the window is drawn, from now until nothing has changed for a while."""
    global _changed
    _changed = time.monotonic()
    if not bpy.app.timers.is_registered(poll):
        bpy.app.timers.register(poll, first_interval=0.0)


def poll() -> float | None:
    """Show what has arrived, ask for what has changed; runs on Blender's timer, on the main thread.

    Blender runs its timers after the events of the mouse and before it evaluates the scene: a map
    that is shown here costs no second evaluation.
    """
    if _held or bpy.app.is_job_running("RENDER"):
        return 0.0  # no image is written while a render reads it
    for head_id in [head_id for head_id, asked in _asked.items() if asked.pending.done()]:
        _take(head_id)
    for obj in head_object.all_heads():
        request(obj, wait=TICK_SECONDS)
    rests = time.monotonic() - _changed > REST_SECONDS
    for head_id in list(_live) if rests else ():
        _settle(head_id)
    watched = time.monotonic() - _changed < WATCH_SECONDS
    return 0.0 if _asked or _live or watched else None


def _take(head_id: str) -> None:
    """Show the answer that has arrived."""
    asked = _asked.pop(head_id)
    obj = head_object.by_id(head_id)
    if obj is None or not head_detail.is_live(obj):
        return
    before = state_text(obj)
    try:
        result = asked.pending.result()
        exact = bool(result["exact"])
        if not asked.live and asked.key != _moment(obj)[0]:
            return  # a live map of the new moment comes
        head_detail.show_map(obj, result["array"], asked.key if exact else None)
    except FurrowError as error:
        if error.code not in {"superseded", "cancelled"}:
            _failed[head_id] = asked.key
            problems[head_id] = str(error)
    else:
        _live.pop(head_id, None)
        if not exact:
            _live[head_id] = asked.key
        problems.pop(head_id, None)
    if state_text(obj) != before or head_id in problems:
        jobs.redraw_panels()


def _settle(head_id: str) -> None:
    """Ask for the exact map of a head that shows a live one."""
    obj = head_object.by_id(head_id)
    if obj is None or not head_detail.is_live(obj):
        del _live[head_id]
    elif head_id not in _asked:
        try:
            key, parameters = _moment(obj)
            if key == _failed.get(head_id):
                del _live[head_id]
                return
            _ask(obj, key, parameters, live=False)
        except FurrowError as error:
            problems[head_id] = str(error)
            del _live[head_id]


def exact_map(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph | None = None) -> None:
    """Wait until the head's image holds the exact map of this moment.

    Parameters
    ----------
    depsgraph
        Where the moment is evaluated; a render has a graph of its own.

    Raises
    ------
    FurrowError
        If the backend cannot make it.
    """
    key, parameters = _moment(obj, depsgraph)
    head_id = obj.furrow.id
    if head_detail.exact.get(head_id) == key:
        return
    if obj.library is not None:
        raise FurrowError(
            f'"{obj.name}" is linked and its detail is live: bake it in its own file first.'
        )
    result = jobs.client().call("map", parameters, timeout=EXACT_TIMEOUT)
    head_detail.show_map(obj, result["array"], key)
    _live.pop(head_id, None)
    problems.pop(head_id, None)


def is_current(obj: bpy.types.Object) -> bool:
    """Whether the head's image holds the map, live or exact, of this moment."""
    return _moment(obj)[0] in (head_detail.exact.get(obj.furrow.id), _live.get(obj.furrow.id))


def state_text(obj: bpy.types.Object) -> str:
    """What the panel says about the live detail of this head."""
    head_id = obj.furrow.id
    if not head_detail.is_live(obj):
        return "Not set up; press Refresh"
    if head_id in _asked or head_id in _live:
        return "Updating ..."
    return "Up to date" if head_id in head_detail.exact else "Waiting for the backend"


# ------------------------------------------------------------------------- saving, loading, pauses


def pack(obj: bpy.types.Object) -> None:
    """Pack the live image, with the name of the exact map that it holds, before the file is saved."""
    image = obj.furrow.live_texture.image
    image[SAVED_KEY] = head_detail.exact.get(obj.furrow.id, "")
    if image.is_dirty or image.packed_file is None:
        image.pack()


def adopt(obj: bpy.types.Object) -> None:
    """After loading: a packed map that is the exact one needs no backend; else ask for it."""
    image = obj.furrow.live_texture.image
    if image.packed_file is not None and image.get(SAVED_KEY) == _moment(obj)[0]:
        head_detail.exact[obj.furrow.id] = image[SAVED_KEY]
    else:
        request(obj)


def forget(keep_requests: bool = False) -> None:
    """Trust no image any more; after undo and redo, requests under way may go on."""
    for known in (head_detail.exact, _live, _failed, problems):
        known.clear()
    if not keep_requests:
        for asked in _asked.values():
            asked.pending.cancel()
        _asked.clear()


def hold(held: bool) -> None:
    """While held, poll() writes no image and request() asks for none: a render is reading them."""
    global _held
    _held = held


def is_held() -> bool:
    """Whether a render is reading the images."""
    return _held


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """No live requests inside, as while a bake moves through the frames."""
    global _paused
    _paused += 1
    try:
        yield
    finally:
        _paused -= 1


def is_paused() -> bool:
    """Whether live maps are paused."""
    return _paused > 0
