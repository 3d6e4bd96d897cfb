"""Operators of the backend process: start, stop, memory, and a check of the installation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy

from ...backend.errors import FurrowError
from ..detail import live_updates
from ..head import head_object, typed
from ..process import jobs
from . import registration
from .operator_bases import FurrowOperator, JobOperator

if TYPE_CHECKING:
    from .operator_bases import Result


def not_running(context: bpy.types.Context) -> str | None:
    """Why there is no backend to stop or to empty."""
    return None if jobs.running() is not None else "The backend does not run"


class FURROW_OT_backend_start(FurrowOperator):
    """Start the process that makes the maps; sliders start it by themselves"""

    bl_idname = "furrow.backend_start"
    bl_label = "Start Backend"

    def execute(self, _context: bpy.types.Context) -> Result:
        try:
            jobs.client().start()  # again, if it had failed
        except FurrowError as error:
            return self.refuse(error)
        for head in head_object.all_heads():
            live_updates.request(head, again=True)
        return {"FINISHED"}


class FURROW_OT_backend_stop(FurrowOperator):
    """End the process that makes the maps, and free its memory"""

    bl_idname = "furrow.backend_stop"
    bl_label = "Stop Backend"
    disabled_reason = staticmethod(not_running)

    def execute(self, _context: bpy.types.Context) -> Result:
        jobs.stop()
        return {"FINISHED"}


class FURROW_OT_backend_release(JobOperator):
    """Let the backend drop its networks from memory; they load again when needed"""

    bl_idname = "furrow.backend_release"
    bl_label = "Release Memory"
    disabled_reason = staticmethod(not_running)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> Result:
        return self.run_modal(context)

    def begin(self, _context: bpy.types.Context) -> jobs.Job:
        return jobs.client().request("release_memory", {})

    def commit(self, _context: bpy.types.Context, result: Any) -> None:
        before, after = result["before"] / 1e6, result["after"] / 1e6
        self.report({"INFO"}, f"The backend went from {before:.0f} to {after:.0f} MB")


class FURROW_OT_check_installation(JobOperator):
    """Start the backend, let it make a map, and list what it found"""

    bl_idname = "furrow.check_installation"
    bl_label = "Check Installation"

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> Result:
        return self.run_modal(context)

    def begin(self, _context: bpy.types.Context) -> jobs.Job:
        client = jobs.client()
        client.start()  # again, if it had failed
        return jobs.Background(
            jobs.examine, client=client, person=lambda: head_object.head().average()
        )

    def commit(self, context: bpy.types.Context, result: Any) -> None:
        good, lines = result
        title = "Furrow works" if good else "Furrow cannot make detail yet"
        print(title + "\n" + "\n".join(f"  {line}" for line in lines))
        if bpy.app.background:
            return

        def draw(self: bpy.types.UIPopupMenu, _context: bpy.types.Context) -> None:
            for line in lines:
                typed.layout(self).label(text=line)

        icon = "CHECKMARK" if good else "ERROR"
        typed.manager(context).popup_menu(draw, title=title, icon=icon)


CLASSES = (
    FURROW_OT_backend_start,
    FURROW_OT_backend_stop,
    FURROW_OT_backend_release,
    FURROW_OT_check_installation,
)

register, unregister = registration.of_classes(CLASSES)
