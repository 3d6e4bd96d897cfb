"""Wrinkles on a head: subdivision, displacement, and the images that hold the maps.

LIVE: the backend makes the map of the current identity and expression; at most one request per head
is under way, and what changed meanwhile is asked for when it returns, so that a drag neither waits
nor starves. BAKED: an image sequence plays.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..backend.errors import FurrowError
from ..backend.identity import styles_request
from . import head_object, jobs

SUBDIVISION = "Furrow Subdivision"
DISPLACEMENT = "Furrow Detail"
METRES_PER_MAP_UNIT = 0.001  # maps are in millimetres
POLL_SECONDS = 0.015
EXACT_TIMEOUT = 120.0  # seconds that a render waits for a map; the first includes loading networks
SAVED_KEY = "furrow_map"  # on the image: which map was packed

problems: dict[str, str] = {}
"""By head id, why its map could not be made; the panel shows it."""

_shown: dict[str, str] = {}  # head id -> key of the map in its image
_pending: dict[str, tuple[str, Any]] = {}  # head id -> key and the request under way
_failed: dict[str, str] = {}  # head id -> key that the backend could not answer
_paused = 0
_held = False


def set_up(obj: bpy.types.Object) -> None:
    """Add what is missing: the two modifiers and the texture of the current mode."""
    state = obj.furrow
    subdivision = obj.modifiers.get(SUBDIVISION)
    if subdivision is None:
        subdivision = obj.modifiers.new(SUBDIVISION, "SUBSURF")
        subdivision.show_only_control_edges = True
        # A third less time; at level 2 it is 0.02 mm (mean) off.
        subdivision.use_limit_surface = False
        subdivision.uv_smooth = "NONE"  # maps are made for UVs that are linear on each face
    displacement = obj.modifiers.get(DISPLACEMENT)
    if displacement is None:
        displacement = obj.modifiers.new(DISPLACEMENT, "DISPLACE")
        displacement.texture_coords = "UV"
        displacement.uv_layer = head_object.UV_MAP
        displacement.vertex_group = head_object.SKIN_GROUP
        displacement.mid_level = 0.0
    live = state.live_texture
    if state.detail_mode == "LIVE" and (live is None or live.image is None):
        state.live_texture = _new_texture(f"{obj.name} Detail")
        size = int(state.detail_resolution)
        state.live_texture.image = bpy.data.images.new(
            f"{obj.name} Detail", size, size, float_buffer=True, is_data=True
        )
    _apply_settings(obj)


def _new_texture(name: str) -> bpy.types.ImageTexture:
    texture = bpy.data.textures.new(name, "IMAGE")
    texture.extension = "EXTEND"  # REPEAT would bleed the opposite edge in
    texture.use_clamp = False  # valleys are negative
    texture.use_interpolation = True
    texture.filter_size = 1.0
    return texture


def _apply_settings(obj: bpy.types.Object) -> None:
    """Bring the modifiers to the settings; writes only what differs, since writing tags updates."""
    state = obj.furrow
    texture = state.live_texture if state.detail_mode == "LIVE" else state.baked_texture
    wanted = {
        SUBDIVISION: {
            "levels": state.detail_viewport_levels,
            "render_levels": state.detail_render_levels,
        },
        DISPLACEMENT: {
            "strength": METRES_PER_MAP_UNIT * state.detail_strength,
            "texture": texture,
            "show_viewport": state.detail_enabled and texture is not None,
            "show_render": state.detail_enabled and texture is not None,
        },
    }
    for name, settings in wanted.items():
        modifier = obj.modifiers.get(name)
        for setting, value in settings.items():
            if modifier is not None and getattr(modifier, setting) != value:
                setattr(modifier, setting, value)


def settings_changed(obj: bpy.types.Object) -> None:
    """After a change of mode, strength, resolution or subdivision."""
    if head_object.is_head(obj):
        set_up(obj)
        request(obj)


def is_live(obj: bpy.types.Object) -> bool:
    """Whether the backend makes this head's maps."""
    return (
        head_object.is_head(obj)
        and obj.furrow.detail_enabled
        and obj.furrow.detail_mode == "LIVE"
        and obj.furrow.live_texture is not None
        and obj.furrow.live_texture.image is not None
        and DISPLACEMENT in obj.modifiers
    )


def show_map(obj: bpy.types.Object, pixels: np.ndarray) -> None:
    """Write a map into the head's own image and show it.

    Parameters
    ----------
    pixels
        (R, R, 4) float32 as the backend's layout ``blender`` gives it, bottom row first; or (R, R)
        millimetres, top row first.

    Raises
    ------
    FurrowError
        For another shape, or values that are not numbers.
    """
    if pixels.ndim == 2:
        rgba = np.ones((*pixels.shape, 4), np.float32)
        rgba[..., :3] = pixels[::-1, :, None]
        pixels = rgba
    if pixels.ndim != 3 or pixels.shape[2] != 4 or not np.isfinite(pixels).all():
        raise FurrowError("The detail map is damaged: it holds no numbers per pixel.", "internal")
    if obj.furrow.detail_mode != "LIVE":
        with head_object.quiet():
            obj.furrow.detail_mode = "LIVE"
    set_up(obj)
    image = obj.furrow.live_texture.image
    height, width = pixels.shape[:2]
    if tuple(image.size) != (width, height):
        image.scale(width, height)
    image.pixels.foreach_set(np.ascontiguousarray(pixels, np.float32).ravel())
    image.update()
    image.update_tag()  # image.update() alone leaves the modifier with the old pixels
    _shown.pop(obj.furrow.id, None)


def show_sequence(
    obj: bpy.types.Object, folder: str | Path, first: int, count: int, start: int | None = None
) -> None:
    """Play baked maps ``0001.exr``, ... from `folder`; the head is BAKED from then on.

    Parameters
    ----------
    first, count
        Number in the name of the first file, and how many follow without a gap, that one included.
    start
        Timeline frame at which the first file plays; `first` if None.

    Raises
    ------
    FurrowError
        If a file is absent: Blender would show no detail there, without a word.
    """
    folder = Path(folder)
    files = [folder / f"{number:04d}.exr" for number in range(first, first + count)]
    absent = [file for file in files if not file.is_file()]
    if count < 1 or absent:
        raise FurrowError(
            f"{absent[0] if absent else folder} is absent ({len(absent)} of {count} maps are); "
            "bake these frames first.",
            "missing_file",
        )
    state = obj.furrow
    texture = state.baked_texture
    if texture is None:
        texture = _new_texture(f"{obj.name} Baked Detail")
    if texture.image is not None:
        bpy.data.images.remove(texture.image)
    texture.image = image = bpy.data.images.load(str(files[0]), check_existing=False)
    image.name = f"{obj.name} Baked Detail"
    image.source = "SEQUENCE"
    image.colorspace_settings.name = "Non-Color"
    user = texture.image_user
    user.frame_start = first if start is None else start
    user.frame_offset = first - 1
    user.frame_duration = count
    user.use_cyclic = False
    user.use_auto_refresh = True
    state.baked_texture = texture
    with head_object.quiet():
        state.detail_mode = "BAKED"
    set_up(obj)


def find_sequence(folder: str | Path) -> tuple[int, int]:
    """The first number and the count of the maps ``0001.exr``, ... in a folder; raises FurrowError."""
    numbers = sorted(int(f.stem) for f in Path(folder).glob("*.exr") if f.stem.isdecimal())
    if not numbers:
        raise FurrowError(f"There are no maps such as 0001.exr in {folder}.", "missing_file")
    return numbers[0], numbers[-1] - numbers[0] + 1


# ---------------------------------------------------------------------------------- live requests


def map_request(
    obj: bpy.types.Object, resolution: int, depsgraph: bpy.types.Depsgraph | None = None
) -> dict[str, Any]:
    """What to ask the backend for the exact map of a head's identity and expression."""
    return {
        **styles_request(head_object.identity_of(obj), head_object.relief_of(obj)),
        "expression": head_object.expression_of(obj, depsgraph).tolist(),
        "resolution": resolution,
        "layout": "blender",
    }


def _moment(
    obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph | None = None
) -> tuple[str, dict[str, Any]]:
    """The request for the exact map of this moment, and a key that names it."""
    parameters = map_request(obj, int(obj.furrow.detail_resolution), depsgraph)
    return hashlib.blake2b(json.dumps(parameters).encode(), digest_size=16).hexdigest(), parameters


def polls() -> bool:
    """Whether Blender's timers run; without a window, renders ask for exact maps themselves."""
    return not bpy.app.background


def request(obj: bpy.types.Object, again: bool = False) -> None:
    """Ask for the map of this moment, without waiting, unless it is shown, on its way or has failed.

    `again` asks also if it is shown or has failed.
    """
    if not polls() or _paused or _held or not is_live(obj):
        return
    head_id = obj.furrow.id
    if again:
        _shown.pop(head_id, None)
        _failed.pop(head_id, None)
    if head_id in _pending:
        return  # poll() asks again when it returns
    try:
        key, parameters = _moment(obj)
        if key in (_shown.get(head_id), _failed.get(head_id)):
            return
        pending = jobs.client().request("map", parameters, channel=f"head-{head_id}")
    except FurrowError as error:
        problems[head_id] = str(error)
        return
    _pending[head_id] = (key, pending)
    if not bpy.app.timers.is_registered(poll):
        bpy.app.timers.register(poll, first_interval=POLL_SECONDS)


def poll() -> float | None:
    """Show what has arrived; runs on Blender's timer, on the main thread."""
    if _held or bpy.app.is_job_running("RENDER"):
        return POLL_SECONDS  # no image is written while a render reads it
    for head_id, (key, pending) in list(_pending.items()):
        if not pending.done():
            continue
        del _pending[head_id]
        obj = head_object.by_id(head_id)
        if obj is None or not is_live(obj):
            continue
        try:
            show_map(obj, pending.result()["array"])
        except FurrowError as error:
            if error.code not in {"superseded", "cancelled"}:
                _failed[head_id] = key
                problems[head_id] = str(error)
        else:
            _shown[head_id] = key
            problems.pop(head_id, None)
        request(obj)
        jobs.redraw_panels()
    return POLL_SECONDS if _pending else None


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
    if _shown.get(head_id) == key:
        return
    if obj.library is not None:
        raise FurrowError(
            f'"{obj.name}" is linked and its detail is live: bake it in its own file first.'
        )
    result = jobs.client().call("map", parameters, timeout=EXACT_TIMEOUT)
    show_map(obj, result["array"])
    _shown[head_id] = key
    problems.pop(head_id, None)


def state_text(obj: bpy.types.Object) -> str:
    """What the panel says about the detail of this head."""
    state = obj.furrow
    if not state.detail_enabled:
        return "Off"
    if state.detail_mode == "BAKED":
        texture = state.baked_texture
        if texture is None or texture.image is None:
            return "Nothing is baked yet"
        return f"Plays {texture.image_user.frame_duration} baked maps"
    if not is_live(obj):
        return "Not set up; press Refresh"
    if state.id in _pending:
        return "Updating ..."
    return "Up to date" if state.id in _shown else "Waiting for the backend"


# ------------------------------------------------------------------------- saving, loading, pauses


def pack(obj: bpy.types.Object) -> None:
    """Pack the live image, with the name of the map that it holds, before the file is saved."""
    image = obj.furrow.live_texture.image
    image[SAVED_KEY] = _shown.get(obj.furrow.id, "")
    if image.is_dirty or image.packed_file is None:
        image.pack()


def adopt(obj: bpy.types.Object) -> None:
    """After loading: a packed map that is the exact one needs no backend; else ask for it."""
    image = obj.furrow.live_texture.image
    if image.packed_file is not None and image.get(SAVED_KEY) == _moment(obj)[0]:
        _shown[obj.furrow.id] = image[SAVED_KEY]
    else:
        request(obj)


def own_textures(obj: bpy.types.Object) -> None:
    """Give a copied head its own textures and images."""
    for name in ("live_texture", "baked_texture"):
        texture = getattr(obj.furrow, name)
        if texture is not None:
            copy = texture.copy()
            if texture.image is not None:
                copy.image = texture.image.copy()
            setattr(obj.furrow, name, copy)
    set_up(obj)
    request(obj, again=True)


def forget(keep_requests: bool = False) -> None:
    """Trust no image any more; after undo and redo, requests under way may go on."""
    _shown.clear()
    _failed.clear()
    problems.clear()
    if not keep_requests:
        for _, pending in _pending.values():
            pending.cancel()
        _pending.clear()


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
