"""Operators of a head's identity and expression; and the one that adds a head."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ...backend.errors import FurrowError
from ...backend.formats.expressions import EXPRESSIONS, FACESCAPE_PRESETS, mirrored
from ...backend.formats.identity import ADJUSTMENTS, Identity, write_identity
from ..detail import detail_modes, live_updates
from ..head import head_object, head_state, typed
from .operator_bases import (
    ExportHelper,
    FurrowOperator,
    HeadOperator,
    ImportHelper,
    no_head,
)

if TYPE_CHECKING:
    from .operator_bases import Result

IDENTITY_SUFFIX = ".json"


class MESH_OT_furrow_head_add(FurrowOperator):
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

    @staticmethod
    def disabled_reason(context: bpy.types.Context) -> str | None:
        return None if context.mode == "OBJECT" else "Go to Object Mode to add a head"

    def execute(self, context: bpy.types.Context) -> Result:
        try:
            identity = None if self.average else head_object.head().random(self.seed)
            head = head_object.create_head(identity, "Head", context.collection)
            detail_modes.attach(head)
        except FurrowError as error:
            return self.refuse(error)
        scene, layer = typed.scene(context), context.view_layer
        head.location = scene.cursor.location
        for obj in context.selected_objects:
            obj.select_set(False)
        head.select_set(True)
        if layer is not None:
            layer.objects.active = head
        # Renders write maps; the window must not read them meanwhile.
        scene.render.use_lock_interface = True
        live_updates.request(head)
        if self.frame:
            with contextlib.suppress(RuntimeError):  # called from elsewhere than a 3D view
                bpy.ops.view3d.view_selected()
        return {"FINISHED"}

    def draw(self, _context: bpy.types.Context) -> None:
        layout = typed.layout(self)
        layout.prop(self, "frame")
        layout.prop(self, "average")
        row = layout.row()
        row.active = not self.average
        row.prop(self, "seed")


class FURROW_OT_identity_random(HeadOperator):
    """Make the head another plausible person"""

    bl_idname = "furrow.identity_random"
    bl_label = "Random Person"
    bl_options = {"REGISTER", "UNDO"}

    seed: IntProperty(name="Seed", description="Each seed is another person", min=0)
    amount: FloatProperty(
        name="Amount", description="0 is the average person", default=1.0, min=0.0, max=1.0
    )

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> Result:
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
        live_updates.request(head)


class FURROW_OT_identity_average(HeadOperator):
    """Make the head the average person, all sliders at 0"""

    bl_idname = "furrow.identity_average"
    bl_label = "Average Person"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, head: bpy.types.Object) -> None:
        head_object.apply_identity(head, head_object.head().average())
        live_updates.request(head)


class FURROW_OT_identity_load(HeadOperator, ImportHelper):
    """Make the head the person of an identity file"""

    bl_idname = "furrow.identity_load"
    bl_label = "Load Identity"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = IDENTITY_SUFFIX
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def act(self, head: bpy.types.Object) -> None:
        identity = head_object.head().read_identity(self.filepath)
        head_object.apply_identity(head, identity)
        live_updates.request(head)


class FURROW_OT_identity_save(HeadOperator, ExportHelper):
    """Write the head's identity to a file"""

    bl_idname = "furrow.identity_save"
    bl_label = "Save Identity"
    bl_options = {"REGISTER"}
    disabled_reason = staticmethod(no_head)

    filename_ext = IDENTITY_SUFFIX
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def act(self, head: bpy.types.Object) -> None:
        write_identity(head_object.identity_of(head), self.filepath)
        self.report({"INFO"}, f"Wrote {self.filepath}")


class FURROW_OT_expression_reset(HeadOperator):
    """Set all 52 expressions to 0"""

    bl_idname = "furrow.expression_reset"
    bl_label = "Reset Expression"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, head: bpy.types.Object) -> None:
        head_object.set_expression(head, {})
        live_updates.request(head)


class FURROW_OT_expression_mirror(HeadOperator):
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
        live_updates.request(head)


class FURROW_OT_expression_preset(HeadOperator):
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
        live_updates.request(head)


class FURROW_OT_adjustments_reset(HeadOperator):
    """Set Skin Age, Furrow Depth, Pore Strength and Asymmetry to 0"""

    bl_idname = "furrow.adjustments_reset"
    bl_label = "Reset Skin"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, head: bpy.types.Object) -> None:
        with head_state.quiet(head):  # one new map, not four
            for name in ADJUSTMENTS:
                setattr(typed.properties(head), name, 0.0)
        head_object.share_identity(head)
        live_updates.request(head)


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
)


def _menu(self: bpy.types.Menu, _context: bpy.types.Context) -> None:
    typed.layout(self).operator(MESH_OT_furrow_head_add.bl_idname, icon="USER")


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.VIEW3D_MT_mesh_add.append(_menu)


def unregister() -> None:
    bpy.types.VIEW3D_MT_mesh_add.remove(_menu)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
