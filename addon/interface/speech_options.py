"""What may be chosen when speech or motion is imported."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ...backend.liveliness import performance
from ...backend.liveliness.performance import EMOTIONS
from ..animation import head_turn
from ..head import typed

WHAT_TURNS = (
    ("NONE", "Nothing", "Leave the turn of the head out"),
    ("OBJECT", "Object", "The object turns about its origin"),
    ("BONE", "Bone", "A bone of the armature turns"),
)


_OURS = {"SKIP_SAVE"}
"""The scene remembers what was chosen: Blender shall not, which does so across files."""


def start_of(scene: bpy.types.Scene, place_as: str) -> int:
    """Where a clip goes unless told otherwise: a strip to the playhead, an Action to the beginning."""
    return int(scene.frame_current if place_as == "STRIP" else scene.frame_start)


def _place_changed(self: PlaceOptions, context: bpy.types.Context) -> None:
    if hasattr(self, "start_frame"):
        self.start_frame = start_of(typed.scene(context), self.place_as)


def _strength(name: str, description: str) -> Any:
    return FloatProperty(
        name=name, description=description, options={"SKIP_SAVE"},
        default=1.0, min=0.0, max=2.0, step=10, precision=2,
    )  # fmt: skip


class PerformanceOptions:
    """Mixin: how a recording is performed, under the names of :mod:`.backend.liveliness.performance`."""

    emotion: EnumProperty(
        name="Emotion", items=[(name, name.title(), "") for name in EMOTIONS],
        default=EMOTIONS[0], options=_OURS,
    )  # fmt: skip
    intensity: FloatProperty(
        name="Intensity", description="How strongly the emotion shows",
        default=1.0, min=0.0, max=1.5, step=10, precision=2, options=_OURS,
    )  # fmt: skip
    articulation: FloatProperty(
        name="Articulation", description="How far jaw and lips travel; less mumbles",
        default=1.0, min=0.5, max=1.5, step=10, precision=2, options=_OURS,
    )  # fmt: skip
    speaker: IntProperty(
        name="Speaker", description="Whose habits the mouth has; 0 is the average person",
        min=0, options=_OURS,
    )  # fmt: skip
    blinks: _strength("Blinks", "How often the eyes blink")
    gaze: _strength("Gaze", "How far the eyes dart")
    brows: _strength("Brows", "How far the brows rise on accents")
    breath: _strength("Breath", "How much breath shows")
    head: _strength("Head", "How far the head nods and turns")
    seed: IntProperty(
        name="Seed", description="Another seed, another moment for all of this", min=0,
        options=_OURS,
    )  # fmt: skip

    def performance(self, turns: str) -> dict[str, Any]:
        """The objects `style` and `life` of a speech request; `turns` as in :data:`WHAT_TURNS`."""
        style, life = performance.from_values(
            emotion=self.emotion,
            intensity=self.intensity,
            articulation=self.articulation,
            speaker=self.speaker,
            blinks=self.blinks,
            gaze=self.gaze,
            brows=self.brows,
            breath=self.breath,
            # Eyes that made up for the turn of a head which stays would wander.
            head=0.0 if turns == "NONE" else self.head,
            seed=self.seed,
        )
        return {"style": asdict(style), "life": asdict(life)}


class HeadOptions:
    """Mixin: what turns with the head."""

    turns: EnumProperty(
        name="Head", description="What turns with the head", items=WHAT_TURNS,
        default="NONE", options=_OURS,
    )  # fmt: skip
    bone: StringProperty(
        name="Bone", description="Bone of the armature that turns", default="head", options=_OURS
    )


class PlaceOptions:
    """Mixin: how motion is laid on the timeline."""

    place_as: EnumProperty(
        name="As",
        items=(
            ("ACTION", "Action", "The Action that plays, from the first frame of the scene on"),
            ("STRIP", "NLA Strip", "A strip at the playhead, beside other clips"),
        ),
        default="ACTION",
        options=_OURS,
        update=_place_changed,
    )
    reduce_keys: BoolProperty(
        name="Reduce Keys", description="Write fewer keys than one a frame", default=False,
        options=_OURS,
    )  # fmt: skip
    max_error: FloatProperty(
        name="Largest Error",
        description="How far a weight may lie from the original on any frame",
        default=0.005, min=0.0001, max=0.1, step=0.1, precision=4, options=_OURS,
    )  # fmt: skip
    all_selected: BoolProperty(
        name="All Selected",
        description="Also the other selected meshes with such shape keys: teeth, tongue, lashes",
        default=False,
        options=_OURS,
    )


def draw_performance(operator: PerformanceOptions, layout: bpy.types.UILayout) -> None:
    """The groups Manner and Life."""
    for title, names in (
        ("Manner", ("emotion", "intensity", "articulation", "speaker")),
        ("Life", ("blinks", "gaze", "brows", "breath", "head", "seed")),
    ):
        body = _group(layout, title)
        if body is not None:
            for name in names:
                row = body.row()
                row.prop(operator, name)
                row.active = name != "intensity" or operator.emotion != EMOTIONS[0]


def draw_placement(operator: Any, layout: bpy.types.UILayout, obj: bpy.types.Object | None) -> None:
    """The groups Timeline and Head."""
    body = _group(layout, "Timeline")
    if body is not None:
        body.row().prop(operator, "place_as", expand=True)
        body.prop(operator, "start_frame")
        body.prop(operator, "reduce_keys")
        row = body.row()
        row.active = operator.reduce_keys
        row.prop(operator, "max_error")
        body.prop(operator, "all_selected")
    draw_head(operator, layout, obj)


def draw_head(
    operator: HeadOptions, layout: bpy.types.UILayout, obj: bpy.types.Object | None
) -> None:
    """The group Head: what turns, and which bone."""
    body = _group(layout, "Head")
    if body is None:
        return
    body.prop(operator, "turns", text="Turn")
    armature = head_turn.armature_of(obj) if obj is not None else None
    if operator.turns == "BONE":
        if armature is None:
            body.label(text="The mesh has no armature", icon="ERROR")
        else:
            body.prop_search(operator, "bone", armature.pose, "bones")


def _group(layout: bpy.types.UILayout, title: str) -> bpy.types.UILayout | None:
    """A group that can be folded; None while it is."""
    header, body = layout.panel(f"furrow_speech_{title}", default_closed=False)
    header.label(text=title)
    if body is not None:
        body.use_property_split = True
        body.use_property_decorate = False
    return body
