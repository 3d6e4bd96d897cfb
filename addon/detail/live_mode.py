"""The mode LIVE: the head's own image holds the map of its sliders, which the backend makes."""

from __future__ import annotations

import functools

import bpy
import numpy as np

from ...backend.errors import FurrowError
from ..head import head_object, head_state
from ..head.head_state import ImageMap
from . import displacement

SAVED_KEY = "furrow_map"
"""On the image: which exact map was packed."""


def attach(obj: bpy.types.Object) -> None:
    """Displace the head by its own image, which is made where it has none, as the settings say."""
    state = obj.furrow
    if state.live_texture is None or state.live_texture.image is None:
        state.live_texture = displacement.new_texture(f"{obj.name} Detail")
        size = int(state.detail_resolution)
        state.live_texture.image = bpy.data.images.new(
            f"{obj.name} Detail", size, size, float_buffer=True, is_data=True
        )
    displacement.attach(obj, state.live_texture)


def is_attached(obj: bpy.types.Object) -> bool:
    """Whether the head is displaced by its own image, shown or not."""
    return displacement.is_attached(obj, obj.furrow.live_texture)


def detach(obj: bpy.types.Object) -> None:
    """Show the image no more; it stays, for when the head is live again."""
    displacement.detach(obj)


def is_shown(obj: bpy.types.Object) -> bool:
    """Whether a head shows the maps that the backend makes."""
    return (
        head_object.is_head(obj)
        and obj.furrow.detail_enabled
        and obj.furrow.detail_mode == "LIVE"
        and obj.furrow.live_texture is not None
        and obj.furrow.live_texture.image is not None
        and displacement.DISPLACEMENT in obj.modifiers
    )


def show_map(obj: bpy.types.Object, map_mm: np.ndarray, name: ImageMap | None = None) -> None:
    """Write a map into the pixels of a head's image, and touch nothing else of the file.

    Parameters
    ----------
    obj
        A head to which this mode is attached.
    map_mm
        (R, R) millimetres, top row first; the image takes its size.
    name
        Which map it is; None for one that belongs to no moment.

    Raises
    ------
    FurrowError
        For another shape, or values that are not numbers.
    """
    if map_mm.ndim != 2 or not np.isfinite(map_mm).all():
        raise FurrowError("The detail map is damaged: it holds no numbers per pixel.", "internal")
    image = obj.furrow.live_texture.image
    height, width = map_mm.shape
    if tuple(image.size) != (width, height):
        image.scale(width, height)
    pixels = _pixels(height, width)
    pixels[..., :3] = map_mm[::-1, :, None]
    image.pixels.foreach_set(pixels.reshape(-1))
    image.update()
    image.update_tag()  # image.update() alone leaves the modifier with the old pixels
    head_state.of(obj).image_map = name


@functools.lru_cache(1)
def _pixels(height: int, width: int) -> np.ndarray:
    """RGBA with alpha 1, kept for the next map: 16 MiB of fresh memory cost more than their filling."""
    return np.ones((height, width, 4), np.float32)


def pack(obj: bpy.types.Object) -> None:
    """Pack the image, with the key of the exact map that it holds, before the file is saved."""
    image, image_map = obj.furrow.live_texture.image, head_state.of(obj).image_map
    image[SAVED_KEY] = image_map.key if image_map is not None and image_map.exact else ""
    if image.is_dirty or image.packed_file is None:
        image.pack()


def packed_key(obj: bpy.types.Object) -> str:
    """The key of the exact map that the image was packed with; empty if it holds no such map."""
    image = obj.furrow.live_texture.image
    return str(image.get(SAVED_KEY, "")) if image.packed_file is not None else ""


def state_text(obj: bpy.types.Object) -> str:
    """What the panel says about a head in this mode."""
    if not is_shown(obj):
        return "Not set up; press Refresh"
    return head_state.of(obj).progress.value
