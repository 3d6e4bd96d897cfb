"""What Furrow's operators share: buttons that say why they are grey, errors as reports, long work.

`disabled_reason` is the whole of a poll: a function of the context that returns a reason. It is
called through the registered class, whose message is set here and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy

from ...backend.errors import FurrowError
from ..head import head_object
from ..process.jobs import Job

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import OperatorReturnItems

    Result = set[OperatorReturnItems]

    class ImportHelper:
        """Blender's; the stubs leave its property out and let invoke() return nothing."""

        filepath: str

    class ExportHelper:
        """As ImportHelper."""

        filepath: str

else:
    from bpy_extras.io_utils import ExportHelper, ImportHelper

__all__ = ["ExportHelper", "ImportHelper"]

POLL_SECONDS = 0.1
"""How often a job that runs beside the window is looked at."""


def no_head(context: bpy.types.Context) -> str | None:
    """Why there is no head to work on."""
    return None if head_object.is_head(context.object) else "Select a Furrow head first"


def no_editable_head(context: bpy.types.Context) -> str | None:
    """Why there is no head whose settings and modifiers may be changed."""
    head = context.object
    if head is None or not head_object.is_head(head):
        return no_head(context)
    return None if head.is_editable else _linked(head)


def no_editable_mesh(context: bpy.types.Context) -> str | None:
    """Why there is no head whose vertices and shape keys may be changed too."""
    head = context.object
    if head is None or head.data is None or not head_object.is_head(head):
        return no_head(context)
    return None if head.is_editable and head.data.is_editable else _linked(head)


def _linked(head: bpy.types.Object) -> str:
    return f'"{head.name}" is linked from another file: change it there, or make it local'


class FurrowOperator(bpy.types.Operator):
    """Base of all our operators: greyed out, with the reason, where they cannot work."""

    @staticmethod
    def disabled_reason(context: bpy.types.Context) -> str | None:
        """Why the operator cannot work here, in a line for people; None where it can."""
        return None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = cls.disabled_reason(context)
        if reason is not None:
            cls.poll_message_set(reason)
        return reason is None

    def refuse(self, error: FurrowError) -> Result:
        """Report what went wrong; the operator's result."""
        self.report({"ERROR"}, str(error))
        return {"CANCELLED"}


class HeadOperator(FurrowOperator):
    """Base of operators that do something with the active head at once."""

    disabled_reason = staticmethod(no_editable_mesh)

    def execute(self, context: bpy.types.Context) -> Result:
        head = context.object
        assert head is not None  # poll() has seen a head
        try:
            self.act(head)
        except FurrowError as error:
            return self.refuse(error)
        return {"FINISHED"}

    def act(self, head: bpy.types.Object) -> None:
        """Do it; raises FurrowError."""
        raise NotImplementedError


class JobOperator(FurrowOperator):
    """Base of operators whose long part runs elsewhere while the window lives.

    With a window the operator is modal, with a progress bar, and Esc cancels; without one it waits.
    Datablocks are kept by name between `begin` and `commit`, since undo frees them.
    """

    _job: Job | None = None
    _timer: bpy.types.Timer | None = None

    def begin(self, context: bpy.types.Context) -> Job:
        """Start the long part."""
        raise NotImplementedError

    def commit(self, context: bpy.types.Context, result: Any) -> None:
        """Write the job's result into Blender."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> Result:
        """Wait for the job; operators that choose a file first call run_modal() here instead."""
        return self.run_blocking(context)

    def run_blocking(self, context: bpy.types.Context) -> Result:
        """Begin, wait and commit."""
        try:
            job = self.begin(context)
            job.wait()
            self.commit(context, job.result())
        except FurrowError as error:
            return self.refuse(error)
        return {"FINISHED"}

    def run_modal(self, context: bpy.types.Context) -> Result:
        """Call from invoke(), or from execute() after a file was chosen."""
        manager = context.window_manager
        if bpy.app.background or manager is None:
            return self.run_blocking(context)
        try:
            self._job = self.begin(context)
        except FurrowError as error:
            return self.refuse(error)
        manager.progress_begin(0, 100)
        self._timer = manager.event_timer_add(POLL_SECONDS, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        job, manager, workspace = self._job, context.window_manager, context.workspace
        if job is None or manager is None or workspace is None:
            return {"CANCELLED"}
        if event.type == "ESC" and event.value == "PRESS":
            job.cancel()
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        fraction, text = job.progress
        manager.progress_update(100 * fraction)
        workspace.status_text_set(f"{text} {100 * fraction:.0f} %   (Esc cancels)")
        if not job.done():
            return {"PASS_THROUGH"}
        self._end(context)
        try:
            self.commit(context, job.result())
        except FurrowError as error:
            self.report({"INFO" if error.code == "cancelled" else "ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def cancel(self, context: bpy.types.Context) -> None:
        if self._job is not None:
            self._job.cancel()
            self._end(context)

    def _end(self, context: bpy.types.Context) -> None:
        """Take progress bar, timer and status text away."""
        manager, workspace = context.window_manager, context.workspace
        if manager is not None:
            manager.progress_end()
            if self._timer is not None:
                manager.event_timer_remove(self._timer)
        if workspace is not None:
            workspace.status_text_set(None)
