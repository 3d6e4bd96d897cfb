"""Wrinkles on a head: subdivision, displacement, and the images that hold the maps.

LIVE: the backend makes the map of the current identity and expression (`live_detail`). BAKED: an
image sequence plays. PORTABLE: a basis of maps is mixed by nodes (`portable_rig`).
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...backend.errors import FurrowError
from ..head import head_object, settings
from . import detail_bump, portable_rig

SUBDIVISION = "Furrow Subdivision"
DISPLACEMENT = "Furrow Detail"
METRES_PER_MAP_UNIT = 0.001  # maps are in millimetres

exact: dict[str, str] = {}
"""By head id, the key of the exact map in the head's image (`live_detail`); absent for any other."""


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
    """Bring the modifiers to the settings."""
    state = obj.furrow
    live, baked = state.live_texture, state.baked_texture
    texture: Any = {"LIVE": live, "BAKED": baked}.get(state.detail_mode)
    height_m = METRES_PER_MAP_UNIT * state.detail_strength
    shown = state.detail_enabled and texture is not None
    displaced = state.detail_viewport == "DISPLACED"
    wanted = {
        SUBDIVISION: {
            "levels": state.detail_viewport_levels,
            "render_levels": state.detail_render_levels,
            "show_viewport": displaced,
        },
        DISPLACEMENT: {
            "strength": height_m,
            "texture": texture,
            "show_viewport": shown and displaced,
            "show_render": shown,
        },
    }
    for name, values in wanted.items():
        modifier = obj.modifiers.get(name)
        if modifier is not None:
            settings.apply(modifier, **values)
    if shown and not displaced and texture.image is not None:
        detail_bump.wear(obj, texture, height_m)
    else:
        detail_bump.take_off(obj)
    portable_rig.apply_settings(obj, height_m)


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


def show_map(obj: bpy.types.Object, map_mm: np.ndarray, key: str | None = None) -> None:
    """Write a map into the head's own image and show it.

    Parameters
    ----------
    map_mm
        (R, R) millimetres, top row first.
    key
        Names the map if it is the exact one of a moment.

    Raises
    ------
    FurrowError
        For another shape, or values that are not numbers.
    """
    if map_mm.ndim != 2 or not np.isfinite(map_mm).all():
        raise FurrowError("The detail map is damaged: it holds no numbers per pixel.", "internal")
    if obj.furrow.detail_mode != "LIVE":
        with head_object.quiet():
            obj.furrow.detail_mode = "LIVE"
    set_up(obj)
    image = obj.furrow.live_texture.image
    height, width = map_mm.shape
    if tuple(image.size) != (width, height):
        image.scale(width, height)
    pixels = _pixels(height, width)
    pixels[..., :3] = map_mm[::-1, :, None]
    image.pixels.foreach_set(pixels.reshape(-1))
    image.update()
    image.update_tag()  # image.update() alone leaves the modifier with the old pixels
    if key is None:
        exact.pop(obj.furrow.id, None)
    else:
        exact[obj.furrow.id] = key


@functools.lru_cache(1)
def _pixels(height: int, width: int) -> np.ndarray:
    """RGBA with alpha 1, kept for the next map: 16 MiB of fresh memory cost more than their filling."""
    return np.ones((height, width, 4), np.float32)


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


def make_portable(obj: bpy.types.Object, basis: dict[str, Any]) -> None:
    """Mix a basis of maps by nodes; the head is PORTABLE from then on.

    Parameters
    ----------
    basis
        The backend's answer to `portable_rig.request`.
    """
    set_up(obj)
    portable_rig.make(obj, basis, after=DISPLACEMENT)
    with head_object.quiet():
        obj.furrow.detail_mode = "PORTABLE"
    set_up(obj)


def find_sequence(folder: str | Path) -> tuple[int, int]:
    """The first number and the count of the maps ``0001.exr``, ... in a folder; raises FurrowError."""
    numbers = sorted(int(f.stem) for f in Path(folder).glob("*.exr") if f.stem.isdecimal())
    if not numbers:
        raise FurrowError(f"There are no maps such as 0001.exr in {folder}.", "missing_file")
    return numbers[0], numbers[-1] - numbers[0] + 1


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
