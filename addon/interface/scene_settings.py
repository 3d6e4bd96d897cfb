"""What a scene remembers of Furrow, as ``scene.furrow``; and files that have it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy
from bpy.app.handlers import persistent
from bpy.props import EnumProperty, PointerProperty, StringProperty

from . import registration
from .properties import RESOLUTIONS
from .speech_options import HeadOptions, PerformanceOptions, PlaceOptions

RELATIVE = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()
"""Options of a folder that may begin with //, which Blender asks for from 4.5 on."""

OLD_NAMES = ("furrow_bake_folder", "furrow_bake_resolution", "furrow_speech")
"""Properties of the scene itself, in files of Furrow 0.1."""


class FurrowSpeech(PerformanceOptions, HeadOptions, PlaceOptions, bpy.types.PropertyGroup):
    """What was chosen last in a scene, as ``scene.furrow.speech``."""


class FurrowScene(bpy.types.PropertyGroup):
    """What was chosen last in a scene."""

    bake_folder: StringProperty(
        name="Folder",
        description="Each head gets a folder of its own in it; // is beside the saved file",
        subtype="DIR_PATH",
        default="//furrow/",
        options=RELATIVE,
    )
    bake_resolution: EnumProperty(name="Resolution", items=RESOLUTIONS, default="1024")
    speech: PointerProperty(type=FurrowSpeech)


def of(scene: bpy.types.Scene) -> FurrowScene:
    """What a scene remembers."""
    return scene.furrow  # type: ignore[attr-defined]  # registered below


def recall(operator: bpy.types.Operator, scene: bpy.types.Scene, turns: str) -> None:
    """Give the operator what its caller left open: as in the scene's last import.

    Parameters
    ----------
    turns
        What turns with the head where the scene does not say.
    """
    stored = of(scene).speech
    for name in _shared(operator):
        if operator.properties.is_property_set(name):
            continue
        is_open = name == "turns" and not stored.is_property_set(name)
        setattr(operator, name, turns if is_open else getattr(stored, name))


def remember(operator: bpy.types.Operator, scene: bpy.types.Scene) -> None:
    """Let the scene keep what the operator was given."""
    for name in _shared(operator):
        setattr(of(scene).speech, name, getattr(operator, name))


def _shared(operator: bpy.types.Operator) -> list[str]:
    stored = FurrowSpeech.bl_rna.properties
    return [
        p.identifier
        for p in operator.properties.bl_rna.properties
        if p.identifier in stored and p.identifier not in ("rna_type", "name")
    ]


@persistent
def adopt_old_names(*_arguments: object) -> None:
    """Take over what a scene has under :data:`OLD_NAMES`, once."""
    for scene in bpy.data.scenes:
        if not scene.is_editable:
            continue
        for stored in _stored(scene):
            values = {name: stored[name] for name in OLD_NAMES if name in stored}
            _adopt(of(scene).speech, values.pop("furrow_speech", {}))
            _adopt(of(scene), {k.removeprefix("furrow_"): v for k, v in values.items()})
            for name in OLD_NAMES:
                if name in stored:
                    del stored[name]


def _stored(scene: bpy.types.Scene) -> list[Any]:
    """Where Blender keeps values of properties that nobody declares; 5.0 gave them a place of their own."""
    read = getattr(scene, "bl_system_properties_get", None)
    system = read() if read is not None else None
    return [scene] if system is None else [scene, system]


def _adopt(group: bpy.types.PropertyGroup, values: Mapping[str, Any]) -> None:
    """Set what the group knows; enumerations are stored as numbers."""
    for name, value in values.items():
        rna = group.bl_rna.properties.get(name)
        if isinstance(rna, bpy.types.EnumProperty):
            value = next((item.identifier for item in rna.enum_items if item.value == value), None)
        if rna is not None and value is not None:
            setattr(group, name, value)


CLASSES = (FurrowSpeech, FurrowScene)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    registration.attach(bpy.types.Scene, FurrowScene)
    bpy.app.handlers.load_post.append(adopt_old_names)


def unregister() -> None:
    if adopt_old_names in bpy.app.handlers.load_post:
        bpy.app.handlers.load_post.remove(adopt_old_names)
    registration.detach(bpy.types.Scene)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
