"""The scene's frame rate, the frames that rows land on, and the scene as it plays them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import bpy
import numpy as np

from ...backend.errors import FurrowError
from ..head import typed


def frame_rate(scene: bpy.types.Scene) -> float:
    """Frames per second of the scene, its base included: 29.97 is 30 / 1.001."""
    return scene.render.fps / scene.render.fps_base


def set_frame_rate(scene: bpy.types.Scene, fps: float) -> None:
    """Give the scene a frame rate; 23.976, 29.97 and 59.94 become a whole rate over 1.001.

    Raises
    ------
    FurrowError
        If `fps` is not a number between 1 and 1000.
    """
    if not 1 <= fps <= 1000:  # false for NaN too
        raise FurrowError(f"The frame rate is {fps}; it must lie between 1 and 1000.")
    whole = max(1, round(fps))
    if abs(fps * 1.001 - round(fps * 1.001)) < 1e-3 < abs(fps - whole):
        whole = round(fps * 1.001)
        scene.render.fps, scene.render.fps_base = whole, 1.001
    else:
        scene.render.fps, scene.render.fps_base = whole, whole / fps


def frames_of(count: int, fps: float, scene: bpy.types.Scene, start_frame: float) -> np.ndarray:
    """The frames of the scene, whole or between, on which `count` rows at a rate land."""
    return start_frame + np.arange(count) * (frame_rate(scene) / fps)


def playing(scene: bpy.types.Scene, frames: Iterable[float]) -> Iterator[bpy.types.Depsgraph]:
    """Go to each of the frames and yield the evaluated scene; the current frame is put back."""
    with _bare(scene):
        for frame in frames:
            whole = int(np.floor(frame))
            scene.frame_set(whole, subframe=float(frame) - whole)
            yield bpy.context.evaluated_depsgraph_get()


@contextmanager
def _bare(scene: bpy.types.Scene) -> Iterator[None]:
    """Switch the meshes' modifiers off in the viewport: sampling keys needs no subdivided skin."""
    frame, subframe = scene.frame_current, scene.frame_subframe
    shown = [
        modifier
        for obj in scene.objects
        if typed.shape_keys(obj) is not None and obj.is_editable
        for modifier in obj.modifiers
        if modifier.show_viewport
    ]
    for modifier in shown:
        modifier.show_viewport = False
    try:
        yield
    finally:
        for modifier in shown:
            modifier.show_viewport = True
        scene.frame_set(frame, subframe=subframe)
