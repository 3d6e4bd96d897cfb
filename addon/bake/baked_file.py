"""head.blend: a file that opens and plays where Furrow is not installed.

Shape keys and their Action, a Displace modifier on an image sequence beside the file, node
materials, sound: all of it is Blender's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import bpy

from ...backend.errors import FurrowError
from ...backend.formats.files import whole_file
from ..animation import expression_keys, head_turn, speech, timeline
from ..detail import detail_modes
from ..head import head_object, typed
from . import bake_record, stage
from .take import Take

NAME = "head.blend"

_PACK_LIMIT = 64 << 20
"""Bytes of sound that the file carries inside; a longer recording stays beside it, by relative path."""


def new_scene(take: Take, sound: Path | None = None) -> bpy.types.Object:
    """Start an empty file with a stage and one head that plays the take; the file that is open goes.

    Returns
    -------
    The head, without detail so far.

    Raises
    ------
    FurrowError
        If the sound cannot be read.
    """
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = typed.scene(bpy.context)
    timeline.set_frame_rate(scene, take.weights.fps)
    obj = head_object.create_head(take.identity, "Head", scene.collection)
    scene.frame_start, scene.frame_end = take.first, take.last
    name = Path(take.source.get("name", "Motion")).stem
    expression_keys.write(obj, take.weights, scene, take.first, name)
    if take.weights.head is not None and take.weights.head.any():
        turning = head_turn.target(obj, None)
        head_turn.write(turning, take.weights.head, take.weights.fps, scene, take.first, name)
    if sound is not None:
        speech.place_sound(scene, sound, take.first)
    stage.build(scene, obj)
    stage.render_settings(scene)
    scene.frame_set(take.first)
    return obj


def play_baked(takes: Mapping[str, Path], first: int, count: int) -> None:
    """Switch heads, by object name, to the maps baked in their folders.

    Raises
    ------
    FurrowError
        If a head is linked from another file, or a map is absent.
    """
    for name, folder in takes.items():
        obj = bpy.data.objects[name]
        if not obj.is_editable:
            raise FurrowError(f'"{name}" is linked from another file; bake it in that file.')
        detail_modes.show_sequence(obj, folder / bake_record.MAPS, first, count)
        _drop_live(obj)


def _drop_live(obj: bpy.types.Object) -> None:
    """Remove the live map, which a baked file has no use for."""
    stored = typed.properties(obj)
    texture = stored.live_texture
    if texture is not None:
        image = texture.image
        stored.live_texture = None
        bpy.data.textures.remove(texture)
        if image is not None:
            bpy.data.images.remove(image)


def save(folder: Path) -> Path:
    """Save the open file as head.blend in `folder`, its paths relative, short sound inside.

    Raises
    ------
    FurrowError
        If it cannot be written.
    """
    path = folder.resolve() / NAME
    assert bpy.context.preferences is not None  # only while Blender starts
    preferences = bpy.context.preferences.filepaths
    versions, preferences.save_version = preferences.save_version, 0
    try:
        with whole_file(path) as temporary:
            # Twice: only a file that has a place can have paths that are relative to it.
            bpy.ops.wm.save_as_mainfile(filepath=str(temporary), check_existing=False)
            _make_relative()
            bpy.ops.wm.save_as_mainfile(
                filepath=str(temporary), check_existing=False, compress=True
            )
    except RuntimeError as error:
        raise FurrowError(f"{path} cannot be saved: {error}".strip(), "write_failed") from None
    finally:
        preferences.save_version = versions
    return path


def _make_relative() -> None:
    """Relative paths for the maps; sound packed, or by relative path."""
    for head in head_object.heads(typed.scene(bpy.context)):
        texture = typed.properties(head).baked_texture
        if texture is not None and texture.image is not None:
            image = texture.image
            image.filepath = bpy.path.relpath(bpy.path.abspath(image.filepath))
    for sound in bpy.data.sounds:
        if sound.packed_file is not None or sound.library is not None:
            continue
        file = Path(bpy.path.abspath(sound.filepath))
        if file.is_file():
            if file.stat().st_size <= _PACK_LIMIT:
                sound.pack()
            sound.filepath = bpy.path.relpath(str(file))
