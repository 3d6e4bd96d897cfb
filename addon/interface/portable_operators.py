"""Operators of portable heads."""

from __future__ import annotations

from typing import Any

import bpy

from ...backend.errors import FurrowError
from ..detail import head_detail, portable_rig
from ..head import head_object
from ..process import jobs
from .operators import HeadOperator


class FURROW_OT_make_portable(jobs.JobOperator, bpy.types.Operator):
    """Put a basis of wrinkle maps into the file, mixed by nodes as the shape keys move: the head \
then plays in any Blender from 4.2 on, without Furrow"""

    bl_idname = "furrow.make_portable"
    bl_label = "Make Portable"
    bl_options = {"UNDO"}

    poll = HeadOperator.poll

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return self.run_modal(context)

    def begin(self, context: bpy.types.Context) -> Any:
        head = context.object
        self._head, self._person = head.name, portable_rig.person(head)
        parameters = portable_rig.request(head)
        channel = f"basis-{head.furrow.id}"
        return jobs.client().request("wrinkle_basis", parameters, channel=channel)

    def commit(self, _context: bpy.types.Context, result: Any) -> None:
        head = bpy.data.objects.get(self._head)
        if not head_object.is_head(head):
            raise FurrowError(f'"{self._head}" is gone, so its basis has no place.', "cancelled")
        if portable_rig.person(head) != self._person:
            raise FurrowError(
                f'"{head.name}" has become another person meanwhile; make it portable again.',
                "cancelled",
            )
        head_detail.make_portable(head, result)
        self.report({"INFO"}, portable_rig.state_text(head))


class FURROW_OT_portable_remove(HeadOperator, bpy.types.Operator):
    """Remove the basis, its nodes and drivers from the file; the head is live again"""

    bl_idname = "furrow.portable_remove"
    bl_label = "Remove Basis"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, head: bpy.types.Object) -> None:
        portable_rig.remove(head)
        head.furrow.detail_mode = "LIVE"


CLASSES = (FURROW_OT_make_portable, FURROW_OT_portable_remove)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
