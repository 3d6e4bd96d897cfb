"""Weights over time onto the faces that an artist chose: shape keys, the turn of the head, the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ...backend.formats.weights import Weights
from ..head import head_object
from . import expression_keys, head_turn, shape_names, timeline


@dataclass(frozen=True)
class Placement:
    """Where motion goes and how it is written.

    Attributes
    ----------
    start_frame
        Frame of the first row.
    as_strip
        An NLA strip, else the Action that plays.
    bound
        Largest error of a weight, for fewer keys; 0 writes one a frame.
    turns
        What turns with the head: NONE, OBJECT or BONE.
    bone
        Name of the bone.
    """

    start_frame: float = 1.0
    as_strip: bool = False
    bound: float = 0.0
    turns: str = "NONE"
    bone: str = "head"

    def target(self, obj: bpy.types.Object) -> head_turn.Target | None:
        """What turns with the head of `obj`, if anything; raises FurrowError."""
        if self.turns == "NONE":
            return None
        return head_turn.target(obj, self.bone if self.turns == "BONE" else None)


def check(faces: Sequence[bpy.types.Object], placement: Placement) -> None:
    """Raise FurrowError if motion could not be applied to the faces, before long work begins."""
    for face in faces:
        expression_keys.check_face(face)
    target = placement.target(faces[0])
    if target is not None:
        head_turn.check(target)


def apply(
    faces: Sequence[bpy.types.Object],
    scene: bpy.types.Scene,
    path: str | Path,
    weights: Weights,
    placement: Placement,
) -> str:
    """Write motion from a file onto faces, the head's turn onto the first; the scene grows to hold it.

    Returns
    -------
    Which expressions no face has a key for, in a line for people; empty where none is missing.

    Raises
    ------
    FurrowError
        As :func:`check`, :func:`.expression_keys.write` and :func:`.head_turn.write`; of several
        faces, those before the one that fails have their motion.
    """
    check(faces, placement)
    path = Path(path)
    source = str(path.resolve())
    target = placement.target(faces[0])
    for face in faces:
        expression_keys.write(
            face, weights, scene, placement.start_frame, path.stem,
            source=source, as_strip=placement.as_strip, bound=placement.bound,
        )  # fmt: skip
    if target is not None and weights.head is not None and _turns(target, weights.head):
        head_turn.write(
            target, weights.head, weights.fps, scene, placement.start_frame, path.stem,
            source=source, as_strip=placement.as_strip, reduce=placement.bound > 0,
        )  # fmt: skip
    frames = timeline.frames_of(len(weights.values), weights.fps, scene, placement.start_frame)
    scene.frame_end = max(scene.frame_end, round(frames[-1]))
    return _lacking(faces)


def _turns(target: head_turn.Target, head: np.ndarray) -> bool:
    """Whether there is a turn to write: one that stays at rest only undoes an earlier import."""
    return bool(head.any()) or head_turn.was_imported(target)


def _lacking(faces: Sequence[bpy.types.Object]) -> str:
    """What none of the faces has, shortly; the whole list goes to the console."""
    together = {
        name: key for face in faces for name, key in expression_keys.face_names(face).items()
    }
    missing = shape_names.missing(together)
    if not missing:
        return ""
    names = " and ".join(f'"{face.name}"' for face in faces)
    print(f"{names}: no shape key for {', '.join(missing)}")
    return f"{names}: no shape key for {shape_names.in_words(missing)}"


def read(obj: bpy.types.Object, scene: bpy.types.Scene, placement: Placement) -> Weights:
    """The motion of a face over the scene's frames, with the turn of the head where it is animated.

    Raises
    ------
    FurrowError
        As :func:`.expression_keys.shape_keys` and :func:`.head_turn.target`.
    """
    target = placement.target(obj)
    if target is not None and not head_turn.is_animated(target):
        target = None
    frames = range(scene.frame_start, scene.frame_end + 1)
    _keys, names = expression_keys.shape_keys(obj)
    values, turns = [], []
    for graph in timeline.playing(scene, frames):
        values.append(head_object.expression_of(obj, graph, names))
        if target is not None:
            turns.append(head_turn.turn(target, graph))
    head = np.array(turns, np.float32) if target is not None else None
    return Weights(np.array(values, np.float32), timeline.frame_rate(scene), head)
