"""From a recording to a talking head: weights from the backend, a sound strip, an Action."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..backend.errors import FurrowError
from ..backend.expressions import EXPRESSIONS
from ..backend.weights import Weights
from . import animation


def request(client: Any, path: str | Path, scene: bpy.types.Scene, seed: int = 0) -> Any:
    """Ask the backend for the weights of a recording at the scene's frame rate; does not wait.

    Returns
    -------
    A pending request; :func:`weights_of` reads its result.

    Raises
    ------
    FurrowError
        If the file is missing. What it holds the backend finds out: this Python, Blender's own,
        has no library that reads sound.
    """
    if not Path(path).is_file():
        raise FurrowError(f"There is no file {path}.", "missing_file")
    params = {"path": str(Path(path).resolve()), "fps": animation.frame_rate(scene), "seed": seed}
    return client.request("speech", params)


def weights_of(result: dict[str, Any]) -> Weights:
    """The weights in the result of a speech request, and the turn of the head."""
    weights, head = np.split(result["array"], [len(EXPRESSIONS)], axis=1)
    return Weights(weights, float(result["fps"]), head)


def place(
    obj: bpy.types.Object,
    scene: bpy.types.Scene,
    path: str | Path,
    weights: Weights,
    start_frame: int = 1,
) -> bpy.types.Action:
    """Lay the recording on the timeline and write its Action; the scene grows to hold both.

    Raises
    ------
    FurrowError
        If the object is no head, or Blender cannot read the sound.
    """
    action = animation.write_action(obj, weights, scene, start_frame, Path(path).stem)
    strip = place_sound(scene, path, start_frame)
    last = start_frame + len(weights.values) * animation.frame_rate(scene) / weights.fps - 1
    scene.frame_end = max(scene.frame_end, round(last), strip.frame_final_end - 1)
    return action


def place_sound(scene: bpy.types.Scene, path: str | Path, start_frame: int = 1) -> Any:
    """Add a sound strip on the lowest channel that is free there, and play in time with it.

    The same recording at the same place is not laid twice.

    Returns
    -------
    The strip.

    Raises
    ------
    FurrowError
        If Blender cannot read the sound.
    """
    path = Path(path).resolve()
    placed = strips(scene)
    for strip in placed:
        here = strip.type == "SOUND" and strip.frame_final_start == start_frame
        if here and Path(bpy.path.abspath(strip.sound.filepath)) == path:
            return strip
    taken = {strip.channel for strip in placed if strip.frame_final_end > start_frame}
    channel = next(c for c in range(1, len(taken) + 2) if c not in taken)
    try:
        strip = placed.new_sound(path.stem, str(path), channel, start_frame)
    except RuntimeError as error:
        raise FurrowError(f"Blender cannot read the sound {path}: {error}".strip()) from None
    scene.sync_mode = "AUDIO_SYNC"
    scene.render.ffmpeg.audio_codec = "AAC"  # so that a film rendered from the scene is heard
    return strip


def strips(scene: bpy.types.Scene) -> Any:
    """The scene's top-level strips; Blender 4.4 renamed them, 5.0 dropped the old name."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    return editor.strips if hasattr(editor, "strips") else editor.sequences
