"""What runs the networks, how fast, and OpenVINO added or removed by a button."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty
from bpy_extras.io_utils import ImportHelper

from ...backend.detail.engines import engine_speed
from ...backend.detail.engines.kinds import KINDS
from ...backend.errors import FurrowError
from ...backend.process import accelerator
from ..process import jobs


def lines() -> list[str]:
    """Why the engine that runs was chosen, and how fast each one measured itself."""
    client = jobs.running()
    why = client.info.get("why") if client is not None else None
    speeds = {
        kind: speed
        for kind, speed in engine_speed.read(jobs.user_folder()).items()
        if kind in KINDS
    }
    days = {speed.measured for speed in speeds.values()}
    return [
        *([f"Why: {why}"] if why else []),
        *(f"{KINDS[kind].title}: {speed.exact_ms:.0f} ms a map" for kind, speed in speeds.items()),
        *([f"Measured on {max(days)}"] if days else []),
    ]


def draw(layout: bpy.types.UILayout) -> None:
    """The lines, and the buttons of OpenVINO."""
    for line in lines():
        layout.label(text=line)
    if not jobs.own_python():
        return  # its packages are its owner's affair
    if accelerator.installed(jobs.user_folder()):
        layout.operator("furrow.openvino_remove", icon="TRASH")
    else:
        layout.menu("FURROW_MT_openvino_add", icon="ADD")


class AddingOperator(jobs.JobOperator):
    """Mixin: adds OpenVINO in the background; the backend that starts next may use it."""

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        try:
            accelerator.wheel_name()
        except FurrowError as error:
            cls.poll_message_set(str(error))  # type: ignore[attr-defined]
            return False
        return True

    def commit(self, _context: bpy.types.Context, _result: Any) -> None:
        _restart()
        text = f"OpenVINO {accelerator.VERSION} is added; Furrow will take it where it is faster"
        self.report({"INFO"}, text)  # type: ignore[attr-defined]


class FURROW_OT_openvino_add_file(AddingOperator, ImportHelper, bpy.types.Operator):
    """Add OpenVINO, which may make detail faster, from a wheel on this computer"""

    bl_idname = "furrow.openvino_add_file"
    bl_label = "From File..."

    filename_ext = ".whl"
    filter_glob: StringProperty(default="openvino-*.whl", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.run_modal(context)

    def begin(self, _context: bpy.types.Context) -> Any:
        folder = jobs.user_folder()
        return jobs.Background(accelerator.add, wheel=Path(self.filepath), folder=folder)


class FURROW_OT_openvino_download(AddingOperator, bpy.types.Operator):
    """Download OpenVINO, which may make detail faster, from the Python Package Index"""

    bl_idname = "furrow.openvino_download"
    bl_label = "Download..."

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not bpy.app.online_access:
            cls.poll_message_set(
                "Allow Online Access in Preferences > System, or add it from a file"
            )
            return False
        return super().poll(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        text = (
            f"{accelerator.megabytes()} MB from the Python Package Index, "
            "into Furrow's own folder. Nothing else is installed."
        )
        return context.window_manager.invoke_confirm(
            self, event, title="Download OpenVINO?", message=text, confirm_text="Download"
        )

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.run_modal(context)

    def begin(self, _context: bpy.types.Context) -> Any:
        if not bpy.app.online_access:  # scripts do not ask poll()
            raise FurrowError("Blender's preferences do not allow online access.")
        return jobs.Background(accelerator.download, folder=jobs.user_folder())


class FURROW_OT_openvino_remove(bpy.types.Operator):
    """Remove OpenVINO; ONNX Runtime, which came with Furrow, goes on"""

    bl_idname = "furrow.openvino_remove"
    bl_label = "Remove OpenVINO"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        jobs.stop()  # its files are in use
        try:
            accelerator.remove(jobs.user_folder())
        except FurrowError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        (jobs.user_folder() / engine_speed.FILE).unlink(missing_ok=True)  # it told of OpenVINO too
        return {"FINISHED"}


class FURROW_MT_openvino_add(bpy.types.Menu):
    bl_idname = "FURROW_MT_openvino_add"
    bl_label = "Add OpenVINO"

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("furrow.openvino_add_file", icon="FILE_FOLDER")
        layout.operator("furrow.openvino_download", text=_download_text(), icon="URL")


def _download_text() -> str:
    try:
        return f"Download ({accelerator.megabytes()} MB)..."
    except FurrowError:  # greyed, and poll() says why
        return "Download..."


def _restart() -> None:
    """Let the backend start anew, if it runs."""
    running = jobs.running() is not None
    jobs.stop()
    if running:
        jobs.client()


CLASSES = (
    FURROW_OT_openvino_add_file,
    FURROW_OT_openvino_download,
    FURROW_OT_openvino_remove,
    FURROW_MT_openvino_add,
)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
