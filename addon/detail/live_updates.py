"""Live maps follow the sliders: asked for, waited for within a tick, shown.

While a slider moves, or the timeline plays, maps are live ones, made in milliseconds
(`backend.detail.live`); once the hand rests, the exact map follows, and ends at once should the slider
move again. Each head has at most one request on its way; what is known of it is in `head_state`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import bpy

from ...backend.errors import FurrowError
from ..head import head_object, head_state
from ..head.head_state import Failure, HeadState, ImageMap, MapRequest
from ..process import jobs
from . import live_mode, moment
from .live_session import session
from .moment import Moment

TICK_SECONDS = 0.02
"""How long the window waits for live maps, those of all heads together, so that skin and shape are
drawn together."""

REST_SECONDS = 0.15
"""Without a change for so long, the hand rests: the exact map is asked for."""

WATCH_SECONDS = 2.0
"""After the last change poll() looks at the sliders for so long before each drawing of the window."""

EXACT_TIMEOUT = 120.0
"""Seconds that a render waits for a map; the first includes loading networks."""


def update(heads: Iterable[bpy.types.Object]) -> None:
    """Bring heads to the live maps of this moment: ask for all, wait once, show what arrives.

    The wait is no longer than a tick, however many heads there are; later maps are shown by
    :func:`poll`.
    """
    if not session.is_live():
        return
    until = time.monotonic() + TICK_SECONDS
    following = [(head, head_state.of(head)) for head in heads if live_mode.is_shown(head)]
    earlier = [(head, state) for head, state in following if _awaits_live(state)]
    for head, state in following:
        _ask_live(head, state)
    for head, state in following:
        _show_in_time(head, state, until)
    for head, state in earlier:  # what has arrived may be of the moment before
        _ask_live(head, state)
    for head, state in earlier:
        _show_in_time(head, state, until)


def request(obj: bpy.types.Object, again: bool = False) -> None:
    """Ask for the live map of this moment, unless it is shown, on its way or has failed; does not wait.

    Parameters
    ----------
    again
        Ask also if it is shown or has failed.
    """
    if not session.is_live() or not live_mode.is_shown(obj):
        return
    state = head_state.of(obj)
    if again:
        state.image_map = None
        state.retry()
    _ask_live(obj, state)


def _awaits_live(state: HeadState) -> bool:
    return state.request is not None and not state.request.exact


def _ask_live(obj: bpy.types.Object, state: HeadState) -> None:
    """Ask for the live map of this moment; while one is on its way poll() asks again when it is here."""
    if _awaits_live(state):
        return
    try:
        now = moment.of(obj)
        if state.failure is not None and state.failure.key != now.key:
            state.retry()  # should the slider come back to what failed
        if not state.needs(now.key):
            return
        state.request = _send(obj, now, exact=False)
    except FurrowError as error:
        state.failure = Failure(None, str(error))
        return
    _watch()


def _send(obj: bpy.types.Object, now: Moment, exact: bool) -> MapRequest:
    parameters = now.parameters if exact else now.parameters | {"live": True}
    channel = f"head-{obj.furrow.id}"
    pending = jobs.client().request("map", parameters, channel=channel)
    return MapRequest(now.key, exact, pending, time.monotonic())


def _show_in_time(obj: bpy.types.Object, state: HeadState, until: float) -> None:
    """Show the live map if it arrives before `until`, and within a tick from asking for it."""
    if state.request is None or state.request.exact:
        return
    limit = min(until, state.request.since + TICK_SECONDS)
    if state.request.pending.wait(max(0.0, limit - time.monotonic())):
        _show(obj, state)


def _watch() -> None:
    """Have poll() run before the window is drawn, from now until nothing has changed for a while."""
    session.last_change = time.monotonic()
    if not bpy.app.background and not bpy.app.timers.is_registered(poll):
        bpy.app.timers.register(poll, first_interval=0.0)


def poll() -> float | None:
    """Show what has arrived, ask for what has changed; runs on Blender's timer, on the main thread.

    Blender runs its timers after the events of the mouse and before it evaluates the scene: a map
    that is shown here costs no second evaluation.
    """
    if session.rendering or bpy.app.is_job_running("RENDER"):
        return 0.0  # no image is written while a render reads it
    for head_id, state in head_state.items():
        if state.request is not None and state.request.pending.done():
            _show(_shown_head(head_id), state)
    update(head_object.all_heads())
    states = head_state.items()
    if session.rested() > REST_SECONDS:
        for head_id, state in states:
            if state.settling and state.request is None:
                _ask_exact(_shown_head(head_id), state)
    busy = any(state.request is not None or state.settling for _, state in states)
    return 0.0 if busy or session.rested() < WATCH_SECONDS else None


def _shown_head(head_id: str) -> bpy.types.Object | None:
    """The head with this id, if it still shows live maps."""
    obj = head_object.by_id(head_id)
    return obj if obj is not None and live_mode.is_shown(obj) else None


def _show(obj: bpy.types.Object | None, state: HeadState) -> None:
    """Show the answer that has arrived; nothing if the head is gone or has another mode."""
    answer, before = state.request, state.progress
    state.request = None
    if answer is None or obj is None:
        return
    try:
        result = answer.pending.result()
        if answer.exact and answer.key != moment.of(obj).key:
            return  # a live map of the new moment comes
        image_map = ImageMap(answer.key, bool(result["exact"]))
        live_mode.show_map(obj, result["array"], image_map)
        state.failure = None
    except FurrowError as error:
        if error.code not in {"superseded", "cancelled"}:
            state.failure = Failure(answer.key, str(error))
    if state.progress != before or state.failure is not None:
        jobs.redraw_panels()


def _ask_exact(obj: bpy.types.Object | None, state: HeadState) -> None:
    """Ask for the exact map of a head that shows a live one."""
    if obj is None:
        state.image_map = None
        return
    try:
        state.request = _send(obj, moment.of(obj), exact=True)
    except FurrowError as error:
        state.image_map, state.failure = None, Failure(None, str(error))


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
    now, state = moment.of(obj, depsgraph), head_state.of(obj)
    exact = ImageMap(now.key, exact=True)
    if state.image_map == exact:
        return
    if obj.library is not None:
        raise FurrowError(
            f'"{obj.name}" is linked and its detail is live: bake it in its own file first.'
        )
    result = jobs.client().call("map", now.parameters, timeout=EXACT_TIMEOUT)
    live_mode.show_map(obj, result["array"], exact)
    state.failure = None


def is_current(obj: bpy.types.Object) -> bool:
    """Whether the head's image holds the map, live or exact, of this moment."""
    image_map = head_state.of(obj).image_map
    return image_map is not None and image_map.key == moment.of(obj).key


def adopt(obj: bpy.types.Object) -> None:
    """After loading: a packed map that is the exact one of this moment needs no backend; else ask."""
    key = live_mode.packed_key(obj)
    if key and key == moment.of(obj).key:
        head_state.of(obj).image_map = ImageMap(key, exact=True)
    else:
        request(obj)


def stop() -> None:
    """Take the timer back: when a file is opened Blender drops it, but not what it holds."""
    if bpy.app.timers.is_registered(poll):
        bpy.app.timers.unregister(poll)
