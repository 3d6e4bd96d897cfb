"""Operators of a head's detail: refreshed, baked, made portable; and light to see it by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ...backend.errors import FurrowError
from ..bake import bake_record, map_sequence, stage
from ..bake.take import scene_take
from ..detail import baked_mode, detail_modes, live_mode, live_updates, portable_mode
from ..head import head_object, typed
from ..process import jobs
from . import registration, scene_settings
from .operator_bases import (
    HeadOperator,
    JobOperator,
    no_editable_head,
    no_editable_mesh,
    no_head,
)

if TYPE_CHECKING:
    from .operator_bases import Result


class FURROW_OT_detail_refresh(HeadOperator):
    """Make the detail map anew"""

    bl_idname = "furrow.detail_refresh"
    bl_label = "Refresh Detail"
    bl_options = {"REGISTER", "UNDO"}
    disabled_reason = staticmethod(no_editable_head)

    def act(self, head: bpy.types.Object) -> None:
        detail_modes.attach(head)
        live_updates.request(head, again=True)
        if bpy.app.background and live_mode.is_shown(head):
            live_updates.exact_map(head)


class FURROW_OT_detail_sequence(HeadOperator):
    """Play baked maps (0001.exr, ...) from a folder"""

    bl_idname = "furrow.detail_sequence"
    bl_label = "Show Baked Maps"
    bl_options = {"REGISTER", "UNDO"}
    disabled_reason = staticmethod(no_editable_head)

    directory: StringProperty(name="Folder", subtype="DIR_PATH")
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> Result:
        typed.manager(context).fileselect_add(self)
        return {"RUNNING_MODAL"}

    def act(self, head: bpy.types.Object) -> None:
        first, count = baked_mode.find_sequence(bpy.path.abspath(self.directory))
        detail_modes.show_sequence(head, bpy.path.abspath(self.directory), first, count)


class FURROW_OT_make_portable(JobOperator):
    """Put a basis of wrinkle maps into the file, mixed by nodes as the shape keys move: the head \
then plays in any Blender from 4.2 on, without Furrow"""

    bl_idname = "furrow.make_portable"
    bl_label = "Make Portable"
    bl_options = {"UNDO"}
    disabled_reason = staticmethod(no_editable_mesh)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> Result:
        return self.run_modal(context)

    def begin(self, context: bpy.types.Context) -> jobs.Job:
        head = typed.active(context)
        self._head, self._person = head.name, portable_mode.person(head)
        parameters = portable_mode.request(head)
        channel = f"basis-{typed.properties(head).id}"
        return jobs.client().request("wrinkle_basis", parameters, channel=channel)

    def commit(self, _context: bpy.types.Context, result: Any) -> None:
        head = bpy.data.objects.get(self._head)
        if not head_object.is_head(head):
            raise FurrowError(f'"{self._head}" is gone, so its basis has no place.', "cancelled")
        if portable_mode.person(head) != self._person:
            raise FurrowError(
                f'"{head.name}" has become another person meanwhile; make it portable again.',
                "cancelled",
            )
        detail_modes.make_portable(head, result)
        self.report({"INFO"}, portable_mode.state_text(head))


class FURROW_OT_portable_remove(HeadOperator):
    """Remove the basis, its nodes and drivers from the file; the head is live again"""

    bl_idname = "furrow.portable_remove"
    bl_label = "Remove Basis"
    bl_options = {"REGISTER", "UNDO"}
    disabled_reason = staticmethod(no_editable_head)

    def act(self, head: bpy.types.Object) -> None:
        portable_mode.remove(head)
        typed.properties(head).detail_mode = "LIVE"


class FURROW_OT_bake(JobOperator):
    """Write the detail map of every frame to a folder, then play them: no Furrow needed any more"""

    bl_idname = "furrow.bake"
    bl_label = "Bake Detail"
    bl_options = {"UNDO"}
    disabled_reason = staticmethod(no_editable_head)

    directory: StringProperty(
        name="Folder", subtype="DIR_PATH", default="//furrow/", options=scene_settings.RELATIVE
    )
    resolution: EnumProperty(
        name="Resolution", items=[(s, s, "") for s in ("256", "512", "1024")], default="1024"
    )

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> Result:
        settings = scene_settings.of(typed.scene(context))
        self.directory, self.resolution = settings.bake_folder, settings.bake_resolution
        return self.run_modal(context)

    def begin(self, context: bpy.types.Context) -> jobs.Job:
        head = typed.active(context)
        self._head = head.name
        if self.directory.startswith("//") and not bpy.data.filepath:
            raise FurrowError("Save the file first, or choose a folder for the maps.")
        folder = Path(bpy.path.abspath(self.directory)) / bpy.path.clean_name(head.name)
        self._folder = folder
        self._take = scene_take(head, typed.scene(context), int(self.resolution))
        return jobs.Background(
            map_sequence.bake, take=self._take, folder=folder, client=jobs.client()
        )

    def commit(self, _context: bpy.types.Context, _result: Any) -> None:
        head = bpy.data.objects.get(self._head)
        if not head_object.is_head(head):
            raise FurrowError(f'"{self._head}" is gone, so the maps have no place.', "cancelled")
        count = len(self._take.weights.values)
        detail_modes.show_sequence(head, self._folder / bake_record.MAPS, self._take.first, count)
        self.report({"INFO"}, f"{count} maps lie in {self._folder}")


class FURROW_OT_stage_add(HeadOperator):
    """Add a camera and three lights for a portrait of this head"""

    bl_idname = "furrow.stage_add"
    bl_label = "Add Portrait Stage"
    bl_options = {"REGISTER", "UNDO"}
    disabled_reason = staticmethod(no_head)

    def act(self, head: bpy.types.Object) -> None:
        stage.build(typed.scene(bpy.context), head)


CLASSES = (
    FURROW_OT_detail_refresh,
    FURROW_OT_detail_sequence,
    FURROW_OT_make_portable,
    FURROW_OT_portable_remove,
    FURROW_OT_bake,
    FURROW_OT_stage_add,
)

register, unregister = registration.of_classes(CLASSES)
