"""The turn of the head as the rotation of an object or of an armature's bone, and back.

The face is taken to look along -Y with Z up, as Blender's characters do: an object about its own
axes, a bone about those of its armature. A head that is turned or posed otherwise before it gets
motion keeps that as its rest; the note ``furrow_rest`` of the Action remembers it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Euler, Matrix, Quaternion

from ...backend.errors import FurrowError
from . import actions, key_reduction, timeline

BOUND = math.radians(0.05)
"""Largest error of an angle where keys are reduced."""

_REST = "furrow_rest"
_PATHS = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}
_ORDER = "YXZ"  # roll first, then pitch, yaw last


@dataclass(frozen=True)
class Target:
    """What turns: an object, or a bone of an armature."""

    owner: bpy.types.Object
    bone: str = ""

    @property
    def posed(self) -> bpy.types.Object | bpy.types.PoseBone:
        """Where the rotation is."""
        return bones(self.owner)[self.bone] if self.bone else self.owner

    @property
    def path(self) -> str:
        """Data path of the rotation."""
        rotation = _PATHS.get(self.posed.rotation_mode, "rotation_euler")
        return f"{self.posed.path_from_id()}.{rotation}" if self.bone else rotation

    @property
    def note(self) -> str:
        """Name of the note that holds the rest."""
        return f"{_REST} {self.bone}".strip()

    @property
    def axes(self) -> Matrix:
        """From the axes that the rotation is about to those of the face, (3, 3)."""
        if not self.bone:
            return Matrix.Identity(3)
        return bones(self.owner)[self.bone].bone.matrix_local.to_3x3()


def bones(armature: bpy.types.Object) -> bpy.types.bpy_prop_collection[bpy.types.PoseBone]:
    """The bones of an armature, as they are posed."""
    assert armature.pose is not None
    return armature.pose.bones


def armature_of(obj: bpy.types.Object) -> bpy.types.Object | None:
    """The armature that deforms the object, or that it hangs on."""
    armature = obj.find_armature()
    if armature is None and obj.parent is not None and obj.parent.type == "ARMATURE":
        return obj.parent
    return armature


def target(obj: bpy.types.Object, bone: str | None) -> Target:
    """What turns with `obj`: the object itself without the name of a bone, else that bone.

    Raises
    ------
    FurrowError
        If there is no such bone.
    """
    if bone is None:
        return Target(obj)
    armature = armature_of(obj)
    if armature is None:
        raise FurrowError(
            f'"{obj.name}" has no armature: let the object itself turn, or parent it to one.'
        )
    names = [b.name for b in bones(armature)]
    if bone not in names:
        near = ", ".join(name for name in names if "head" in name.lower())
        raise FurrowError(
            f'The armature "{armature.name}" has no bone "{bone}".'
            + (f" Is it one of these: {near}?" if near else "")
        )
    return Target(armature, bone)


def check(what: Target) -> None:
    """Raise FurrowError if it cannot be animated."""
    if not what.owner.is_editable:
        raise FurrowError(
            f'"{what.owner.name}" is linked from another file and cannot turn: make it a library '
            "override (Object > Library Override > Make), or leave the head out."
        )


def write(
    what: Target,
    head: np.ndarray,
    fps: float,
    scene: bpy.types.Scene,
    start_frame: float,
    name: str,
    *,
    source: str = "",
    as_strip: bool = False,
    reduce: bool = False,
) -> bpy.types.Action:
    """Keyframe the turn of the head, in the rotation mode that is set.

    Parameters
    ----------
    head
        Radians (N, 3): yaw, pitch, roll as in :class:`.backend.formats.weights.Weights`.
    reduce
        Write fewer keys, within :data:`BOUND`.

    The others are those of :func:`.expression_keys.write`.

    Raises
    ------
    FurrowError
        As :func:`check` and :func:`.actions.add_clip`.
    """
    check(what)
    rest = _rest(what)
    rows = _rotations(what, rest, head)
    frames = timeline.frames_of(len(rows), fps, scene, start_frame)
    paths = [(what.path, index) for index in range(rows.shape[1])]
    curves = key_reduction.curves(paths, frames, rows, BOUND if reduce else 0.0)
    notes = {what.note: [rest.w, rest.x, rest.y, rest.z]}
    clip = actions.Clip(f"{name} head", frames[0], frames[-1], source, as_strip, notes)
    return actions.add_clip(what.owner, curves, clip)


def was_imported(what: Target) -> bool:
    """Whether :func:`write` has turned it, and that still plays."""
    return actions.note(what.owner, what.note) is not None


def is_animated(what: Target) -> bool:
    """Whether a curve, strip or driver turns it."""
    return actions.animates(what.owner, [what.path])


def turn(what: Target, depsgraph: bpy.types.Depsgraph) -> tuple[float, float, float]:
    """Yaw, pitch and roll in radians in the evaluated scene, from the rest on."""
    posed = Target(what.owner.evaluated_get(depsgraph), what.bone).posed
    axes = what.axes
    rotation = posed.matrix_basis.to_quaternion().to_matrix()
    rest = _rest(what).to_matrix()
    if what.bone:
        face = axes @ rotation @ rest.transposed() @ axes.transposed()
    else:
        face = rest.transposed() @ rotation
    angles = face.to_euler(_ORDER)
    return angles.z, angles.x, -angles.y


def _rest(what: Target) -> Quaternion:
    """The rotation from which the head turns: the one that was there before the first clip."""
    noted = actions.note(what.owner, what.note)
    return Quaternion(noted) if noted else what.posed.matrix_basis.to_quaternion()


def _rotations(what: Target, rest: Quaternion, head: np.ndarray) -> np.ndarray:
    """Values (N, 3 or 4) of the rotation's property, without jumps between two frames."""
    axes, base = what.axes, rest.to_matrix()
    mode = what.posed.rotation_mode
    rows: list[tuple[float, ...]] = []
    quaternion: Quaternion | None = None
    euler: Euler | None = None
    for yaw, pitch, roll in head.astype(float).tolist():
        face = Euler((pitch, -roll, yaw), _ORDER).to_matrix()
        matrix = axes.transposed() @ face @ axes @ base if what.bone else base @ face
        if mode in _PATHS:
            before, quaternion = quaternion, matrix.to_quaternion()
            if before is not None:
                quaternion.make_compatible(before)
            if mode == "QUATERNION":
                rows.append((quaternion.w, quaternion.x, quaternion.y, quaternion.z))
            else:
                axis, angle = quaternion.to_axis_angle()
                rows.append((angle, axis.x, axis.y, axis.z))
        else:
            euler = matrix.to_euler(mode, euler) if euler else matrix.to_euler(mode)
            rows.append((euler.x, euler.y, euler.z))
    return np.array(rows, np.float32)
