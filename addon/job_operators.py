"""Operators whose work takes a while: speech, motion from files, the bake, the backend's memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..backend.errors import FurrowError
from ..backend.weights import Weights, read_weights, write_weights
from . import animation, bake, detail, head_object, jobs, speech, stage
from .operators import HeadOperator

SOUNDS = "*.wav;*.flac;*.ogg"
MOTIONS = "*.csv;*.npz"


class HeadJob(jobs.JobOperator):
    """Mixin: a job on the active head, which is found again by name when the job is done."""

    poll = HeadOperator.poll
    _head: str
    _scene: str

    def remember(self, context: bpy.types.Context) -> bpy.types.Object:
        self._head, self._scene = context.object.name, context.scene.name
        return context.object

    def remembered(self) -> tuple[bpy.types.Object, bpy.types.Scene]:
        """The head and the scene; raises FurrowError if the artist removed them meanwhile."""
        head, scene = bpy.data.objects.get(self._head), bpy.data.scenes.get(self._scene)
        if scene is None or not head_object.is_head(head):
            raise FurrowError(f'"{self._head}" is gone, so the result has no place.', "cancelled")
        return head, scene


class FURROW_OT_speech_import(HeadJob, ImportHelper, bpy.types.Operator):
    """Let the head speak a recording: its sound on the timeline, its motion as an Action"""

    bl_idname = "furrow.speech_import"
    bl_label = "Import Speech"
    bl_options = {"UNDO"}

    filename_ext = ".wav"
    filter_glob: StringProperty(default=SOUNDS, options={"HIDDEN"})
    start_frame: IntProperty(name="Start Frame", default=1)
    seed: IntProperty(
        name="Seed", description="Of blinks and small motion of the brows", min=0, default=0
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.start_frame = context.scene.frame_start
        return ImportHelper.invoke(self, context, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.run_modal(context)

    def begin(self, context: bpy.types.Context) -> Any:
        self.remember(context)
        return speech.request(jobs.client(), self.filepath, context.scene, self.seed)

    def commit(self, _context: bpy.types.Context, result: Any) -> None:
        head, scene = self.remembered()
        weights = speech.weights_of(result)
        speech.place(head, scene, self.filepath, weights, self.start_frame)
        scene.frame_set(scene.frame_current)  # the sliders show the new curves at once
        self.report({"INFO"}, f"{len(weights.values)} frames of speech")


class FURROW_OT_motion_import(HeadOperator, ImportHelper, bpy.types.Operator):
    """Let the head play weights over time: Live Link Face (.csv) or .npz"""

    bl_idname = "furrow.motion_import"
    bl_label = "Import Motion"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".csv"
    filter_glob: StringProperty(default=MOTIONS, options={"HIDDEN"})
    start_frame: IntProperty(name="Start Frame", default=1)

    def act(self, head: bpy.types.Object) -> None:
        scene, path = bpy.context.scene, Path(self.filepath)
        weights = read_weights(path)
        animation.write_action(head, weights, scene, self.start_frame, path.stem)
        last = (
            self.start_frame + len(weights.values) * animation.frame_rate(scene) / weights.fps - 1
        )
        scene.frame_end = max(scene.frame_end, round(last))
        scene.frame_set(scene.frame_current)


class FURROW_OT_motion_export(HeadOperator, ExportHelper, bpy.types.Operator):
    """Write the head's motion over the scene's frames: Live Link Face (.csv) or .npz"""

    bl_idname = "furrow.motion_export"
    bl_label = "Export Motion"

    filename_ext = ".csv"
    check_extension = None  # .npz is as good
    filter_glob: StringProperty(default=MOTIONS, options={"HIDDEN"})

    def act(self, head: bpy.types.Object) -> None:
        scene = bpy.context.scene
        frames = range(scene.frame_start, scene.frame_end + 1)
        with detail.paused():
            values = animation.sample(head, scene, frames)
        write_weights(self.filepath, Weights(values, animation.frame_rate(scene)))
        self.report({"INFO"}, f"Wrote {len(frames)} frames to {self.filepath}")


class FURROW_OT_bake(HeadJob, bpy.types.Operator):
    """Write the detail map of every frame to a folder, then play them: no Furrow needed any more"""

    bl_idname = "furrow.bake"
    bl_label = "Bake Detail"
    bl_options = {"UNDO"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH", default="//furrow/")
    resolution: EnumProperty(
        name="Resolution", items=[(s, s, "") for s in ("256", "512", "1024")], default="1024"
    )

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.directory = context.scene.furrow_bake_folder
        self.resolution = context.scene.furrow_bake_resolution
        return self.run_modal(context)

    def begin(self, context: bpy.types.Context) -> Any:
        head = self.remember(context)
        if self.directory.startswith("//") and not bpy.data.filepath:
            raise FurrowError("Save the file first, or choose a folder for the maps.")
        folder = Path(bpy.path.abspath(self.directory)) / bpy.path.clean_name(head.name)
        self._folder = folder
        self._take = bake.take_of(head, context.scene, int(self.resolution))
        return jobs.Background(bake.bake_maps, take=self._take, folder=folder, client=jobs.client())

    def commit(self, _context: bpy.types.Context, _result: Any) -> None:
        head, _scene = self.remembered()
        count = len(self._take.weights.values)
        detail.show_sequence(head, self._folder / bake.MAPS, self._take.first, count)
        self.report({"INFO"}, f"{count} maps lie in {self._folder}")


class FURROW_OT_stage_add(HeadOperator, bpy.types.Operator):
    """Add a camera and three lights for a portrait of this head"""

    bl_idname = "furrow.stage_add"
    bl_label = "Add Portrait Stage"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, head: bpy.types.Object) -> None:
        stage.build(bpy.context.scene, head)


class FURROW_OT_backend_release(jobs.JobOperator, bpy.types.Operator):
    """Let the backend drop its networks from memory; they load again when needed"""

    bl_idname = "furrow.backend_release"
    bl_label = "Release Memory"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        return jobs.running() is not None

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return self.run_modal(context)

    def begin(self, _context: bpy.types.Context) -> Any:
        return jobs.client().request("release_memory", {})

    def commit(self, _context: bpy.types.Context, result: Any) -> None:
        before, after = result["before"] / 1e6, result["after"] / 1e6
        self.report({"INFO"}, f"The backend went from {before:.0f} to {after:.0f} MB")


class FURROW_OT_check_installation(jobs.JobOperator, bpy.types.Operator):
    """Start the backend, let it make a map, and list what it found"""

    bl_idname = "furrow.check_installation"
    bl_label = "Check Installation"

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return self.run_modal(context)

    def begin(self, _context: bpy.types.Context) -> Any:
        client = jobs.client()
        client.start()  # again, if it had failed
        return jobs.Background(jobs.examine, client=client)

    def commit(self, context: bpy.types.Context, result: Any) -> None:
        good, lines = result
        title = "Furrow works" if good else "Furrow cannot make detail yet"
        print(title + "\n" + "\n".join(f"  {line}" for line in lines))
        if bpy.app.background:
            return

        def draw(self: bpy.types.UIPopupMenu, _context: bpy.types.Context) -> None:
            for line in lines:
                self.layout.label(text=line)

        icon = "CHECKMARK" if good else "ERROR"
        context.window_manager.popup_menu(draw, title=title, icon=icon)


CLASSES = (
    FURROW_OT_speech_import,
    FURROW_OT_motion_import,
    FURROW_OT_motion_export,
    FURROW_OT_bake,
    FURROW_OT_stage_add,
    FURROW_OT_backend_release,
    FURROW_OT_check_installation,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
