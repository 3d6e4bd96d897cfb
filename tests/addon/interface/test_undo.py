"""Undo and redo bring back the head, its identity and the artist's keys, whatever was done."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from furrow.addon.detail import live_updates
from furrow.addon.head import head_object


def push(message: str) -> None:
    bpy.ops.ed.undo_push(message=message)


def only_head() -> bpy.types.Object:
    (head,) = head_object.heads(bpy.context.scene)
    return head


def vertices(head) -> np.ndarray:
    values = np.empty((len(head.data.vertices), 3), np.float32)
    head.data.shape_keys.key_blocks["Basis"].points.foreach_get("co", values.ravel())
    return values


def test_adding_a_head(scene):
    push("empty")
    bpy.ops.mesh.furrow_head_add()
    push("add")
    bpy.ops.ed.undo()
    assert not head_object.heads(bpy.context.scene)
    bpy.ops.ed.redo()
    assert only_head().furrow.live_texture is not None


STEPS = {
    "random": lambda: bpy.ops.furrow.identity_random(seed=3),
    "average": lambda: bpy.ops.furrow.identity_average(),
    "slider": lambda: setattr(only_head().furrow.directions[0], "value", 1.0),
    "skin": lambda: setattr(only_head().furrow, "skin", [0.9] * 16),
    "adjustment": lambda: setattr(only_head().furrow, "furrow_depth", 0.6),
    "reset skin": lambda: bpy.ops.furrow.adjustments_reset(),
    "seed": lambda: setattr(only_head().furrow, "detail_seed", 5),
    "preset": lambda: bpy.ops.furrow.expression_preset(preset="smile"),
    "reset": lambda: bpy.ops.furrow.expression_reset(),
    "mirror": lambda: bpy.ops.furrow.expression_mirror(side="SWAP"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_undone_and_done_again(head, step):
    bpy.ops.furrow.identity_random(seed=1)
    head_object.set_expression(head, {"jawOpen": 0.5, "mouthLeft": 0.3})
    head.furrow.asymmetry = -0.5
    push("start")

    def state():
        head = only_head()
        return (
            vertices(head),
            head_object.identity_of(head).vector,
            head_object.identity_of(head).detail_seed,
            head_object.identity_of(head).adjustments,
            head_object.expression_of(head),
        )

    before = state()
    STEPS[step]()
    push(step)
    after = state()
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    bpy.ops.ed.undo()
    for now, then in zip(state(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    bpy.ops.ed.redo()
    for now, then in zip(state(), after, strict=True):
        np.testing.assert_array_equal(now, then)


def test_sliders_still_work_after_undo(head):
    push("start")
    head.furrow.directions[0].value = 1.0
    push("slider")
    bpy.ops.ed.undo()
    head = only_head()
    start = vertices(head)
    head.furrow.directions[0].value = 1.0
    head.furrow.directions[0].value = 0.0
    np.testing.assert_allclose(vertices(head), start, atol=1e-6)


def test_undo_makes_the_shown_map_doubtful(head, client):
    """Blender brings back the slider and not the pixels: the next render must ask again."""
    push("start")
    head_object.set_expression(head, {"jawOpen": 1.0})
    live_updates.exact_map(head)
    push("expression")
    bpy.ops.ed.undo()
    head = only_head()
    live_updates.exact_map(head)
    assert head.furrow.live_texture.image.pixels[0] == pytest.approx(0.0)
    assert client.calls[-1]["expression"] == [0.0] * 52
