"""The shaded viewport: detail as bump, no vertex moved, and renders that displace all the same."""

from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from furrow.addon.bake import stage  # noqa: E402
from furrow.addon.detail import detail_modes, displacement, live_mode, shaded_bump  # noqa: E402
from furrow.addon.detail.live_session import session  # noqa: E402
from furrow.addon.head import head_object, settings  # noqa: E402


@pytest.fixture
def shaded(head):
    """A head with ridges a centimetre apart, shown by shading alone."""
    ridges = np.sin(np.linspace(0, 50 * np.pi, 256, dtype=np.float32))
    live_mode.show_map(head, np.tile(ridges, (256, 1)))
    head.furrow.detail_viewport = "SHADED"
    return head


def evaluated(obj):
    return obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data


def test_the_viewport_moves_no_vertex_and_the_render_displaces(shaded):
    shaded.furrow.detail_viewport_levels = 2
    mesh = evaluated(shaded)
    assert len(mesh.vertices) == len(shaded.data.vertices)
    mark = np.empty(len(mesh.vertices), np.float32)
    mesh.attributes[shaded_bump.MARK].data.foreach_get("value", mark)
    assert mark.max() == 1.0 and mark.min() == 0.0  # the mouth's inside has no pores
    for name in (displacement.SUBDIVISION, displacement.DISPLACEMENT):
        assert shaded.modifiers[name].show_render
    assert not shaded.modifiers[shaded_bump.MODIFIER].show_render
    shaded.furrow.detail_viewport = "DISPLACED"
    mesh = evaluated(shaded)
    assert len(mesh.vertices) > 4 * len(shaded.data.vertices)
    assert shaded_bump.MARK not in mesh.attributes


def test_the_map_is_seen_in_the_light_where_the_mesh_is_marked(shaded, scene, tmp_path):
    stage.build(scene, shaded, yaw=0.0, margin=1.0)
    stage.render_settings(scene, 4)
    scene.render.resolution_x, scene.render.resolution_y = 120, 138
    scene.render.filepath = str(tmp_path / "head.png")
    for name in (displacement.SUBDIVISION, displacement.DISPLACEMENT):
        shaded.modifiers[name].show_render = False

    def picture(marked: bool) -> np.ndarray:
        shaded.modifiers[shaded_bump.MODIFIER].show_render = marked
        with session.paused():  # or the exact map would take the place of the ridges
            bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(scene.render.filepath, check_existing=False)
        return np.array(image.pixels[:]).reshape(138, 120, 4)[40:80, 40:80, :3].mean(2)

    plain, bumped = picture(False), picture(True)
    assert np.abs(bumped - plain).mean() > 0.01


def test_each_head_has_its_own_map_and_gives_the_material_back(shaded):
    shared = [m for m in bpy.data.materials if m.get("furrow_slot") == "skin"]
    other = head_object.create_head()
    detail_modes.attach(other)
    live_mode.show_map(other, np.zeros((256, 256), np.float32))
    assert other.data.materials[0] in shared  # not the copy of the first head
    other.furrow.detail_viewport = "SHADED"
    images = {
        obj.data.materials[0].node_tree.nodes[shaded_bump.IMAGE_NODE].image
        for obj in (shaded, other)
    }
    assert images == {obj.furrow.live_texture.image for obj in (shaded, other)}
    name = shaded.data.materials[0].name
    shaded.furrow.detail_viewport = "DISPLACED"
    assert shaded.data.materials[0] in shared and name not in bpy.data.materials


def test_a_material_that_an_artist_put_on_the_skin_stays(head):
    own = bpy.data.materials.new("Own")
    head.data.materials[0] = own
    live_mode.show_map(head, np.zeros((256, 256), np.float32))
    head.furrow.detail_viewport = "SHADED"
    assert head.data.materials[0] == own
    head.furrow.detail_viewport = "DISPLACED"
    assert head.data.materials[0] == own


def test_numbers_that_blender_holds_in_32_bits_are_not_written_again(shaded):
    shaded.furrow.detail_strength = 0.7
    height = shaded.data.materials[0].node_tree.nodes[shaded_bump.DISTANCE_NODE].inputs[1]
    strength = shaded.modifiers[displacement.DISPLACEMENT].strength
    assert strength != 0.0007 and not settings.differs(strength, 0.0007)
    assert not settings.differs(height.default_value, 0.0007)
    assert settings.differs(strength, 0.00070007)
