"""Operators of motion: speech and weights over time onto a face, and a face's motion to a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import BoolProperty, IntProperty, StringProperty

from ...backend.errors import FurrowError
from ...backend.formats.weights import read_weights, write_weights
from ...backend.head import reenactment
from ..animation import expression_keys, motion, speech
from ..detail.live_session import session
from ..head import head_object, typed
from ..process import jobs
from . import registration, scene_settings, speech_options
from .operator_bases import ExportHelper, FurrowOperator, ImportHelper, JobOperator

if TYPE_CHECKING:
    from .operator_bases import Result

SOUNDS = "*.wav;*.flac;*.ogg"
MOTIONS = "*.csv;*.npz"


class FaceOperator(FurrowOperator):
    """Base: works on the active mesh and its shape keys under ARKit's names, a head or any other."""

    @staticmethod
    def disabled_reason(context: bpy.types.Context) -> str | None:
        if context.object is not None and context.object.type == "MESH":
            return None
        return "Select a Furrow head, or a mesh with ARKit's shape keys"

    def prepare(self, context: bpy.types.Context, turns: str) -> None:
        """Fill in what the caller left open; `turns` as in :func:`.scene_settings.recall`."""
        scene_settings.recall(self, typed.scene(context), turns)

    def is_ready(self, context: bpy.types.Context, turns: str) -> bool:
        """From invoke(): whether there is a face, before the artist chooses a file; else says why."""
        try:
            expression_keys.shape_keys(typed.active(context))
        except FurrowError as error:
            self.refuse(error)
            return False
        self.prepare(context, turns)
        return True


class MotionImport(FaceOperator, speech_options.HeadOptions, speech_options.PlaceOptions):
    """Base of what puts motion on faces."""

    start_frame: IntProperty(name="Start Frame", default=1, options={"SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        ready = self.is_ready(context, default_turns(context))
        return super().invoke(context, event) if ready else {"CANCELLED"}

    def prepare(self, context: bpy.types.Context, turns: str) -> None:
        is_given = self.properties.is_property_set("start_frame")
        start = self.start_frame
        super().prepare(context, turns)  # moves the start, as choosing a place does
        ordinary = speech_options.start_of(typed.scene(context), self.place_as)
        self.start_frame = start if is_given else ordinary

    def faces(self, context: bpy.types.Context) -> list[bpy.types.Object]:
        """The active face first, then the others that are wanted; each set of keys once."""
        face = typed.active(context)
        by_mesh = {face.data: face}
        for obj in context.selected_objects if self.all_selected else ():
            if expression_keys.face_names(obj):
                by_mesh.setdefault(obj.data, obj)
        return list(by_mesh.values())

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

    def finish(self, scene: bpy.types.Scene, lacking: str, summary: str) -> None:
        """Show the new curves, remember what was chosen, and report."""
        scene.frame_set(scene.frame_current)
        scene_settings.remember(self, scene)
        text = "; ".join(filter(None, [summary, lacking]))
        self.report({"WARNING"} if lacking else {"INFO"}, text)


def default_turns(context: bpy.types.Context) -> str:
    """A Furrow head turns as a whole; what a stranger's mesh hangs on is the artist's to say."""
    return "OBJECT" if head_object.is_head(context.object) else "NONE"


class FURROW_OT_speech_import(
    MotionImport, speech_options.PerformanceOptions, JobOperator, ImportHelper
):
    """Let the face speak a recording: its sound on the timeline, its motion as an Action or a strip"""

    bl_idname = "furrow.speech_import"
    bl_label = "Import Speech"
    bl_options = {"UNDO"}

    filename_ext = ".wav"
    filter_glob: StringProperty(default=SOUNDS, options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> Result:
        return self.run_modal(context)

    def draw(self, context: bpy.types.Context) -> None:
        speech_options.draw_performance(self, typed.layout(self))
        speech_options.draw_placement(self, typed.layout(self), context.object)

    def begin(self, context: bpy.types.Context) -> jobs.Job:
        self.prepare(context, default_turns(context))
        faces = self.faces(context)
        motion.check(faces, self.placement)
        self._faces, self._scene = [face.name for face in faces], typed.scene(context).name
        return speech.request(
            jobs.client(), self.filepath, typed.scene(context), self.performance(self.turns)
        )

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
        self.finish(scene, lacking, f"{len(weights.values)} frames of speech")

    def _remembered(self) -> tuple[list[bpy.types.Object], bpy.types.Scene]:
        """The faces and the scene; raises FurrowError if the artist removed them meanwhile."""
        scene = bpy.data.scenes.get(self._scene)
        faces = [bpy.data.objects.get(name) for name in self._faces]
        if scene is None or not all(map(expression_keys.face_names, faces)):
            names = ", ".join(self._faces)
            raise FurrowError(f'"{names}" is gone, so the result has no place.', "cancelled")
        return faces, scene


class FURROW_OT_motion_import(MotionImport, ImportHelper):
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
        typed.layout(self).prop(self, "normalise")
        speech_options.draw_placement(self, typed.layout(self), context.object)

    def execute(self, context: bpy.types.Context) -> Result:
        try:
            self.prepare(context, default_turns(context))
            faces = self.faces(context)
            motion.check(faces, self.placement)
            weights = read_weights(self.filepath)
            if self.normalise:
                weights = reenactment.normalised(weights)
            lacking = motion.apply(
                faces, typed.scene(context), self.filepath, weights, self.placement
            )
        except FurrowError as error:
            return self.refuse(error)
        self.finish(typed.scene(context), lacking, f"{len(weights.values)} frames of motion")
        return {"FINISHED"}


class FURROW_OT_motion_export(FaceOperator, speech_options.HeadOptions, ExportHelper):
    """Write the face's motion over the scene's frames: Live Link Face (.csv) or .npz"""

    bl_idname = "furrow.motion_export"
    bl_label = "Export Motion"

    filename_ext = ".csv"
    check_extension = None  # .npz is as good
    filter_glob: StringProperty(default=MOTIONS, options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        ready = self.is_ready(context, "OBJECT")
        return super().invoke(context, event) if ready else {"CANCELLED"}

    def draw(self, context: bpy.types.Context) -> None:
        speech_options.draw_head(self, typed.layout(self), context.object)

    def execute(self, context: bpy.types.Context) -> Result:
        scene = typed.scene(context)
        self.prepare(context, "OBJECT")
        placement = motion.Placement(turns=self.turns, bone=self.bone)
        try:
            with session.paused():
                weights = motion.read(typed.active(context), scene, placement)
            write_weights(self.filepath, weights)
        except FurrowError as error:
            return self.refuse(error)
        self.report({"INFO"}, f"Wrote {len(weights.values)} frames to {self.filepath}")
        return {"FINISHED"}


CLASSES = (
    FURROW_OT_speech_import,
    FURROW_OT_motion_import,
    FURROW_OT_motion_export,
)

register, unregister = registration.of_classes(CLASSES)
