"""Operators whose work takes a while: speech, motion from files, the bake, the backend's memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ...backend.errors import FurrowError
from ...backend.formats.weights import read_weights, write_weights
from ...backend.head import reenactment
from ..animation import expression_keys, motion, speech
from ..bake import bake_maps, bake_record, stage
from ..detail import head_detail, live_detail
from ..head import head_object
from ..process import jobs
from . import speech_options
from .operators import HeadOperator

SOUNDS = "*.wav;*.flac;*.ogg"
MOTIONS = "*.csv;*.npz"


class FaceOperator:
    """Mixin: works on the active mesh and its shape keys under ARKit's names, a head or any other."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.object is not None and context.object.type == "MESH":
            return True
        cls.poll_message_set("Select a Furrow head, or a mesh with ARKit's shape keys")  # type: ignore[attr-defined]
        return False

    def prepare(self, context: bpy.types.Context, turns: str) -> None:
        """Fill in what the caller left open; `turns` as in :func:`.speech_options.recall`."""
        speech_options.recall(self, context.scene, turns)

    def is_ready(self, context: bpy.types.Context, turns: str) -> bool:
        """From invoke(): whether there is a face, before the artist chooses a file; else says why."""
        try:
            expression_keys.shape_keys(context.object)
        except FurrowError as error:
            self.report({"ERROR"}, str(error))  # type: ignore[attr-defined]
            return False
        self.prepare(context, turns)
        return True


class LayingOperator(FaceOperator, speech_options.HeadOptions, speech_options.PlaceOptions):
    """Mixin of what lays motion on faces."""

    start_frame: IntProperty(name="Start Frame", default=1, options={"SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        ready = self.is_ready(context, self._turns(context))
        return ImportHelper.invoke(self, context, event) if ready else {"CANCELLED"}

    def prepare(self, context: bpy.types.Context, turns: str) -> None:
        given = self.properties.is_property_set("start_frame")  # type: ignore[attr-defined]
        start = self.start_frame
        super().prepare(context, turns)  # moves the start, as choosing a place does
        self.start_frame = start if given else speech_options.start_of(context.scene, self.place_as)

    def faces(self, context: bpy.types.Context) -> list[bpy.types.Object]:
        """The active face first, then the others that are asked for; each set of keys once."""
        found = {context.object.data: context.object}
        for obj in context.selected_objects if self.all_selected else ():
            if expression_keys.face_names(obj):
                found.setdefault(obj.data, obj)
        return list(found.values())

    @property
    def placement(self) -> motion.Placement:
        """What was chosen."""
        return motion.Placement(
            start_frame=self.start_frame,
            as_strip=self.place_as == "STRIP",
            bound=self.max_error if self.reduce_keys else 0.0,
            turns=self.turns,
            bone=self.bone,
        )

    def done(self, scene: bpy.types.Scene, lacking: str, summary: str) -> None:
        """Show the new curves, remember what was chosen, and say what was done."""
        scene.frame_set(scene.frame_current)
        speech_options.remember(self, scene)
        level = {"WARNING"} if lacking else {"INFO"}
        self.report(level, "; ".join(filter(None, [summary, lacking])))  # type: ignore[attr-defined]

    @staticmethod
    def _turns(context: bpy.types.Context) -> str:
        """A Furrow head turns as a whole; what a stranger's mesh hangs on is the artist's to say."""
        return "OBJECT" if head_object.is_head(context.object) else "NONE"


class FURROW_OT_speech_import(
    LayingOperator,
    speech_options.PerformanceOptions,
    jobs.JobOperator,
    ImportHelper,
    bpy.types.Operator,
):
    """Let the face speak a recording: its sound on the timeline, its motion as an Action or a strip"""

    bl_idname = "furrow.speech_import"
    bl_label = "Import Speech"
    bl_options = {"UNDO"}

    filename_ext = ".wav"
    filter_glob: StringProperty(default=SOUNDS, options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.run_modal(context)

    def draw(self, context: bpy.types.Context) -> None:
        speech_options.draw_performance(self, self.layout)
        speech_options.draw_placement(self, self.layout, context.object)

    def begin(self, context: bpy.types.Context) -> Any:
        self.prepare(context, self._turns(context))
        faces = self.faces(context)
        motion.check(faces, self.placement)
        self._faces, self._scene = [face.name for face in faces], context.scene.name
        return speech.request(jobs.client(), self.filepath, context.scene, self.asked(self.turns))

    def commit(self, _context: bpy.types.Context, result: Any) -> None:
        faces, scene = self._remembered()
        weights = speech.weights_of(result)
        lacking = motion.apply(faces, scene, self.filepath, weights, self.placement)
        strip = speech.place_sound(scene, self.filepath, self.start_frame)
        if strip is None:
            lacking = "; ".join(filter(None, [lacking, "this Blender was built without sound"]))
            last = self.start_frame + len(weights.values) - 1
        else:
            last = strip.frame_final_end - 1
        scene.frame_end = max(scene.frame_end, last)
        self.done(scene, lacking, f"{len(weights.values)} frames of speech")

    def _remembered(self) -> tuple[list[bpy.types.Object], bpy.types.Scene]:
        """The faces and the scene; raises FurrowError if the artist removed them meanwhile."""
        scene = bpy.data.scenes.get(self._scene)
        faces = [bpy.data.objects.get(name) for name in self._faces]
        if scene is None or not all(map(expression_keys.face_names, faces)):
            names = ", ".join(self._faces)
            raise FurrowError(f'"{names}" is gone, so the result has no place.', "cancelled")
        return faces, scene


class FURROW_OT_motion_import(LayingOperator, ImportHelper, bpy.types.Operator):
    """Let the face play weights over time: Live Link Face (.csv) or .npz"""

    bl_idname = "furrow.motion_import"
    bl_label = "Import Motion"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".csv"
    filter_glob: StringProperty(default=MOTIONS, options={"HIDDEN"})
    normalise: BoolProperty(
        name="Normalise Range",
        description="Stretch what the driver does, from rest to extreme, to what this face can do",
        default=False,
    )

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.prop(self, "normalise")
        speech_options.draw_placement(self, self.layout, context.object)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.prepare(context, self._turns(context))
            faces = self.faces(context)
            motion.check(faces, self.placement)
            weights = read_weights(self.filepath)
            if self.normalise:
                weights = reenactment.normalised(weights)
            lacking = motion.apply(faces, context.scene, self.filepath, weights, self.placement)
        except FurrowError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.done(context.scene, lacking, f"{len(weights.values)} frames of motion")
        return {"FINISHED"}


class FURROW_OT_motion_export(
    FaceOperator, speech_options.HeadOptions, ExportHelper, bpy.types.Operator
):
    """Write the face's motion over the scene's frames: Live Link Face (.csv) or .npz"""

    bl_idname = "furrow.motion_export"
    bl_label = "Export Motion"

    filename_ext = ".csv"
    check_extension = None  # .npz is as good
    filter_glob: StringProperty(default=MOTIONS, options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        ready = self.is_ready(context, "OBJECT")
        return ExportHelper.invoke(self, context, event) if ready else {"CANCELLED"}

    def draw(self, context: bpy.types.Context) -> None:
        speech_options.draw_head(self, self.layout, context.object)

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        self.prepare(context, "OBJECT")
        placement = motion.Placement(turns=self.turns, bone=self.bone)
        try:
            with live_detail.paused():
                weights = motion.read(context.object, scene, placement)
            write_weights(self.filepath, weights)
        except FurrowError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Wrote {len(weights.values)} frames to {self.filepath}")
        return {"FINISHED"}


class FURROW_OT_bake(jobs.JobOperator, bpy.types.Operator):
    """Write the detail map of every frame to a folder, then play them: no Furrow needed any more"""

    bl_idname = "furrow.bake"
    bl_label = "Bake Detail"
    bl_options = {"UNDO"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH", default="//furrow/")
    resolution: EnumProperty(
        name="Resolution", items=[(s, s, "") for s in ("256", "512", "1024")], default="1024"
    )
    poll = HeadOperator.poll

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.directory = context.scene.furrow_bake_folder
        self.resolution = context.scene.furrow_bake_resolution
        return self.run_modal(context)

    def begin(self, context: bpy.types.Context) -> Any:
        head = context.object
        self._head = head.name
        if self.directory.startswith("//") and not bpy.data.filepath:
            raise FurrowError("Save the file first, or choose a folder for the maps.")
        folder = Path(bpy.path.abspath(self.directory)) / bpy.path.clean_name(head.name)
        self._folder = folder
        self._take = bake_maps.take_of(head, context.scene, int(self.resolution))
        return jobs.Background(
            bake_maps.bake_maps, take=self._take, folder=folder, client=jobs.client()
        )

    def commit(self, _context: bpy.types.Context, _result: Any) -> None:
        head = bpy.data.objects.get(self._head)
        if not head_object.is_head(head):
            raise FurrowError(f'"{self._head}" is gone, so the maps have no place.', "cancelled")
        count = len(self._take.weights.values)
        head_detail.show_sequence(head, self._folder / bake_record.MAPS, self._take.first, count)
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

register, unregister = bpy.utils.register_classes_factory(CLASSES)
