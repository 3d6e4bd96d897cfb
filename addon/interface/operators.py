"""Operators: each checks what it needs, calls the module that does the work, and reports."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ...backend.errors import FurrowError
from ...backend.formats.expressions import EXPRESSIONS, FACESCAPE_PRESETS, mirrored
from ...backend.formats.identity import ADJUSTMENTS, Identity, read_identity, write_identity
from ..detail import head_detail, live_detail
from ..head import head_object
from ..process import jobs

IDENTITY_SUFFIX = ".json"


class HeadOperator:
    """Mixin: works on the active object, which must be a head; errors become reports."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if head_object.is_head(context.object):
            return True
        cls.poll_message_set("Select a Furrow head first")  # type: ignore[attr-defined]
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.act(context.object)
        except FurrowError as error:
            self.report({"ERROR"}, str(error))  # type: ignore[attr-defined]
            return {"CANCELLED"}
        return {"FINISHED"}

    def act(self, head: bpy.types.Object) -> None:
        raise NotImplementedError


class MESH_OT_furrow_head_add(bpy.types.Operator):
    """Add a head with 52 expressions and detail that follows them"""

    bl_idname = "mesh.furrow_head_add"
    bl_label = "Furrow Head"
    bl_options = {"REGISTER", "UNDO"}

    average: BoolProperty(name="Average Person", description="Ignore the seed", default=True)
    seed: IntProperty(name="Random Person", description="Each seed is another person", min=0)
    frame: BoolProperty(
        name="Look at It",
        description="Move the view close: a head is a third of a metre tall",
        default=True,
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.mode == "OBJECT"

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            identity = None if self.average else head_object.head().random(self.seed)
            head = head_object.create_head(identity, "Head", context.collection)
            head_detail.set_up(head)
        except FurrowError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        head.location = context.scene.cursor.location
        for obj in context.selected_objects:
            obj.select_set(False)
        head.select_set(True)
        context.view_layer.objects.active = head
        context.scene.render.use_lock_interface = (
            True  # renders write maps; the window must not read
        )
        live_detail.request(head)
        if self.frame and bpy.ops.view3d.view_selected.poll():
            bpy.ops.view3d.view_selected()
        return {"FINISHED"}

    def draw(self, _context: bpy.types.Context) -> None:
        self.layout.prop(self, "frame")
        self.layout.prop(self, "average")
        row = self.layout.row()
        row.active = not self.average
        row.prop(self, "seed")


class FURROW_OT_identity_random(HeadOperator, bpy.types.Operator):
    """Make the head another plausible person"""

    bl_idname = "furrow.identity_random"
    bl_label = "Random Person"
    bl_options = {"REGISTER", "UNDO"}

    seed: IntProperty(name="Seed", description="Each seed is another person", min=0)
    amount: FloatProperty(
        name="Amount", description="0 is the average person", default=1.0, min=0.0, max=1.0
    )

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.seed += 1  # each press another person; the redo panel goes back
        return self.execute(context)

    def act(self, head: bpy.types.Object) -> None:
        model = head_object.head()
        person, average = model.random(self.seed), model.average()
        mixed = Identity(
            shape=average.shape + self.amount * (person.shape - average.shape),
            skin=average.skin + self.amount * (person.skin - average.skin),
            detail_seed=person.detail_seed,
            name=person.name,
        )
        head_object.apply_identity(head, mixed)
        live_detail.request(head)


class FURROW_OT_identity_average(HeadOperator, bpy.types.Operator):
    """Make the head the average person, all sliders at 0"""

    bl_idname = "furrow.identity_average"
    bl_label = "Average Person"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, head: bpy.types.Object) -> None:
        head_object.apply_identity(head, head_object.head().average())
        live_detail.request(head)


class FURROW_OT_identity_load(HeadOperator, ImportHelper, bpy.types.Operator):
    """Make the head the person of an identity file"""

    bl_idname = "furrow.identity_load"
    bl_label = "Load Identity"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = IDENTITY_SUFFIX
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def act(self, head: bpy.types.Object) -> None:
        identity = read_identity(self.filepath, head_object.head().shape_count)
        head_object.apply_identity(head, identity)
        live_detail.request(head)


class FURROW_OT_identity_save(HeadOperator, ExportHelper, bpy.types.Operator):
    """Write the head's identity to a file"""

    bl_idname = "furrow.identity_save"
    bl_label = "Save Identity"
    bl_options = {"REGISTER"}

    filename_ext = IDENTITY_SUFFIX
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def act(self, head: bpy.types.Object) -> None:
        write_identity(head_object.identity_of(head), self.filepath)
        self.report({"INFO"}, f"Wrote {self.filepath}")


class FURROW_OT_expression_reset(HeadOperator, bpy.types.Operator):
    """Set all 52 expressions to 0"""

    bl_idname = "furrow.expression_reset"
    bl_label = "Reset Expression"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, head: bpy.types.Object) -> None:
        head_object.set_expression(head, {})
        live_detail.request(head)


class FURROW_OT_expression_mirror(HeadOperator, bpy.types.Operator):
    """Swap the expression's left and right, or copy one side to the other"""

    bl_idname = "furrow.expression_mirror"
    bl_label = "Mirror Expression"
    bl_options = {"REGISTER", "UNDO"}

    side: EnumProperty(
        name="Mirror",
        items=(
            ("SWAP", "Swap", "Swap left and right"),
            ("LEFT", "Left to Right", "The right side becomes like the character's left"),
            ("RIGHT", "Right to Left", "The left side becomes like the character's right"),
        ),
    )

    def act(self, head: bpy.types.Object) -> None:
        weights = dict(zip(EXPRESSIONS, head_object.expression_of(head).tolist(), strict=True))
        target = {"SWAP": ("Left", "Right"), "LEFT": ("Right",), "RIGHT": ("Left",)}[self.side]
        result = {
            name: weights[mirrored(name)] if name.endswith(target) else weight
            for name, weight in weights.items()
        }
        head_object.set_expression(head, result)
        live_detail.request(head)


class FURROW_OT_expression_preset(HeadOperator, bpy.types.Operator):
    """Set the expression to one of the 20 of FaceScape"""

    bl_idname = "furrow.expression_preset"
    bl_label = "Expression Preset"
    bl_options = {"REGISTER", "UNDO"}

    preset: EnumProperty(
        name="Preset",
        items=tuple(
            (name, name.replace("-", " ").title(), ", ".join(weights) or "All at rest")
            for name, weights in FACESCAPE_PRESETS.items()
        ),
    )
    amount: FloatProperty(name="Amount", default=1.0, min=0.0, max=1.0)

    def act(self, head: bpy.types.Object) -> None:
        weights = FACESCAPE_PRESETS[self.preset]
        head_object.set_expression(head, {n: self.amount * w for n, w in weights.items()})
        live_detail.request(head)


class FURROW_OT_adjustments_reset(HeadOperator, bpy.types.Operator):
    """Set Skin Age, Furrow Depth, Pore Strength and Asymmetry to 0"""

    bl_idname = "furrow.adjustments_reset"
    bl_label = "Reset Skin"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, head: bpy.types.Object) -> None:
        with head_object.quiet():  # one new map, not four
            for name in ADJUSTMENTS:
                setattr(head.furrow, name, 0.0)
        head_object.share_identity(head)
        live_detail.request(head)


class FURROW_OT_detail_refresh(HeadOperator, bpy.types.Operator):
    """Make the detail map anew"""

    bl_idname = "furrow.detail_refresh"
    bl_label = "Refresh Detail"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, head: bpy.types.Object) -> None:
        head_detail.set_up(head)
        live_detail.request(head, again=True)
        if bpy.app.background and head_detail.is_live(head):
            live_detail.exact_map(head)


class FURROW_OT_detail_sequence(HeadOperator, bpy.types.Operator):
    """Play baked maps (0001.exr, ...) from a folder"""

    bl_idname = "furrow.detail_sequence"
    bl_label = "Show Baked Maps"
    bl_options = {"REGISTER", "UNDO"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH")
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def act(self, head: bpy.types.Object) -> None:
        first, count = head_detail.find_sequence(bpy.path.abspath(self.directory))
        head_detail.show_sequence(head, bpy.path.abspath(self.directory), first, count)


class FURROW_OT_backend_start(bpy.types.Operator):
    """Start the process that makes the maps; sliders start it by themselves"""

    bl_idname = "furrow.backend_start"
    bl_label = "Start Backend"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        try:
            jobs.client().start()  # again, if it had failed
        except FurrowError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for head in head_object.all_heads():
            live_detail.request(head, again=True)
        return {"FINISHED"}


class FURROW_OT_backend_stop(bpy.types.Operator):
    """End the process that makes the maps, and free its memory"""

    bl_idname = "furrow.backend_stop"
    bl_label = "Stop Backend"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        jobs.stop()
        return {"FINISHED"}


CLASSES = (
    MESH_OT_furrow_head_add,
    FURROW_OT_identity_random,
    FURROW_OT_identity_average,
    FURROW_OT_identity_load,
    FURROW_OT_identity_save,
    FURROW_OT_expression_reset,
    FURROW_OT_expression_mirror,
    FURROW_OT_expression_preset,
    FURROW_OT_adjustments_reset,
    FURROW_OT_detail_refresh,
    FURROW_OT_detail_sequence,
    FURROW_OT_backend_start,
    FURROW_OT_backend_stop,
)


def _menu(self: bpy.types.Menu, _context: bpy.types.Context) -> None:
    self.layout.operator(MESH_OT_furrow_head_add.bl_idname, icon="USER")


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.VIEW3D_MT_mesh_add.append(_menu)


def unregister() -> None:
    bpy.types.VIEW3D_MT_mesh_add.remove(_menu)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
