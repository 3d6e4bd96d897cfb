"""preview.png, a contact sheet of expressions without and with detail; with film.py, preview.mp4."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ...backend.formats.expressions import FACESCAPE_PRESETS
from ...backend.formats.files import whole_file
from ..detail import detail_modes, displacement, live_mode, live_updates, moment
from ..detail.live_session import session
from ..head import head_object, typed
from . import baked_file, film, stage
from .take import Take

if TYPE_CHECKING:
    from ..process.client import Client

NAME = "preview.png"

EXPRESSIONS = ("neutral", "brow-raiser", "anger", "smile", "lip-puckerer")
TILE = (330, 372)
SAMPLES = 12
SUBDIVISIONS = 3
"""Vertices 0.4 mm apart; a tile's pixels are farther apart than that."""
_GAP = 4

Progress = Callable[[float, str], None]


def render(
    obj: bpy.types.Object,
    take: Take,
    folder: Path,
    client: Client,
    progress: Progress,
) -> list[str]:
    """Render both previews of a baked head whose file is saved; the open file is changed.

    Parameters
    ----------
    folder
        Where the previews go; head.blend lies here, or in the folder above for a shot of several.

    Returns
    -------
    Lines for people: what was written and by what.

    Raises
    ------
    FurrowError
        If a map cannot be made or a picture not be written.
    """
    blend = next(
        p for p in (folder / baked_file.NAME, folder.parent / baked_file.NAME) if p.is_file()
    )
    frames = range(take.first, take.last + 1)
    movie, engine = film.render(blend.resolve(), obj.name, frames, folder, progress)
    sheet = contact_sheet(obj, folder, take.resolution, client, progress)
    return [f"{sheet}: rendered by Cycles", f"{movie}: rendered by {engine}"]


def contact_sheet(
    obj: bpy.types.Object, folder: Path, resolution: int, client: Client, progress: Progress
) -> Path:
    """Render a row for each of EXPRESSIONS, without and with detail, into ``preview.png``.

    The head's animation is taken off for it: work on a file that is saved.
    """
    typed.keys(obj).animation_data_clear()
    obj.animation_data_clear()
    scene = bpy.data.scenes.new("Furrow Preview")
    scene.collection.objects.link(obj)
    camera = stage.build(scene, obj, yaw=20.0, margin=1.03)
    stage.render_settings(scene, SAMPLES)
    scene.render.resolution_x, scene.render.resolution_y = TILE
    label = _label(scene, camera)
    tiles: list[list[np.ndarray]] = []
    detail_modes.switch(obj, "LIVE")
    with session.paused(), tempfile.TemporaryDirectory(prefix="furrow-preview-") as temporary:
        for name in EXPRESSIONS:
            head_object.set_expression(obj, FACESCAPE_PRESETS[name])
            params = moment.map_request(obj, resolution)
            answer = client.call("map", params, timeout=live_updates.EXACT_TIMEOUT)
            live_mode.show_map(obj, answer["array"])
            subdivision = obj.modifiers[displacement.SUBDIVISION]
            assert isinstance(subdivision, bpy.types.SubsurfModifier)
            subdivision.render_levels = SUBDIVISIONS
            row = []
            for has_detail in (False, True):
                progress(len(tiles) / len(EXPRESSIONS), f"Portrait {name}")
                obj.modifiers[displacement.DISPLACEMENT].show_render = has_detail
                label.body = name.replace("-", " ") + ("\nwith detail" if has_detail else "")
                path = Path(temporary) / "tile.png"
                scene.render.filepath = str(path)
                bpy.ops.render.render(write_still=True, scene=scene.name)
                row.append(_pixels(path))
            tiles.append(row)
    path = folder / NAME
    _write(path, _sheet(tiles))
    return path


def _label(scene: bpy.types.Scene, camera: bpy.types.Object) -> bpy.types.TextCurve:
    """A line of text at the upper left of the picture, fixed to the camera."""
    curve = bpy.data.curves.new("Furrow Label", "FONT")
    assert isinstance(curve, bpy.types.TextCurve)
    material = bpy.data.materials.new("Furrow Label")
    if bpy.app.version < (5, 0):
        material.use_nodes = True
    assert material.node_tree is not None
    nodes = material.node_tree.nodes
    nodes.clear()
    emission, output = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeOutputMaterial")
    stage.set_input(emission, "Color", (0.75, 0.78, 0.80, 1.0))
    material.node_tree.links.new(emission.outputs[0], output.inputs["Surface"])
    curve.materials.append(material)
    distance = 0.2
    lens = camera.data
    assert isinstance(lens, bpy.types.Camera)
    half = distance * lens.sensor_height / 2 / lens.lens
    curve.size = half * 0.09
    text = bpy.data.objects.new("Furrow Label", curve)
    text.parent = camera
    text.location = (-half * TILE[0] / TILE[1] * 0.95, half * 0.86, -distance)
    text.visible_diffuse = text.visible_glossy = text.visible_shadow = False
    scene.collection.objects.link(text)
    return curve


def _pixels(path: Path) -> np.ndarray:
    """A picture file as (H, W, 4) float32 as it was written, bottom row first."""
    image = bpy.data.images.load(str(path), check_existing=False)
    width, height = image.size
    pixels = np.empty(width * height * 4, np.float32)
    values: Any = image.pixels  # an array; the stubs say a number
    values.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)


def _sheet(tiles: list[list[np.ndarray]]) -> np.ndarray:
    """Tiles by row and column on one dark sheet, (H, W, 4), bottom row first."""
    height, width = tiles[0][0].shape[:2]
    rows, columns = len(tiles), len(tiles[0])
    size = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 4)
    sheet = np.zeros(size, np.float32)
    sheet[..., 3] = 1.0
    for r, row in enumerate(tiles):
        for c, tile in enumerate(row):
            bottom, left = (rows - 1 - r) * (height + _GAP), c * (width + _GAP)
            sheet[bottom : bottom + height, left : left + width] = tile
    return sheet


def _write(path: Path, pixels: np.ndarray) -> None:
    height, width = pixels.shape[:2]
    image = bpy.data.images.new("Furrow Preview", width, height)
    values: Any = image.pixels
    values.foreach_set(pixels.ravel())
    try:
        with whole_file(path) as temporary:
            image.filepath_raw, image.file_format = str(temporary), "PNG"
            image.save()
    finally:
        bpy.data.images.remove(image)
