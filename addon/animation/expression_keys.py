"""Weights over time on the shape keys of a face, and back."""

from __future__ import annotations

from collections.abc import Iterable

import bpy
import numpy as np

from ...backend.errors import FurrowError
from ...backend.formats.expressions import EXPRESSIONS
from ...backend.formats.weights import Weights
from ..head import head_object, typed
from . import actions, key_reduction, shape_names, timeline


def face_names(obj: bpy.types.Object | None) -> dict[str, str]:
    """The names of the object's shape keys by ARKit expression; empty where it has none.

    See :func:`.shape_names.match` for the spellings that are known.
    """
    keys = typed.shape_keys(obj) if obj is not None else None
    if keys is None:
        return {}
    return shape_names.match(k.name for k in keys.key_blocks if k != keys.reference_key)


def shape_keys(obj: bpy.types.Object) -> tuple[bpy.types.Key, dict[str, str]]:
    """The object's shape keys, and :func:`face_names`.

    Raises
    ------
    FurrowError
        If it has no shape keys, or none that is called like an expression.
    """
    keys, names = typed.shape_keys(obj), face_names(obj)
    if keys is None:
        raise FurrowError(
            f'"{obj.name}" has no shape keys: select a Furrow head, or a mesh with shape keys under '
            "ARKit's names, such as jawOpen."
        )
    if names:
        return keys, names
    raise FurrowError(
        f'No shape key of "{obj.name}" has an ARKit name such as jawOpen, JawOpen or eyeBlink_L: '
        "rename them, or select another mesh."
    )


def check_face(obj: bpy.types.Object) -> None:
    """Raise FurrowError, as :func:`shape_keys`, and where the shape keys cannot be animated."""
    keys, _names = shape_keys(obj)
    if not (keys.is_editable or obj.is_editable):
        raise FurrowError(
            f'"{obj.name}" is linked from another file: make it a library override (Object > Library '
            "Override > Make) or local, then import again."
        )


def _editable_shape_keys(obj: bpy.types.Object) -> tuple[bpy.types.Key, dict[str, str]]:
    """The keys and their names, on an override of the mesh where the object overrides a linked one."""
    check_face(obj)
    keys, names = shape_keys(obj)
    if keys.is_editable:
        return keys, names
    mesh = typed.mesh(obj).override_create(remap_local_usages=True)
    keys_here = mesh.shape_keys if isinstance(mesh, bpy.types.Mesh) else None
    if keys_here is None or not keys_here.is_editable:
        raise FurrowError(
            f'The mesh of "{obj.name}" is linked and cannot be overridden: make it local (Object > '
            "Relations > Make Local), then import again."
        )
    return keys_here, names


def write(
    obj: bpy.types.Object,
    weights: Weights,
    scene: bpy.types.Scene,
    start_frame: float = 1.0,
    name: str = "Speech",
    *,
    source: str = "",
    as_strip: bool = False,
    bound: float = 0.0,
) -> bpy.types.Action:
    """Keyframe the expressions in one go, as an Action of the object's shape keys or an NLA strip.

    Row k of the weights lands on frame start_frame + k / weights.fps x the scene's frame rate.
    Expressions for which the mesh has no key are left out. See :func:`.actions.add_clip` for what
    becomes of the motion that is there.

    Parameters
    ----------
    source
        The file that the weights came from; written again at the same place, it replaces itself.
    bound
        Largest error of a weight, for fewer keys; 0 writes one a frame.

    Raises
    ------
    FurrowError
        If the object is no face, or its shape keys cannot be animated.
    """
    keys, names = _editable_shape_keys(obj)
    frames = timeline.frames_of(len(weights.values), weights.fps, scene, start_frame)
    columns = weights.values[:, [EXPRESSIONS.index(expression) for expression in names]]
    paths = [(_path(key), 0) for key in names.values()]
    clip = actions.Clip(name, frames[0], frames[-1], source, as_strip)
    return actions.add_clip(keys, key_reduction.curves(paths, frames, columns, bound), clip)


def sample(obj: bpy.types.Object, scene: bpy.types.Scene, frames: Iterable[float]) -> np.ndarray:
    """Read the expressions as the scene plays them: Actions, NLA, drivers and edits included.

    A muted key counts as 0, a value outside [0, 1] as the nearer end. The current frame is put back.

    Returns
    -------
    numpy.ndarray
        float32 (N, 52), one row a frame.

    Raises
    ------
    FurrowError
        If the object is no face.
    """
    _keys, names = shape_keys(obj)
    rows = [
        head_object.expression_of(obj, graph, names) for graph in timeline.playing(scene, frames)
    ]
    return np.array(rows, np.float32).reshape(-1, len(EXPRESSIONS))


def _path(key: str) -> str:
    return f'key_blocks["{bpy.utils.escape_identifier(key)}"].value'
