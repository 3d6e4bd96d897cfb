"""From a recording to a talking head: weights from the backend, a sound strip."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ...backend.errors import FurrowError
from ...backend.formats.expressions import EXPRESSIONS
from ...backend.formats.weights import Weights
from . import timeline

if TYPE_CHECKING:
    from ..process.client import Client
    from ..process.pending import Pending


def request(
    client: Client,
    path: str | Path,
    scene: bpy.types.Scene,
    performance: Mapping[str, Any] | None = None,
) -> Pending:
    """Ask the backend for the weights of a recording at the scene's frame rate; does not wait.

    Parameters
    ----------
    performance
        The objects `style` and `life` of the request; what is left out is ordinary.

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
    params = {"path": str(Path(path).resolve()), "fps": timeline.frame_rate(scene)}
    return client.request("speech", {**params, **(performance or {})})


def weights_of(result: dict[str, Any]) -> Weights:
    """The weights in the result of a speech request, and the turn of the head."""
    weights, head = np.split(result["array"], [len(EXPRESSIONS)], axis=1)
    return Weights(weights, float(result["fps"]), head)


def place_sound(
    scene: bpy.types.Scene, path: str | Path, start_frame: int = 1
) -> bpy.types.SoundStrip | None:
    """Add a sound strip on the lowest channel that is free there, and play in time with it.

    The same recording at the same place is not added twice; where it has another length now, the
    new strip takes the old one's place.

    Returns
    -------
    The strip; None where Blender was built without sound, as the bpy module of 4.2 is.

    Raises
    ------
    FurrowError
        If Blender cannot read the sound.
    """
    if not bpy.app.build_options.audaspace:
        return None
    path = Path(path).resolve()
    all_strips = strips(scene)
    old = next((s for s in all_strips if _is_recording(s, path, start_frame)), None)
    busy = {strip.channel for strip in all_strips if strip.frame_final_end > start_frame}
    channel = next(c for c in range(1, len(busy) + 2) if c not in busy)
    try:
        strip = all_strips.new_sound(path.stem, str(path), channel, start_frame)
    except RuntimeError as error:
        raise FurrowError(f"Blender cannot read the sound {path}: {error}".strip()) from None
    if old is not None:
        if old.frame_duration == strip.frame_duration:
            old, strip = strip, old
        channel = strip.channel if strip.channel < old.channel else old.channel
        sound = old.sound
        all_strips.remove(old)
        strip.channel = channel
        if not sound.users:
            bpy.data.sounds.remove(sound)
    scene.sync_mode = "AUDIO_SYNC"
    if scene.render.ffmpeg is not None:  # built with it
        scene.render.ffmpeg.audio_codec = "AAC"  # so that a film rendered from the scene is heard
    return strip


def _is_recording(strip: Any, path: Path, start_frame: int) -> bool:
    """Whether a strip plays this file, from this frame on."""
    if strip.type != "SOUND" or strip.sound is None or round(strip.frame_start) != start_frame:
        return False
    return Path(bpy.path.abspath(strip.sound.filepath)).resolve() == path


def strips(scene: bpy.types.Scene) -> Any:
    """The scene's top-level strips; Blender 4.4 renamed them and their types, 5.0 dropped the old names."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    return editor.strips if hasattr(editor, "strips") else editor.sequences
