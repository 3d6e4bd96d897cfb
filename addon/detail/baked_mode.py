"""The mode BAKED: an image sequence of maps plays on the head, without the backend."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...backend.errors import FurrowError
from . import displacement


def attach(obj: bpy.types.Object) -> None:
    """Displace the head by its image sequence, as the settings say; by nothing if it has none."""
    displacement.attach(obj, obj.furrow.baked_texture)


def is_attached(obj: bpy.types.Object) -> bool:
    """Whether the head is displaced by its image sequence, shown or not."""
    return displacement.is_attached(obj, obj.furrow.baked_texture)


def detach(obj: bpy.types.Object) -> None:
    """Play the sequence no more; it stays, for when the head is baked again."""
    displacement.detach(obj)


def load_sequence(
    obj: bpy.types.Object, folder: str | Path, first: int, count: int, start: int | None = None
) -> None:
    """Give a head the maps ``0001.exr``, ... of `folder` as its image sequence.

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
    texture = obj.furrow.baked_texture
    if texture is None:
        texture = displacement.new_texture(f"{obj.name} Baked Detail")
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
    obj.furrow.baked_texture = texture


def find_sequence(folder: str | Path) -> tuple[int, int]:
    """The first number and the count of the maps ``0001.exr``, ... in a folder; raises FurrowError."""
    numbers = sorted(int(f.stem) for f in Path(folder).glob("*.exr") if f.stem.isdecimal())
    if not numbers:
        raise FurrowError(f"There are no maps such as 0001.exr in {folder}.", "missing_file")
    return numbers[0], numbers[-1] - numbers[0] + 1


def state_text(obj: bpy.types.Object) -> str:
    """What the panel says about a head in this mode."""
    texture = obj.furrow.baked_texture
    if texture is None or texture.image is None:
        return "Nothing is baked yet"
    return f"Plays {texture.image_user.frame_duration} baked maps"
