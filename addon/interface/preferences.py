"""The extension's preferences: which Python, which engine and which networks make the maps."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, StringProperty

from ...backend.detail.engines.kinds import AUTO, KINDS
from ..head import typed
from ..package import PACKAGE
from ..process import jobs
from . import engine_operators, registration


def _backend_changed(_self: bpy.types.bpy_struct, _context: bpy.types.Context) -> None:
    jobs.stop()  # the next request starts the new one


class FurrowPreferences(bpy.types.AddonPreferences):
    """Edit > Preferences > Extensions > Furrow."""

    bl_idname = PACKAGE

    python: StringProperty(
        name="Python",
        description="Python that runs the backend, as one with PyTorch and CUDA; "
        "empty for Blender's own",
        subtype="FILE_PATH",
        update=_backend_changed,
    )
    engine: EnumProperty(
        name="Engine",
        items=(
            (
                AUTO,
                "Automatic",
                "CUDA where it is found, else the engine that measured itself fastest",
            ),
            *((name, kind.title, kind.description) for name, kind in reversed(KINDS.items())),
        ),
        default=AUTO,
        update=_backend_changed,
    )
    networks: StringProperty(
        name="Networks",
        description="Folder of networks of detail that furrow train exported; empty for those that ship",
        subtype="DIR_PATH",
        update=_backend_changed,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        layout = typed.layout(self)
        layout.use_property_split = True
        layout.prop(self, "python", placeholder="Blender's own")
        layout.prop(self, "engine")
        engine_operators.draw(layout)
        layout.prop(self, "networks", placeholder="Those that ship")
        layout.operator("furrow.check_installation", icon="CHECKMARK")


register, unregister = registration.of_classes((FurrowPreferences,))
