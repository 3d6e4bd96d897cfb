"""Every button does what its label says, on the active head, and refuses with a message."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from furrow.addon.detail import displacement
from furrow.addon.head import head_object
from furrow.backend.formats.expressions import EXPRESSIONS, FACESCAPE_PRESETS


def weights(head) -> dict[str, float]:
    values = head_object.expression_of(head).tolist()
    return {name: value for name, value in zip(EXPRESSIONS, values, strict=True) if value}


def test_add_head_puts_a_selected_head_with_detail_at_the_cursor(scene):
    scene.cursor.location = (1, 2, 3)
    assert bpy.ops.mesh.furrow_head_add(average=False, seed=5) == {"FINISHED"}
    head = bpy.context.object
    assert head_object.is_head(head) and tuple(head.location) == (1, 2, 3)
    assert list(head.modifiers.keys()) == [displacement.SUBDIVISION, displacement.DISPLACEMENT]
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
