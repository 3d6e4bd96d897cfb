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
from ..head.head_state import Failure, HeadState, MapRequest, ShownMap
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
    until = time.monotonic() + TICK_SECONDS
    following = [head for head in heads if follows(head)]
    earlier = [head for head in following if _awaits_live(head)]
    for head in following:
        _ask_live(head)
    for head in following:
        _show_in_time(head, until)
    for head in earlier:  # what has arrived may be of the moment before
        _ask_live(head)
    for head in earlier:
        _show_in_time(head, until)


def request(obj: bpy.types.Object, again: bool = False) -> None:
    """Ask for the live map of this moment, unless it is shown, on its way or has failed; does not wait.

    Parameters
    ----------
    again
        Ask also if it is shown or has failed.
    """
    if not follows(obj):
        return
    if again:
        state = head_state.of(obj)
        state.shown = None
        state.retry()
    _ask_live(obj)


def follows(obj: bpy.types.Object) -> bool:
    """Whether a head's maps follow its sliders now."""
    return session.is_live() and live_mode.is_shown(obj)


def _awaits_live(obj: bpy.types.Object) -> bool:
    under_way = head_state.of(obj).request
    return under_way is not None and not under_way.exact


def _ask_live(obj: bpy.types.Object) -> None:
    """Ask for the live map of this moment; while one is on its way poll() asks again when it is here."""
    if _awaits_live(obj):
        return
    state = head_state.of(obj)
    try:
        now = moment.of(obj)
        if state.failure is not None and state.failure.key != now.key:
            state.retry()  # should the slider come back to what failed
        if not state.needs(now.key):
            return
        _send(obj, now, exact=False)
    except FurrowError as error:
        state.failure = Failure(None, str(error))
        return
    _watch()


def _send(obj: bpy.types.Object, now: Moment, exact: bool) -> None:
    parameters = now.parameters if exact else now.parameters | {"live": True}
    channel = f"head-{obj.furrow.id}"
    pending = jobs.client().request("map", parameters, channel=channel)
    head_state.of(obj).request = MapRequest(now.key, exact, pending, time.monotonic())


def _show_in_time(obj: bpy.types.Object, until: float) -> None:
    """Show the live map if it arrives before `until`, and within a tick from asking for it."""
    under_way = head_state.of(obj).request
    if under_way is None or under_way.exact:
        return
    limit = min(until, under_way.since + TICK_SECONDS)
    if under_way.pending.wait(max(0.0, limit - time.monotonic())):
        _show(obj.furrow.id)


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
            _show(head_id)
    update(head_object.all_heads())
    if session.rested() > REST_SECONDS:
        for head_id, state in head_state.items():
            if state.settling and state.request is None:
                _ask_exact(head_id, state)
    busy = any(state.request is not None or state.settling for _, state in head_state.items())
    return 0.0 if busy or session.rested() < WATCH_SECONDS else None


def _show(head_id: str) -> None:
    """Show the answer that has arrived."""
    state = head_state.of_id(head_id)
    answer, state.request = state.request, None
    obj = head_object.by_id(head_id)
    if answer is None or obj is None or not live_mode.is_shown(obj):
        return
    before = live_mode.state_text(obj)
    try:
        result = answer.pending.result()
        if answer.exact and answer.key != moment.of(obj).key:
            return  # a live map of the new moment comes
        live_mode.show_map(obj, result["array"], ShownMap(answer.key, bool(result["exact"])))
        state.failure = None
    except FurrowError as error:
        if error.code not in {"superseded", "cancelled"}:
            state.failure = Failure(answer.key, str(error))
    if live_mode.state_text(obj) != before or state.failure is not None:
        jobs.redraw_panels()


def _ask_exact(head_id: str, state: HeadState) -> None:
    """Ask for the exact map of a head that shows a live one."""
    obj = head_object.by_id(head_id)
    if obj is None or not live_mode.is_shown(obj):
        state.shown = None
        return
    try:
        _send(obj, moment.of(obj), exact=True)
    except FurrowError as error:
        state.shown, state.failure = None, Failure(None, str(error))


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
    shown = ShownMap(now.key, exact=True)
    if state.shown == shown:
        return
    if obj.library is not None:
        raise FurrowError(
            f'"{obj.name}" is linked and its detail is live: bake it in its own file first.'
        )
    result = jobs.client().call("map", now.parameters, timeout=EXACT_TIMEOUT)
    live_mode.show_map(obj, result["array"], shown)
    state.failure = None


def is_current(obj: bpy.types.Object) -> bool:
    """Whether the head's image holds the map, live or exact, of this moment."""
    shown = head_state.of(obj).shown
    return shown is not None and shown.key == moment.of(obj).key


def adopt(obj: bpy.types.Object) -> None:
    """After loading: a packed map that is the exact one of this moment needs no backend; else ask."""
    key = live_mode.packed_key(obj)
    if key and key == moment.of(obj).key:
        head_state.of(obj).shown = ShownMap(key, exact=True)
    else:
        request(obj)


def stop() -> None:
    """Take the timer back: when a file is opened Blender drops it, but not what it holds."""
    if bpy.app.timers.is_registered(poll):
        bpy.app.timers.unregister(poll)
