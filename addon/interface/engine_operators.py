"""What runs the networks, how fast, and OpenVINO added or removed by a button."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import StringProperty

from ...backend.detail.engines import engine_speed
from ...backend.detail.engines.kinds import KINDS
from ...backend.errors import FurrowError
from ...backend.process import accelerator
from ..process import jobs
from .operator_bases import FurrowOperator, ImportHelper, JobOperator

if TYPE_CHECKING:
    from .operator_bases import Result


STALE_SECONDS = 5.0
"""How old what panels show may be: they draw many times a second, and this lies on the disk."""


@dataclass(frozen=True)
class EngineState:
    """What panels show of the engines.

    Attributes
    ----------
    speeds
        Lines on how fast each one measured itself, and when.
    has_openvino
        Whether OpenVINO was added.
    """

    speeds: tuple[str, ...]
    has_openvino: bool


_cached: tuple[float, EngineState] | None = None


def state() -> EngineState:
    """What lies in the user's folder, read again when it is stale."""
    global _cached
    now = time.monotonic()
    if _cached is None or now - _cached[0] > STALE_SECONDS:
        _cached = now, _read_state()
    return _cached[1]


def forget_state() -> None:
    """Let :func:`state` read anew."""
    global _cached
    _cached = None


def _read_state() -> EngineState:
    folder = jobs.user_folder()
    speeds = {k: v for k, v in engine_speed.read(folder).items() if k in KINDS}
    days = {speed.measured for speed in speeds.values()}
    lines = [
        f"{KINDS[kind].title}: {speed.exact_ms:.0f} ms a map" for kind, speed in speeds.items()
    ]
    lines += [f"Measured on {max(days)}"] if days else []
    return EngineState(tuple(lines), accelerator.installed(folder) is not None)


def lines() -> list[str]:
    """Why the engine that runs was chosen, and how fast each one measured itself."""
    client = jobs.running()
    why = client.info.get("why") if client is not None else None
    return [*([f"Why: {why}"] if why else []), *state().speeds]


def draw(layout: bpy.types.UILayout) -> None:
    """The lines, and the buttons of OpenVINO."""
    for line in lines():
        layout.label(text=line)
    if not jobs.own_python():
        return  # its packages are its owner's affair
    if state().has_openvino:
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
    return None if state().has_openvino else "OpenVINO was not added"


class OpenvinoAdd(JobOperator):
    """Base: adds OpenVINO in the background; the backend that starts next may use it."""

    disabled_reason = staticmethod(no_wheel)

    def execute(self, context: bpy.types.Context) -> Result:
        return self.run_modal(context)

    def commit(self, _context: bpy.types.Context, _result: Any) -> None:
        forget_state()
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
        return context.window_manager.invoke_confirm(
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
        try:
            accelerator.remove(jobs.user_folder())
        except FurrowError as error:
            return self.refuse(error)
        finally:
            forget_state()
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
