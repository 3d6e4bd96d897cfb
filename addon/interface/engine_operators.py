"""What runs the networks, how fast, and OpenVINO added or removed by a button."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import StringProperty

from ...backend.detail.engines import engine_speed
from ...backend.errors import FurrowError
from ...backend.process import accelerator
from ..head import typed
from ..process import jobs
from . import installation, registration
from .operator_bases import FurrowOperator, ImportHelper, JobOperator

if TYPE_CHECKING:
    from .operator_bases import Result


def lines() -> list[str]:
    """Why the engine that runs was chosen, and how fast each one measured itself."""
    client = jobs.running()
    why = client.info.get("why") if client is not None else None
    return [*([f"Why: {why}"] if why else []), *installation.current().speeds]


def draw(layout: bpy.types.UILayout) -> None:
    """The lines, and the buttons of OpenVINO."""
    for line in lines():
        layout.label(text=line)
    if not jobs.own_python():
        return  # its packages are its owner's affair
    if installation.current().has_openvino:
        layout.operator("furrow.openvino_remove", icon="TRASH")
    else:
        layout.menu("FURROW_MT_openvino_add", icon="ADD")


def no_wheel(context: bpy.types.Context) -> str | None:
    """Why OpenVINO cannot be added to this Python."""
    try:
        accelerator.wheel_name()
    except FurrowError as error:
        return str(error)
    return None


def no_download(context: bpy.types.Context) -> str | None:
    """Why OpenVINO cannot be downloaded."""
    if not bpy.app.online_access:
        return "Allow Online Access in Preferences > System, or add it from a file"
    return no_wheel(context)


def no_openvino(context: bpy.types.Context) -> str | None:
    """Why there is no OpenVINO to remove."""
    return None if installation.current().has_openvino else "OpenVINO was not added"


class OpenvinoAdd(JobOperator):
    """Base: adds OpenVINO in the background; the backend that starts next may use it."""

    disabled_reason = staticmethod(no_wheel)

    def execute(self, context: bpy.types.Context) -> Result:
        return self.run_modal(context)

    def commit(self, _context: bpy.types.Context, _result: Any) -> None:
        installation.read()
        _restart()
        text = f"OpenVINO {accelerator.VERSION} is added; Furrow will take it where it is faster"
        self.report({"INFO"}, text)


class FURROW_OT_openvino_add_file(OpenvinoAdd, ImportHelper):
    """Add OpenVINO, which may make detail faster, from a wheel on this computer"""

    bl_idname = "furrow.openvino_add_file"
    bl_label = "From File..."

    filename_ext = ".whl"
    filter_glob: StringProperty(default="openvino-*.whl", options={"HIDDEN"})

    def begin(self, _context: bpy.types.Context) -> jobs.Job:
        folder = jobs.user_folder()
        return jobs.Background(accelerator.add, wheel=Path(self.filepath), folder=folder)


class FURROW_OT_openvino_download(OpenvinoAdd):
    """Download OpenVINO, which may make detail faster, from the Python Package Index"""

    bl_idname = "furrow.openvino_download"
    bl_label = "Download..."
    disabled_reason = staticmethod(no_download)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        text = (
            f"{accelerator.megabytes()} MB from the Python Package Index, "
            "into Furrow's own folder. Nothing else is installed."
        )
        return typed.manager(context).invoke_confirm(
            self, event, title="Download OpenVINO?", message=text, confirm_text="Download"
        )

    def begin(self, _context: bpy.types.Context) -> jobs.Job:
        if not bpy.app.online_access:  # switched off while the question was open
            raise FurrowError("Blender's preferences do not allow online access.")
        return jobs.Background(accelerator.download, folder=jobs.user_folder())


class FURROW_OT_openvino_remove(FurrowOperator):
    """Remove OpenVINO; ONNX Runtime, which came with Furrow, goes on"""

    bl_idname = "furrow.openvino_remove"
    bl_label = "Remove OpenVINO"
    disabled_reason = staticmethod(no_openvino)

    def execute(self, _context: bpy.types.Context) -> Result:
        jobs.stop()  # its files are in use
        folder = jobs.user_folder()
        try:
            accelerator.remove(folder)
            (folder / engine_speed.FILE).unlink(missing_ok=True)  # its speed is in there too
        except FurrowError as error:
            return self.refuse(error)
        finally:
            installation.read()
        return {"FINISHED"}


class FURROW_MT_openvino_add(bpy.types.Menu):
    bl_idname = "FURROW_MT_openvino_add"
    bl_label = "Add OpenVINO"

    def draw(self, _context: bpy.types.Context) -> None:
        layout = typed.layout(self)
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

register, unregister = registration.of_classes(CLASSES)
