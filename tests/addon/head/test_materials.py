"""Heads look like heads: regions of the skin, eyes, per-head looks; an artist's materials stay."""

from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from bpy_extras.object_utils import world_to_camera_view  # noqa: E402
from furrow.addon.bake import stage  # noqa: E402
from furrow.addon.head import head_object, materials  # noqa: E402

SIZE = (132, 152)


@pytest.fixture
def picture(head, scene, tmp_path):
    """Render the head from the front; returns a function from a vertex to the colour place there."""

    def render():
        head.furrow.detail_enabled = False
        camera = stage.build(scene, head, yaw=0.0, margin=1.0)
        stage.render_settings(scene, 8)
        scene.render.resolution_x, scene.render.resolution_y = SIZE
        scene.view_settings.view_transform = "Raw"
        scene.view_settings.look = "None"
        scene.render.filepath = str(tmp_path / "head.png")
        bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(scene.render.filepath, check_existing=False)
        pixels = np.array(image.pixels[:]).reshape(SIZE[1], SIZE[0], 4)

        def colour(point):
            place = world_to_camera_view(scene, camera, point)
            column, row = int(place.x * SIZE[0]), int(place.y * SIZE[1])
            return pixels[row - 1 : row + 2, column - 1 : column + 2, :3].mean((0, 1))

        return colour

    return render


def at(head, landmark: str):
    """The place of a landmark of the head model."""
    return head.data.vertices[head_object.head().landmarks[landmark]].co


def pupil(head):
    """The place of the foremost vertex of the left eye."""
    eye = [v for p in head.data.polygons if p.material_index == 3 for v in p.vertices]
    left = [head.data.vertices[v].co for v in eye if head.data.vertices[v].co.x > 0]
    return min(left, key=lambda co: co.y)


def test_lips_are_redder_than_the_forehead_and_pupils_black(head, picture):
    colour = picture()
    forehead, lip = colour(at(head, "forehead")), colour(at(head, "lower_lip_centre"))
    assert lip[0] / lip[1] > 1.25 * forehead[0] / forehead[1]
    assert forehead[0] > forehead[1] > forehead[2] > 0.02
    assert colour(pupil(head)).mean() < 0.5 * forehead.mean()


def test_melanin_of_one_head_darkens_its_skin(head, picture):
    light = picture()(at(head, "forehead"))
    head["furrow_melanin"] = 0.9
    head.update_tag()
    dark = picture()(at(head, "forehead"))
    assert dark.mean() < 0.5 * light.mean()


def test_heads_share_materials_and_keep_their_own_looks(head, scene):
    other = head_object.create_head()
    assert [s.material for s in other.material_slots] == [s.material for s in head.material_slots]
    other["furrow_iris"] = (0.2, 0.1, 0.05)
    materials.assign(other)
    assert tuple(other["furrow_iris"]) == pytest.approx((0.2, 0.1, 0.05))
    assert tuple(head["furrow_iris"]) == pytest.approx(materials.LOOKS["furrow_iris"])


def test_a_material_that_an_artist_put_in_a_slot_stays(head):
    own = bpy.data.materials.new("Own")
    head.material_slots[0].material = own
    materials.assign(head)
    assert head.material_slots[0].material == own


def test_every_slot_has_its_material_in_the_order_of_the_head_model(head):
    slots = [slot.material["furrow_slot"] for slot in head.material_slots]
    assert tuple(slots) == head_object.head().materials
