"""Panels draw, of a head in each state; what they look like is seen in a window."""

from __future__ import annotations

import itertools

import bpy
import pytest
from furrow.addon.head import head_state
from furrow.addon.interface import (
    engine_operators,
    installation,
    motion_operators,
    panels,
    preferences,
    speech_options,
)
from furrow.backend.detail.engines import network_files


@pytest.mark.parametrize("panel", panels.CLASSES)
def test_panels_draw(head, draw, panel):
    for mode, viewport in itertools.product(("LIVE", "PORTABLE", "BAKED"), ("DISPLACED", "SHADED")):
        head.furrow.detail_mode, head.furrow.detail_viewport = mode, viewport
        assert draw(panel).calls
        if hasattr(panel, "draw_header"):
            assert draw(panel, "draw_header").calls


def test_preferences_and_menus_draw(scene, draw):
    rna = preferences.FurrowPreferences.bl_rna
    shown = draw(preferences.FurrowPreferences, bl_rna=rna)
    assert "furrow.check_installation" in shown.operators()
    assert draw(engine_operators.FURROW_MT_openvino_add).operators() == [
        "furrow.openvino_add_file",
        "furrow.openvino_download",
    ]


def test_the_redo_panels_of_operators_draw(head, layout):
    for name, functions in (
        ("speech_import", (speech_options.draw_performance, speech_options.draw_placement)),
        ("motion_import", (speech_options.draw_placement,)),
        ("motion_export", (speech_options.draw_head,)),
    ):
        properties = bpy.context.window_manager.operator_properties_last(f"furrow.{name}")
        for function in functions:
            rest = () if function is speech_options.draw_performance else (head,)
            function(properties, layout, *rest)
    assert motion_operators.CLASSES and len(layout.calls) > 20


def test_sliders_without_directions_are_off_and_say_why(head, draw, monkeypatch, tmp_path):
    monkeypatch.setattr(network_files, "DETAIL", tmp_path)
    for there in (False, True):
        if there:
            (tmp_path / network_files.DIRECTIONS).touch()
        installation.read()
        shown = draw(panels.FURROW_PT_detail)
        off = [part for part in shown.all_parts("column") if not part.__dict__.get("enabled", True)]
        assert bool(off) is not there
        assert ("directions.safetensors is missing" in shown.text()) is not there


def test_a_problem_with_the_identity_is_shown_whole(head, draw):
    problem = "Something went wrong, and here is what to do about it."
    head_state.of(head).identity_problem = problem
    assert problem in draw(panels.FURROW_PT_identity).text()


MISSPELT = (
    lambda layout, head: layout.prop(head.furrow, "detail_strenght"),
    lambda layout, head: layout.prop(head.furrow, "skin", index=16),
    lambda layout, head: layout.prop(head.furrow, "person", txt="Name"),
    lambda layout, head: layout.prop(head, '["furrow_melanine"]'),
    lambda layout, head: layout.operator("furrow.bakee"),
    lambda layout, head: layout.operator("furrow.bake", icon="RENDER_ANIMATOIN"),
    lambda layout, head: setattr(layout.operator("furrow.bake"), "resolutoin", "256"),
    lambda layout, head: setattr(layout.operator("furrow.bake"), "resolution", "255"),
    lambda layout, head: layout.operator_menu_enum("furrow.expression_preset", "presets"),
    lambda layout, head: layout.menu("FURROW_MT_openvino"),
    lambda layout, head: layout.lable(text="Left"),
    lambda layout, head: setattr(layout.row(), "activ", False),
    lambda layout, head: layout.prop(head.furrow),
)


def test_a_misspelt_name_fails_these_tests(head, layout):
    for misspell in MISSPELT:
        with pytest.raises(AssertionError, match=r"has no|cannot be|There is no|lacks"):
            misspell(layout, head)
    layout.prop(head.furrow, "skin", index=15)
    layout.operator("furrow.bake", icon="RENDER_ANIMATION").resolution = "256"
