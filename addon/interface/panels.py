"""The sidebar tab Furrow: Identity, Expression, Detail, Speech, Bake, Backend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol, TypeAlias

import bpy

from ...backend.detail.engines.network_files import DIRECTIONS
from ...backend.formats.expressions import INDEX, REGIONS, mirrored
from ...backend.formats.identity import ADJUSTMENTS, SKIN
from ..animation import expression_keys, shape_names
from ..detail import detail_modes, portable_mode
from ..head import head_object, head_state, materials, typed
from ..process import jobs
from . import engine_operators, installation, registration, scene_settings

Icon: TypeAlias = Literal["ERROR", "INFO", "NONE", "BLANK1"]
"""What stands before the lines of a message."""


class FurrowPanel(bpy.types.Panel):
    """Base of the panels: where they live."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Furrow"


class HeadPanel(FurrowPanel):
    """Base of panels that need a head."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return head_object.is_head(context.object)


class FURROW_PT_start(FurrowPanel):
    """Shown while no head is active"""

    bl_label = "Furrow"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not head_object.is_head(context.object)

    def draw(self, context: bpy.types.Context) -> None:
        layout = typed.layout(self)
        if any(map(head_object.is_head, typed.scene(context).objects)):
            layout.label(text="Select a head, or add another:")
        layout.operator("mesh.furrow_head_add", text="Add Head", icon="USER")


class FURROW_PT_identity(HeadPanel):
    bl_label = "Identity"

    def draw(self, context: bpy.types.Context) -> None:
        layout, head = typed.layout(self), typed.active(context)
        state = typed.properties(head)
        problem = head_state.of(head).identity_problem
        if problem:
            _message(layout, problem)
        layout.prop(state, "person", text="")
        row = layout.row(align=True)
        row.operator("furrow.identity_random", text="Random", icon="FILE_REFRESH")
        row.operator("furrow.identity_average", text="Average")
        row = layout.row(align=True)
        row.operator("furrow.identity_load", text="Load", icon="FILE_FOLDER")
        row.operator("furrow.identity_save", text="Save", icon="FILE_TICK")
        _directions(layout, state.directions)
        header, body = layout.panel("furrow_identity_skin", default_closed=True)
        header.label(text="Skin")
        if body is not None:
            column = body.column(align=True)
            for index, name in enumerate(SKIN):
                column.prop(state, "skin", index=index, text=_title(name), slider=True)
            body.prop(state, "detail_seed")
        header, body = layout.panel("furrow_identity_look", default_closed=True)
        header.label(text="Look")
        if body is not None:
            for name in materials.LOOKS:
                if head.get(name) is not None:
                    text = _title(name.removeprefix("furrow_"))
                    body.prop(head, f'["{name}"]', text=text)


class Slider(Protocol):
    """A named slider of the identity, as properties.py declares it."""

    name: str
    group: str


def _directions(layout: bpy.types.UILayout, sliders: Iterable[Slider]) -> None:
    """The named sliders: those of the whole person open, those of the regions behind one header."""
    groups: dict[str, list[Slider]] = {}
    for slider in sliders:
        groups.setdefault(slider.group, []).append(slider)
    person, *regions = groups
    _direction_group(layout, person, groups[person], closed=False)
    header, body = layout.panel("furrow_identity_regions", default_closed=True)
    header.label(text="Regions")
    if body is not None:
        for region in regions:
            _direction_group(body, region, groups[region], closed=True)


def _direction_group(
    layout: bpy.types.UILayout, name: str, sliders: list[Slider], closed: bool
) -> None:
    header, body = layout.panel(f"furrow_identity_{name}", default_closed=closed)
    header.label(text=_title(name))
    if body is not None:
        column = body.column(align=True)
        for slider in sliders:
            column.prop(slider, "value", text=_title(slider.name), slider=True)


class FURROW_PT_expression(HeadPanel):
    bl_label = "Expression"

    def draw(self, context: bpy.types.Context) -> None:
        layout = typed.layout(self)
        layout.operator_menu_enum("furrow.expression_preset", "preset", text="Preset")
        row = layout.row(align=True)
        row.operator("furrow.expression_reset", text="Reset", icon="LOOP_BACK")
        row.operator_menu_enum("furrow.expression_mirror", "side", text="Mirror", icon="MOD_MIRROR")
        keys = typed.shape_keys(typed.active(context))
        if keys is None:
            _message(layout, "The shape keys are gone: undo, or add a new head.")
            return
        for position, (region, names) in enumerate(REGIONS.items()):
            header, body = layout.panel(f"furrow_expression_{region}", default_closed=position > 0)
            header.label(text=region)
            if body is not None:
                column = body.column(align=True)
                if any(mirrored(name) != name for name in names):
                    sides = column.split(factor=0.42, align=True)
                    sides.label()
                    sides.label(text="Left")
                    sides.label(text="Right")
                for name in names:
                    _expression(column, keys.key_blocks, name)


def _expression(
    column: bpy.types.UILayout, blocks: bpy.types.bpy_prop_collection, name: str
) -> None:
    """The slider of one expression; both sides of the face share a row."""
    partner = mirrored(name)
    if INDEX[partner] < INDEX[name]:
        return  # drawn with its partner
    sides: list[tuple[str, str, str]] = [(name, "", "")]
    if partner != name:
        left, right = sorted((name, partner))  # ...Left comes before ...Right
        sides = [(left, "Left", "L"), (right, "Right", "R")]
    split = column.split(factor=0.42, align=True)
    split.label(text=_title(name.removesuffix(sides[0][1])))
    row = split.row(align=True)
    for key, _ending, side in sides:
        if key in blocks:
            row.prop(blocks[key], "value", text=side, slider=True)


class FURROW_PT_detail(HeadPanel):
    bl_label = "Detail"

    def draw_header(self, context: bpy.types.Context) -> None:
        state = typed.properties(typed.active(context))
        typed.layout(self).prop(state, "detail_enabled", text="")

    def draw(self, context: bpy.types.Context) -> None:
        layout, head = typed.layout(self), typed.active(context)
        state = typed.properties(head)
        failure = head_state.of(head).failure
        if failure is not None and state.detail_enabled:
            _message(layout, failure.message)
        layout.active = state.detail_enabled
        layout.row().prop(state, "detail_mode", expand=True)
        layout.use_property_split = True
        layout.prop(state, "detail_strength")
        mode = state.detail_mode
        if mode != "BAKED":
            layout.row().prop(state, "detail_resolution", expand=True)
        layout.row().prop(state, "detail_viewport", expand=True)
        if mode == "PORTABLE":
            layout.row().prop(state, "portable_render", expand=True)
        column = layout.column(align=True)
        if state.detail_viewport == "DISPLACED":
            column.prop(state, "detail_viewport_levels", text="Levels Viewport")
        column.prop(state, "detail_render_levels", text="Levels Render")
        _adjustments(layout, state)
        text = detail_modes.state_text(head)
        if mode == "PORTABLE":  # longer than a line of the sidebar
            _message(layout, text, icon="INFO")
        else:
            layout.label(text=text, icon="INFO")
        if mode == "LIVE":
            layout.operator("furrow.detail_refresh", icon="FILE_REFRESH")
        elif mode == "BAKED":
            layout.operator("furrow.detail_sequence", icon="FILE_FOLDER")
        if mode != "BAKED":
            layout.prop(state, "portable_components")
            layout.operator("furrow.make_portable", icon="PACKAGE")
        if portable_mode.has_basis(head):
            layout.operator("furrow.portable_remove", icon="X")


def _adjustments(layout: bpy.types.UILayout, state: typed.HeadProperties) -> None:
    """The sliders along directions of W+, off where the networks came without directions."""
    header, body = layout.panel("furrow_detail_skin", default_closed=False)
    header.label(text="Skin")
    if body is None:
        return
    has_directions = installation.current().has_directions
    column = body.column(align=True)
    column.enabled = has_directions
    for name in ADJUSTMENTS:
        column.prop(state, name, slider=True)
    if not has_directions:
        _message(body, f"{DIRECTIONS} is missing: install Furrow again to use these.")
    body.operator("furrow.adjustments_reset", icon="LOOP_BACK")
    body.prop(state, "relief_from")


class FURROW_PT_speech(FurrowPanel):
    """Also for meshes that are no heads, if they have shape keys under ARKit's names"""

    bl_label = "Speech"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bool(expression_keys.face_names(context.object))

    def draw(self, context: bpy.types.Context) -> None:
        layout = typed.layout(self)
        missing = shape_names.missing(expression_keys.face_names(context.object))
        if missing:
            _message(layout, f"No shape key for {shape_names.in_words(missing)}.", icon="INFO")
        layout.operator("furrow.speech_import", icon="SPEAKER")
        row = layout.row(align=True)
        row.operator("furrow.motion_import", icon="IMPORT")
        row.operator("furrow.motion_export", icon="EXPORT")


class FURROW_PT_bake(HeadPanel):
    bl_label = "Bake"

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = typed.layout(self), typed.scene(context)
        settings = scene_settings.of(scene)
        layout.use_property_split = True
        layout.prop(settings, "bake_folder")
        layout.row().prop(settings, "bake_resolution", expand=True)
        layout.label(text=f"Frames {scene.frame_start} to {scene.frame_end}")
        layout.operator("furrow.bake", icon="RENDER_ANIMATION")
        layout.operator("furrow.stage_add", icon="LIGHT_AREA")


class FURROW_PT_backend(FurrowPanel):
    bl_label = "Backend"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 10

    def draw(self, _context: bpy.types.Context) -> None:
        layout = typed.layout(self)
        client = jobs.running()
        for line in jobs.state_lines():
            layout.label(text=line)
        for message in list(client.messages)[-2:] if client is not None else ():
            _message(layout, message, icon="NONE")
        row = layout.row(align=True)
        if client is None or client.state in {"failed", "stopped"}:
            row.operator("furrow.backend_start", text="Start", icon="PLAY")
        else:
            row.operator("furrow.backend_stop", text="Stop", icon="SNAP_FACE")
            row.operator("furrow.backend_release", text="Release Memory")
        engine_operators.draw(layout)
        layout.operator("furrow.check_installation", icon="CHECKMARK")


def _message(layout: bpy.types.UILayout, text: str, icon: Icon = "ERROR") -> None:
    """A message in lines that fit the sidebar."""
    column = layout.box().column(align=True)
    line = ""
    for word in text.split():
        if len(line) + len(word) > 33:
            column.label(text=line, icon=icon)
            line, icon = "", ("NONE" if icon == "NONE" else "BLANK1")
        line += f"{word} "
    column.label(text=line, icon=icon)


def _title(name: str) -> str:
    """``mouthSmile`` and ``forehead_depth`` for people: Mouth Smile, Forehead Depth."""
    spaced = "".join(f" {c}" if c.isupper() else c for c in name.replace("_", " "))
    return " ".join(word[:1].upper() + word[1:] for word in spaced.split())


CLASSES = (
    FURROW_PT_start,
    FURROW_PT_identity,
    FURROW_PT_expression,
    FURROW_PT_detail,
    FURROW_PT_speech,
    FURROW_PT_bake,
    FURROW_PT_backend,
)

register, unregister = registration.of_classes(CLASSES)
