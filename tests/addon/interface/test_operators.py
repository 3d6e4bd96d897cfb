"""Every button does what its label says, on the active head, and refuses with a message."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import MagicMock

import bpy
import numpy as np
import pytest
from furrow.addon.detail import head_detail
from furrow.addon.head import head_object
from furrow.addon.interface import operators, panels
from furrow.backend.detail import space
from furrow.backend.detail.engines import engines
from furrow.backend.formats.expressions import EXPRESSIONS, FACESCAPE_PRESETS
from furrow.backend.formats.maps import write_map


def weights(head) -> dict[str, float]:
    values = head_object.expression_of(head).tolist()
    return {name: value for name, value in zip(EXPRESSIONS, values, strict=True) if value}


def test_add_head_puts_a_selected_head_with_detail_at_the_cursor(scene):
    scene.cursor.location = (1, 2, 3)
    assert bpy.ops.mesh.furrow_head_add(average=False, seed=5) == {"FINISHED"}
    head = bpy.context.object
    assert head_object.is_head(head) and tuple(head.location) == (1, 2, 3)
    assert list(head.modifiers.keys()) == [head_detail.SUBDIVISION, head_detail.DISPLACEMENT]
    model = head_object.head()
    np.testing.assert_allclose(
        head_object.identity_of(head).shape, model.random(5).shape, atol=1e-6
    )
    bpy.ops.mesh.furrow_head_add()
    assert len(head_object.heads(scene)) == 2


def test_random_and_average_person(head):
    model = head_object.head()
    bpy.ops.furrow.identity_random(seed=7)
    assert head_object.identity_of(head).name == model.random(7).name
    np.testing.assert_allclose(
        head_object.identity_of(head).vector, model.random(7).vector, atol=1e-6
    )
    bpy.ops.furrow.identity_random(seed=7, amount=0.0)
    np.testing.assert_allclose(head_object.identity_of(head).vector, model.average().vector)
    bpy.ops.furrow.identity_random(seed=8)
    bpy.ops.furrow.identity_average()
    np.testing.assert_allclose(head_object.identity_of(head).vector, model.average().vector)


def test_identity_files(head, tmp_path):
    bpy.ops.furrow.identity_random(seed=3)
    head.furrow.directions[0].value = 0.4
    expected = head_object.identity_of(head).vector
    path = str(tmp_path / "person.json")
    bpy.ops.furrow.identity_save(filepath=path)
    bpy.ops.furrow.identity_average()
    bpy.ops.furrow.identity_load(filepath=path)
    np.testing.assert_allclose(head_object.identity_of(head).vector, expected, atol=1e-5)
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(RuntimeError, match="no identity file"):
        bpy.ops.furrow.identity_load(filepath=str(tmp_path / "bad.json"))
    np.testing.assert_allclose(head_object.identity_of(head).vector, expected, atol=1e-5)


def test_adjustments_go_to_files_and_back(head, tmp_path):
    head.furrow.furrow_depth, head.furrow.skin_age = 0.7, -0.2
    path = str(tmp_path / "person.json")
    bpy.ops.furrow.identity_save(filepath=path)
    bpy.ops.furrow.adjustments_reset()
    assert not head_object.identity_of(head).adjustments.any()
    bpy.ops.furrow.identity_load(filepath=path)
    assert head_object.identity_of(head).adjusted == pytest.approx(
        {"skin_age": -0.2, "furrow_depth": 0.7}
    )
    bpy.ops.furrow.identity_random(seed=3)  # another person has none of them
    assert not head_object.identity_of(head).adjustments.any()


def test_expressions_reset_mirror_and_presets(head):
    for name, preset in FACESCAPE_PRESETS.items():
        bpy.ops.furrow.expression_preset(preset=name)
        assert weights(head) == pytest.approx(preset)
    bpy.ops.furrow.expression_preset(preset="smile", amount=0.5)
    assert weights(head)["mouthSmileLeft"] == pytest.approx(0.45)
    bpy.ops.furrow.expression_reset()
    assert weights(head) == {}
    head_object.set_expression(head, {"mouthSmileLeft": 0.8, "jawLeft": 0.3, "jawOpen": 0.2})
    bpy.ops.furrow.expression_mirror(side="SWAP")
    assert weights(head) == pytest.approx({"mouthSmileRight": 0.8, "jawRight": 0.3, "jawOpen": 0.2})
    bpy.ops.furrow.expression_mirror(side="RIGHT")
    assert weights(head) == pytest.approx(
        {
            "mouthSmileLeft": 0.8,
            "mouthSmileRight": 0.8,
            "jawLeft": 0.3,
            "jawRight": 0.3,
            "jawOpen": 0.2,
        }
    )


def test_live_and_baked(head, client, tmp_path):
    bpy.ops.furrow.expression_preset(preset="smile")
    bpy.ops.furrow.detail_refresh()
    live = head.furrow.live_texture
    assert live.image.pixels[0] == pytest.approx(sum(FACESCAPE_PRESETS["smile"].values()), abs=1e-5)
    head.furrow.detail_resolution = "256"
    bpy.ops.furrow.detail_refresh()
    assert tuple(live.image.size) == (256, 256)

    for frame in (1, 2):
        write_map(tmp_path / f"{frame:04d}.exr", np.zeros((256, 256), np.float32))
    bpy.ops.furrow.detail_sequence(directory=str(tmp_path))
    displacement = head.modifiers[head_detail.DISPLACEMENT]
    assert head.furrow.detail_mode == "BAKED" and displacement.texture == head.furrow.baked_texture
    head.furrow.detail_mode = "LIVE"
    assert displacement.texture == live
    with pytest.raises(RuntimeError, match="no maps"):
        bpy.ops.furrow.detail_sequence(directory=str(tmp_path / "empty"))


def test_operators_want_a_head(scene):
    bpy.ops.mesh.primitive_cube_add()
    for operator in operators.CLASSES:
        if issubclass(operator, operators.HeadOperator):
            assert not operator.poll(bpy.context)


def test_sliders_without_directions_are_off_and_say_why(head, monkeypatch, tmp_path):
    for there in (False, True):
        monkeypatch.setattr(engines, "DETAIL", tmp_path)
        if there:
            (tmp_path / space.DIRECTIONS).touch()
        layout = MagicMock()
        layout.panel.return_value = (MagicMock(), layout)
        panels.FURROW_PT_detail.draw(SimpleNamespace(layout=layout), bpy.context)
        assert layout.column.return_value.enabled is there
        labels = layout.box().column().label.call_args_list
        said = " ".join(" ".join(call.kwargs["text"] for call in labels).split())
        assert ("directions.safetensors is missing" in said) is not there


@pytest.mark.parametrize("panel", panels.CLASSES)
def test_panels_draw(head, panel):
    """Each draws without an error; what they look like is seen in a window."""
    layout = MagicMock()
    layout.panel.return_value = (MagicMock(), layout)  # each header is open
    head_object.problems[head.furrow.id] = "Something went wrong, and here is what to do about it."
    stand_in = SimpleNamespace(layout=layout)
    panel.draw(stand_in, bpy.context)
    if hasattr(panel, "draw_header"):
        panel.draw_header(stand_in, bpy.context)
    assert layout.mock_calls
