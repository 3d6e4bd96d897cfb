"""Blender's events: what changed, frames, undo, saving, loading, and renders that must be exact."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from ..backend.errors import FurrowError
from .detail import detail_modes, live_mode, live_updates, portable_mode
from .detail.live_session import session
from .head import head_object, head_state
from .head.head_state import Failure
from .process import jobs

_borders: dict[str, tuple[bool, float, float]] = {}  # scene -> its render border before we shut it
_failures: dict[str, tuple[int, list[str]]] = {}  # scene -> frame without map, heads hidden for it


@persistent
def depsgraph_changed(_scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    """A slider, a shape key or an object changed: give copies their id, ask for new maps."""
    _reopen_borders()
    if session.rendering:
        return
    for copy in head_object.separate_copies():
        detail_modes.own_textures(copy)
        live_updates.request(copy, again=True)
    if any(depsgraph.id_type_updated(kind) for kind in ("OBJECT", "KEY", "MESH")):
        # Blender evaluates once more what a handler has changed, before it draws.
        live_updates.update(head_object.all_heads())


@persistent
def frame_changed(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    """The timeline moved. In a render, and without a window, the picture waits for the exact map."""
    if session.pauses:
        return
    heads = [head for head in head_object.heads(scene) if live_mode.is_shown(head)]
    if session.is_live():
        live_updates.update(heads)  # waits, so that skin and shape of a frame are drawn together
        return
    for head in heads:
        if head.hide_render:
            continue
        try:
            live_updates.exact_map(head, depsgraph)
        except FurrowError as error:
            head_state.of(head).failure = Failure(None, str(error))
            if session.rendering:
                _break_off(scene, head, error)
            else:
                print(f"Furrow: {error}", file=sys.stderr)


@persistent
def render_started(scene: bpy.types.Scene, _depsgraph: bpy.types.Depsgraph | None = None) -> None:
    """Before a render: stop live writing, and refuse the render if maps cannot be made."""
    _reopen_borders()
    session.rendering = True
    for head in head_object.heads(scene):
        if live_mode.is_shown(head) and not head.hide_render and not session.pauses:
            try:
                live_updates.exact_map(head)
            except FurrowError as error:
                head_state.of(head).failure = Failure(None, str(error))
                _refuse(scene, error)
                return


def _refuse(scene: bpy.types.Scene, error: FurrowError) -> None:
    """Stop a render that has not begun: Blender refuses one whose border is empty."""
    render = scene.render
    _borders[scene.name] = (render.use_border, render.border_min_x, render.border_max_x)
    render.use_border = True
    render.border_min_x = render.border_max_x = 0.0
    session.rendering = False
    _say(f"This render was refused, since its detail cannot be made. {error}")
    if not bpy.app.background:
        bpy.app.timers.register(_reopen_borders, first_interval=0.5)


def _reopen_borders() -> None:
    for name, (used, low, high) in _borders.items():
        scene = bpy.data.scenes.get(name)
        if scene is not None:
            scene.render.border_max_x, scene.render.border_min_x = high, low
            scene.render.use_border = used
    _borders.clear()


def _break_off(scene: bpy.types.Scene, head: bpy.types.Object, error: FurrowError) -> None:
    """A map failed in the middle of an animation: render no stale detail, then stop.

    Blender lets nobody cancel from here. The head is hidden for this frame, the frame's file is
    removed as soon as it is written, and the animation ends.
    """
    frame, hidden = _failures.setdefault(scene.name, (scene.frame_current, []))
    hidden.append(head.name)
    head.hide_render = True
    _say(f"The render stopped at frame {frame}, since its detail cannot be made. {error}")


@persistent
def frame_written(scene: bpy.types.Scene, _depsgraph: bpy.types.Depsgraph | None = None) -> None:
    """After a frame was written: if its map failed, remove it and end the animation."""
    if scene.name not in _failures:
        return
    if not scene.render.is_movie_format:
        with contextlib.suppress(OSError):
            Path(bpy.path.abspath(scene.render.frame_path(frame=scene.frame_current))).unlink()
    scene.frame_current = max(scene.frame_end, scene.frame_current)  # the loop's own counter


@persistent
def render_ended(scene: bpy.types.Scene, _depsgraph: bpy.types.Depsgraph | None = None) -> None:
    """Live maps go on."""
    _reopen_borders()
    _frame, hidden = _failures.pop(scene.name, (0, []))
    for name in hidden:
        head = bpy.data.objects.get(name)
        if head is not None:
            head.hide_render = False
    session.rendering = False


def _say(message: str) -> None:
    """Say something during a render: on stderr, and in the window from the main thread."""
    print(f"Furrow: {message}", file=sys.stderr)
    if bpy.app.background:
        return

    def show() -> None:
        def draw(self: bpy.types.UIPopupMenu, _context: bpy.types.Context) -> None:
            self.layout.label(text=message)

        manager = bpy.context.window_manager
        with bpy.context.temp_override(window=manager.windows[0]):  # a timer has none
            manager.popup_menu(draw, title="Furrow", icon="ERROR")

    bpy.app.timers.register(show, first_interval=0.1)


@persistent
def before_save(*_arguments: object) -> None:
    """Pack the live images: unpacked ones are black when the file is opened."""
    _reopen_borders()
    for head in head_object.all_heads():
        if live_mode.is_shown(head):
            live_mode.pack(head)


@persistent
def before_load(*_arguments: object) -> None:
    """Another file comes: nothing known about this one's images holds there."""
    live_updates.stop()
    head_state.forget()
    head_object.forget()


@persistent
def after_load(*_arguments: object) -> None:
    """A file was opened: what was packed is shown, the rest is asked for."""
    before_load()
    session.rendering = False
    _recall_errors()
    for head in head_object.all_heads():
        if live_mode.is_shown(head):
            live_updates.adopt(head)


@persistent
def after_undo(*_arguments: object) -> None:
    """Undo brings properties back, but not the pixels of images."""
    head_object.forget()
    head_state.forget(keep_requests=True)
    _recall_errors()
    live_updates.update(head_object.all_heads())


def _recall_errors() -> None:
    for obj in bpy.data.objects:
        if head_object.is_head(obj):  # also those of other files
            portable_mode.recall(obj)


_HANDLERS = (
    ("depsgraph_update_post", depsgraph_changed),
    ("frame_change_post", frame_changed),
    ("render_init", render_started),
    ("render_write", frame_written),
    ("render_complete", render_ended),
    ("render_cancel", render_ended),
    ("save_pre", before_save),
    ("load_pre", before_load),
    ("load_post", after_load),
    ("undo_post", after_undo),
    ("redo_post", after_undo),
)


def register() -> None:
    for event, handler in _HANDLERS:
        getattr(bpy.app.handlers, event).append(handler)


def unregister() -> None:
    for event, handler in _HANDLERS:
        handlers = getattr(bpy.app.handlers, event)
        if handler in handlers:
            handlers.remove(handler)
    live_updates.stop()
    if bpy.app.timers.is_registered(_reopen_borders):
        bpy.app.timers.unregister(_reopen_borders)
    head_state.forget()
    jobs.stop()
