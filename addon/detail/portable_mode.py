"""The mode PORTABLE: wrinkles follow the shape keys by Blender's own means, without Furrow.

A geometry nodes modifier (`portable_nodes`) mixes the basis of maps that the backend has fitted
(`backend.detail.wrinkle_basis`). Each of its 52 weights has a driver of one variable, the value of a shape
key, and no expression: Blender runs those also where scripts are off. Images are packed.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...backend.errors import FurrowError
from ...backend.formats.expressions import EXPRESSIONS
from ...backend.formats.identity import styles_request
from ..head import head_object, head_state, settings
from . import displacement, modifier_inputs, moment, portable_material, portable_nodes

MODIFIER = "Furrow Portable"

_PERSON, _ERRORS = "furrow_person", "furrow_errors"
"""On the node group: whose basis it is, and its errors in micrometres as JSON."""


def request(obj: bpy.types.Object) -> dict[str, Any]:
    """What to ask the backend for a head's basis; raises FurrowError if it cannot become portable."""
    if not obj.is_editable or not obj.data.is_editable:
        raise FurrowError(f'"{obj.name}" is linked from another file; make it portable there.')
    if obj.data.shape_keys is None:
        raise FurrowError(f'"{obj.name}" has lost its shape keys; undo, or add a new head.')
    state = obj.furrow
    return {
        **styles_request(head_object.identity_of(obj), head_object.relief_of(obj)),
        "resolution": int(state.detail_resolution),
        "components": int(state.portable_components),
    }


def attach(obj: bpy.types.Object) -> None:
    """Bring subdivision, nodes and material to the head's settings; it stays smooth without a basis."""
    displacement.prepare(obj)
    modifier = obj.modifiers.get(MODIFIER)
    if modifier is None or modifier.node_group is None:
        return
    recall(obj)
    state = obj.furrow
    shades = [name == "SHADED" for name in (state.detail_viewport, state.portable_render)]
    inputs = (portable_nodes.STRENGTH, portable_nodes.SHADE_VIEWPORT, portable_nodes.SHADE_RENDER)
    identifiers = modifier_inputs.identifiers(modifier.node_group)
    for name, value in zip(inputs, (displacement.height_m(obj), *shades), strict=True):
        modifier_inputs.put(modifier, identifiers[name], value)
    visible = state.detail_enabled
    settings.apply(modifier, show_viewport=visible, show_render=visible)
    if visible and any(shades):
        images = basis_images(modifier.node_group)[: portable_nodes.SHADED_IMAGES]
        portable_material.attach(obj, images, head_object.UV_MAP)
    else:
        portable_material.detach(obj)


def is_attached(obj: bpy.types.Object) -> bool:
    """Whether the head's basis is shown."""
    modifier = obj.modifiers.get(MODIFIER)
    return modifier is not None and (modifier.show_viewport or modifier.show_render)


def detach(obj: bpy.types.Object) -> None:
    """Show the basis no more; it stays, for when the head is portable again."""
    settings.apply(obj.modifiers[MODIFIER], show_viewport=False, show_render=False)
    portable_material.detach(obj)


def make(obj: bpy.types.Object, basis: dict[str, Any]) -> None:
    """Give a head modifier, drivers and images of a basis; one that it had before goes.

    Parameters
    ----------
    basis
        The backend's answer to `request`.
    """
    remove(obj)
    displacement.prepare(obj)
    images = _images(f"{obj.name} Wrinkles", basis["array"])
    table = _table(f"{obj.name} Wrinkle Weights", basis, len(images))
    group = portable_nodes.build(
        f"{obj.name} Portable", images, table, head_object.UV_MAP, head_object.SKIN_GROUP
    )
    group[_PERSON] = person(obj)
    group[_ERRORS] = json.dumps(basis["errors"])
    modifier = obj.modifiers.new(MODIFIER, "NODES")
    modifier.node_group = group
    place = obj.modifiers.find(displacement.DISPLACEMENT) + 1
    obj.modifiers.move(len(obj.modifiers) - 1, place)
    _drive(obj, modifier)


def remove(obj: bpy.types.Object) -> None:
    """Take modifier, drivers and, if nobody else uses them, node group and images away."""
    modifier = obj.modifiers.get(MODIFIER)
    if modifier is None:
        return
    portable_material.detach(obj)
    head_state.of(obj).portable_errors = None
    group = modifier.node_group
    for identifier in modifier_inputs.identifiers(group).values():
        modifier_inputs.release(modifier, identifier)
    obj.modifiers.remove(modifier)
    if group is not None and not group.users:
        nodes = portable_nodes.textures(group, "Linear") + portable_nodes.textures(group, "Closest")
        images = {node.inputs["Image"].default_value for node in nodes}
        bpy.data.node_groups.remove(group)
        for image in images:
            if image is not None and not image.users:
                bpy.data.images.remove(image)


def has_basis(obj: bpy.types.Object) -> bool:
    """Whether a head has a basis."""
    modifier = obj.modifiers.get(MODIFIER)
    return modifier is not None and modifier.node_group is not None


def basis_images(group: bpy.types.GeometryNodeTree) -> list[bpy.types.Image]:
    """The maps of a node group that `portable_nodes.build` made, in their order."""
    return [node.inputs["Image"].default_value for node in portable_nodes.textures(group, "Linear")]


def person(obj: bpy.types.Object) -> str:
    """A key that names a head's identity with everything that its maps depend on."""
    return moment.digest(styles_request(head_object.identity_of(obj), head_object.relief_of(obj)))


def recall(obj: bpy.types.Object) -> None:
    """Read the errors of a head's basis from the file, for the panel, which reads nothing itself."""
    if has_basis(obj):
        errors = json.loads(obj.modifiers[MODIFIER].node_group[_ERRORS])
        rms = {kind: float(error["rms"]) for kind, error in errors.items()}
        head_state.of(obj).portable_errors = rms


def state_text(obj: bpy.types.Object) -> str:
    """What the panel says about a head in this mode."""
    if not has_basis(obj):
        return "Not portable yet"
    if obj.modifiers[MODIFIER].node_group.get(_PERSON) != person(obj):
        return "Made for another identity: make it portable again"
    rms = head_state.of(obj).portable_errors
    if rms is None:  # linked since the file was opened
        return "Plays without the backend"
    return (
        f"Within {rms['speech']:.1f} µm in speech, {rms['strong']:.0f} µm in strong mixtures (RMS)"
    )


def _images(name: str, maps: np.ndarray) -> list[bpy.types.Image]:
    """Packed images of maps (1 + K, R, R) in mm, three each.

    The backend has rounded them to half floats; Blender packs pixels as full floats, but a file as
    it is, and a file of half floats takes a third of the bytes.
    """
    count, size, _ = maps.shape
    images = []
    scene = bpy.data.scenes.new(name)  # carries the settings of the files
    image_settings = scene.render.image_settings
    image_settings.file_format, image_settings.color_mode = "OPEN_EXR", "RGB"
    image_settings.color_depth, image_settings.exr_codec = "16", "ZIP"
    try:
        with tempfile.TemporaryDirectory(prefix="furrow-") as folder:
            for first in range(0, count, 3):
                pixels = np.zeros((size, size, 4), np.float32)
                pixels[..., 3] = 1.0
                for channel, map_mm in enumerate(maps[first : first + 3]):
                    pixels[..., channel] = map_mm[::-1]
                path = Path(folder, f"{first // 3}.exr")
                image = _image(name, pixels)
                image.save_render(str(path), scene=scene)
                bpy.data.images.remove(image)
                images.append(_pack(path, f"{name} {first // 3}"))
    except (OSError, RuntimeError) as error:
        raise FurrowError(f"The maps cannot be packed: {error}".strip(), "write_failed") from None
    finally:
        bpy.data.scenes.remove(scene)
    return images


def _pack(path: Path, name: str) -> bpy.types.Image:
    """An image that holds the bytes of a file, and forgets where it lay."""
    image = bpy.data.images.load(str(path))
    image.name = name
    image.colorspace_settings.name = "Non-Color"
    image.pack()
    image.filepath_raw = f"//{name}.exr"
    return image


def _table(name: str, basis: dict[str, Any], groups: int) -> bpy.types.Image:
    """The hinges as `portable_nodes.build` reads them, packed as full floats."""
    coefficients = np.asarray(basis["coefficients"], np.float32)
    hinges, components = coefficients.shape
    pixels = np.zeros((1 + groups, hinges, 4), np.float32)
    for channel, part in enumerate(("first", "second", "threshold")):
        pixels[0, :, channel] = basis[part]
    weights = np.zeros((hinges, 3 * groups), np.float32)
    weights[:, 1 : 1 + components] = coefficients  # the first is the neutral map's
    pixels[1:, :, :3] = weights.reshape(hinges, groups, 3).transpose(1, 0, 2)
    pixels[..., 3] = 1.0
    table = _image(name, pixels)
    table.pack()
    return table


def _image(name: str, pixels: np.ndarray) -> bpy.types.Image:
    """An image of float pixels (H, W, 4), the lowest row first."""
    height, width = pixels.shape[:2]
    image = bpy.data.images.new(name, width, height, float_buffer=True, is_data=True)
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    return image


def _drive(obj: bpy.types.Object, modifier: bpy.types.NodesModifier) -> None:
    """Let each shape key that there is drive its weight."""
    keys = obj.data.shape_keys
    identifiers = modifier_inputs.identifiers(modifier.node_group)
    for name in EXPRESSIONS:
        if name not in keys.key_blocks:
            continue  # its weight stays 0
        driver = modifier_inputs.drive(modifier, identifiers[name])
        driver.type = "SUM"
        variable = driver.variables.new()
        variable.targets[0].id_type = "KEY"
        variable.targets[0].id = keys
        variable.targets[0].data_path = f'key_blocks["{name}"].value'
