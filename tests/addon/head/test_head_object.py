"""The head as an artist meets it: geometry, identity changes, their own keys, copies."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from furrow.addon.head import head_object, head_state
from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import EXPRESSIONS, vector
from furrow.backend.formats.identity import Identity


def coordinates(key) -> np.ndarray:
    values = np.empty((len(key.points), 3), np.float32)
    key.points.foreach_get("co", values.ravel())
    return values


def evaluated(obj) -> np.ndarray:
    """Vertices as Blender evaluates the shape keys, without the modifiers."""
    for modifier in obj.modifiers:
        modifier.show_viewport = False
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    values = np.empty((len(mesh.vertices), 3), np.float32)
    mesh.vertices.foreach_get("co", values.ravel())
    return values


def test_blender_evaluates_the_head_model(head):
    model = head_object.head()
    expression = np.zeros(52, np.float32)
    weights = {"jawOpen": 0.7, "mouthSmileLeft": 0.5, "browInnerUp": 1.0}
    for name, weight in weights.items():
        expression[EXPRESSIONS.index(name)] = weight
    head_object.set_expression(head, weights)
    person = model.random(4)
    head_object.apply_identity(head, person)
    np.testing.assert_allclose(evaluated(head), model.vertices(person.shape, expression), atol=2e-6)
    np.testing.assert_allclose(head_object.expression_of(head), expression, atol=1e-6)


def test_mesh_has_what_the_model_has(head):
    model = head_object.head()
    mesh = head.data
    halves = ["eyeBlinkLeft Half", "eyeBlinkRight Half"]
    assert [k.name for k in mesh.shape_keys.key_blocks] == ["Basis", *EXPRESSIONS, *halves]
    assert len(mesh.materials) == len(model.materials) and all(mesh.materials)
    assert not mesh.validate()
    for name, weights in model.groups.items():
        group = head.vertex_groups[name].index
        values = np.zeros(len(mesh.vertices))
        for vertex in mesh.vertices:
            for element in vertex.groups:
                if element.group == group:
                    values[vertex.index] = element.weight
        np.testing.assert_allclose(values, weights, atol=1 / 255)
    uv = np.empty(2 * len(mesh.loops), np.float32)
    mesh.uv_layers[head_object.UV_MAP].uv.foreach_get("vector", uv)
    assert uv.min() >= 0 and uv.max() <= 1


def test_sliders_move_the_head_and_return_it(head):
    before = evaluated(head)
    slider = head.furrow.directions[0]
    slider.value = 1.0
    model = head_object.head()
    after = evaluated(head)
    assert np.abs(after - before).max() > 1e-3
    shape = np.clip(model.directions[0].vector[: model.shape_count], -4, 4)
    np.testing.assert_allclose(after, model.neutral(shape), atol=2e-6)
    slider.value = 0.0
    np.testing.assert_allclose(evaluated(head), before, atol=1e-7)


def test_identity_change_keeps_the_artists_work(head):
    blocks = head.data.shape_keys.key_blocks
    own = head.shape_key_add(name="Scar", from_mix=False)
    scar = coordinates(own)
    scar[100] += [0, 0, 0.01]
    own.points.foreach_set("co", scar.ravel())
    smile = coordinates(blocks["mouthSmileLeft"])
    smile[7] += [0.002, 0, 0]
    blocks["mouthSmileLeft"].points.foreach_set("co", smile.ravel())

    model = head_object.head()
    person = model.random(2)
    for identity in (model.random(1), model.random(5), person):
        head_object.apply_identity(head, identity)

    ours = head_object.positions_of(person.shape)
    scar_offset = coordinates(own) - coordinates(blocks["Basis"])
    np.testing.assert_allclose(scar_offset[100], [0, 0, 0.01], atol=1e-6)
    assert np.abs(np.delete(scar_offset, 100, axis=0)).max() < 1e-6
    sculpted = coordinates(blocks["mouthSmileLeft"]) - ours[1 + EXPRESSIONS.index("mouthSmileLeft")]
    np.testing.assert_allclose(sculpted[7], [0.002, 0, 0], atol=1e-6)
    assert np.abs(np.delete(sculpted, 7, axis=0)).max() < 1e-6
    np.testing.assert_array_equal(
        coordinates(blocks["jawOpen"]), ours[1 + EXPRESSIONS.index("jawOpen")]
    )


def test_identity_survives_saving(head, tmp_path):
    person = head_object.head().random(9)
    head_object.apply_identity(head, person)
    head.furrow.directions[1].value = 0.5
    expected = head_object.identity_of(head)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "head.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "head.blend"))
    (again,) = head_object.heads(bpy.context.scene)
    np.testing.assert_array_equal(head_object.identity_of(again).vector, expected.vector)
    assert head_object.identity_of(again).detail_seed == person.detail_seed


def test_copies_are_independent_and_linked_copies_are_not(head):
    twin = head.copy()
    linked = head.copy()
    twin.data = head.data.copy()
    for obj in (twin, linked):
        bpy.context.collection.objects.link(obj)
    bpy.context.view_layer.update()  # the handler sees the new objects
    assert twin.furrow.id != head.furrow.id
    assert linked.furrow.id == head.furrow.id
    assert twin.furrow.live_texture != head.furrow.live_texture
    assert twin.furrow.live_texture.image != head.furrow.live_texture.image
    assert twin.modifiers["Furrow Detail"].texture == twin.furrow.live_texture
    assert linked.furrow.live_texture == head.furrow.live_texture

    head_object.apply_identity(head, head_object.head().random(1))
    np.testing.assert_array_equal(
        head_object.identity_of(linked).vector, head_object.identity_of(head).vector
    )
    assert not np.array_equal(
        head_object.identity_of(twin).vector, head_object.identity_of(head).vector
    )


@pytest.mark.parametrize("mode", ["EDIT", "SCULPT"])
def test_modes_that_own_the_mesh_are_refused(head, mode):
    bpy.ops.object.mode_set(mode=mode)
    try:
        with pytest.raises(FurrowError, match=f"Leave {mode.title()} Mode"):
            head_object.apply_identity(head, head_object.head().random(1))
    finally:
        bpy.ops.object.mode_set(mode="OBJECT")


def test_wrong_identity_changes_nothing(head):
    before = coordinates(head.data.shape_keys.key_blocks["Basis"])
    with pytest.raises(FurrowError, match="coefficients"):
        head_object.apply_identity(head, Identity(np.zeros(3, np.float32)))
    bad = np.zeros(head_object.head().shape_count, np.float32)
    bad[0] = np.nan
    with pytest.raises(FurrowError, match="not numbers"):
        head_object.apply_identity(head, Identity(bad))
    np.testing.assert_array_equal(coordinates(head.data.shape_keys.key_blocks["Basis"]), before)


def test_changed_topology_is_named(head):
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.subdivide()
    bpy.ops.object.mode_set(mode="OBJECT")
    head.furrow.directions[0].value = 1.0
    assert "added or removed" in head_state.of(head).identity_problem


def test_muted_and_pinned_keys_count_as_blender_shows_them(head):
    head_object.set_expression(head, {"jawOpen": 0.5, "cheekPuff": 0.4})
    keys = head.data.shape_keys.key_blocks
    keys["cheekPuff"].mute = True
    weights = head_object.expression_of(head)
    assert weights[EXPRESSIONS.index("jawOpen")] == 0.5 and weights.sum() == 0.5
    head.active_shape_key_index = list(keys.keys()).index("browInnerUp")
    head.show_only_shape_key = True
    weights = head_object.expression_of(head)
    assert weights[EXPRESSIONS.index("browInnerUp")] == 1.0 and weights.sum() == 1.0
    model = head_object.head()
    np.testing.assert_allclose(
        evaluated(head), model.vertices(model.average().shape, weights), atol=2e-6
    )


def test_half_a_blink_is_a_key_that_drives_itself(head):
    """Without scripts: the driver is a sum of one weight, its curve a parabola."""
    blocks = head.data.shape_keys.key_blocks
    curve = next(
        c for c in head.data.shape_keys.animation_data.drivers if "eyeBlinkLeft Half" in c.data_path
    )
    assert curve.driver.type == "SUM" and curve.driver.is_valid
    for weight, expected in ((0.0, 0.0), (0.25, 0.75), (0.5, 1.0), (1.0, 0.0)):
        blocks["eyeBlinkLeft"].value = weight
        bpy.context.view_layer.update()
        now = head.evaluated_get(bpy.context.evaluated_depsgraph_get())
        driven = now.data.shape_keys.key_blocks["eyeBlinkLeft Half"].value
        assert driven == pytest.approx(expected, abs=1e-6)


def test_a_half_blink_in_blender_is_the_models(head):
    model = head_object.head()
    weights = {"eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.3, "jawOpen": 0.4}
    head_object.set_expression(head, weights)
    bpy.context.view_layer.update()
    expected = model.vertices(head_object.identity_of(head).shape, vector(weights))
    np.testing.assert_allclose(evaluated(head), expected, atol=2e-6)
