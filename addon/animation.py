"""Weights to Actions and back: the only file that knows the versions of the Action API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np

from ..backend.errors import FurrowError
from ..backend.expressions import EXPRESSIONS
from ..backend.weights import Weights
from . import head_object

_LINEAR = 1  # position of LINEAR in the enumeration of keyframe interpolations


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


def shape_keys(obj: bpy.types.Object) -> bpy.types.Key:
    """The object's shape keys.

    Raises
    ------
    FurrowError
        If one of the 52 expressions is absent among them.
    """
    keys = obj.data.shape_keys if obj.type == "MESH" else None
    absent = [name for name in EXPRESSIONS if keys is None or name not in keys.key_blocks]
    if absent:
        raise FurrowError(
            f'"{obj.name}" has no shape key "{absent[0]}": select a Furrow head, or restore the key\'s name.'
        )
    return keys


def write_action(
    obj: bpy.types.Object,
    weights: Weights,
    scene: bpy.types.Scene,
    start_frame: float = 1.0,
    name: str = "Speech",
) -> bpy.types.Action:
    """Keyframe the 52 expressions in one go, in a new Action of the object's shape keys.

    Row k of the weights lands on frame start_frame + k / weights.fps x the scene's frame rate.
    An Action that played before is kept in the file; its curves of other keys play on in the
    new one. NLA tracks and drivers are left alone.

    Raises
    ------
    FurrowError
        If the object is no head, or its shape keys are linked from another file.
    """
    keys = shape_keys(obj)
    if not keys.is_editable:
        raise FurrowError(
            f'The shape keys of "{obj.name}" belong to another file; make the head local first.'
        )
    animation = keys.animation_data_create()
    previous = animation.action
    if previous is not None:
        previous.use_fake_user = True  # an artist's keys are never lost with the file's next save
        action = previous.copy()
        action.use_fake_user = False
        action.name = name
    else:
        action = bpy.data.actions.new(name)
    curves = _curves(action, keys, animation)
    paths = {_path(expression) for expression in EXPRESSIONS}
    for curve in [c for c in curves if c.data_path in paths]:
        curves.remove(curve)
    frames = start_frame + np.arange(len(weights.values)) * (frame_rate(scene) / weights.fps)
    for expression, column in zip(EXPRESSIONS, weights.values.T, strict=True):
        _fill(curves.new(_path(expression)), frames, column)
    # Blender makes a new Action's curves play from the next evaluation only after a tag.
    keys.update_tag()
    return action


def frame_range(obj: bpy.types.Object) -> tuple[int, int] | None:
    """First and last whole frame of the Action on the object's shape keys, or None without one."""
    animation = shape_keys(obj).animation_data
    if animation is None or animation.action is None:
        return None
    first, last = animation.action.frame_range
    return int(np.floor(first)), int(np.ceil(last))


def sample(
    obj: bpy.types.Object, scene: bpy.types.Scene, frames: Sequence[float] | Iterable[float]
) -> np.ndarray:
    """Read the expressions as the scene plays them: Actions, NLA, drivers and edits included.

    A muted key counts as 0, a value outside [0, 1] as the nearer end. The current frame is put back.

    Returns
    -------
    numpy.ndarray
        float32 (N, 52), one row a frame.
    """
    shape_keys(obj)
    rows = []
    with _bare(scene):
        for frame in frames:
            whole = int(np.floor(frame))
            scene.frame_set(whole, subframe=float(frame) - whole)
            depsgraph = bpy.context.evaluated_depsgraph_get()
            rows.append(head_object.expression_of(obj, depsgraph))
    return np.array(rows, np.float32).reshape(-1, len(EXPRESSIONS))


@contextmanager
def _bare(scene: bpy.types.Scene) -> Iterator[None]:
    """Switch the meshes' modifiers off in the viewport: sampling keys needs no subdivided skin."""
    frame, subframe = scene.frame_current, scene.frame_subframe
    shown = [
        modifier
        for obj in scene.objects
        if obj.type == "MESH" and obj.data.shape_keys and obj.is_editable
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


def _path(expression: str) -> str:
    return f'key_blocks["{expression}"].value'


def _fill(curve: bpy.types.FCurve, frames: np.ndarray, column: np.ndarray) -> None:
    """Write all keys of one curve; key by key takes a hundred times longer."""
    points = curve.keyframe_points
    points.add(len(frames))
    points.foreach_set("co", np.stack([frames, column], axis=1).astype(np.float32).ravel())
    points.foreach_set("interpolation", np.full(len(frames), _LINEAR, np.int32))
    curve.update()


def _curves(action: bpy.types.Action, keys: bpy.types.Key, animation: bpy.types.AnimData) -> Any:
    """The curves of `action` that play on `keys`, after assigning it there.

    Blender 4.4 gave Actions layers and slots, Blender 5.0 took the flat list away.
    """
    handle = animation.action_slot_handle if hasattr(animation, "action_slot_handle") else 0
    animation.action = action
    if not hasattr(action, "slots"):
        return action.fcurves
    slot = next((s for s in action.slots if s.handle == handle), None)
    if slot is None:
        slot = action.slots.new(keys.id_type, keys.name)
    animation.action_slot = slot
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True).fcurves
