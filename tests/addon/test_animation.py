"""Weights become curves that play back, in whichever Blender runs the tests."""

from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from furrow.addon import animation  # noqa: E402
from furrow.backend.errors import FurrowError  # noqa: E402
from furrow.backend.expressions import EXPRESSIONS, INDEX  # noqa: E402
from furrow.backend.weights import Weights  # noqa: E402


@pytest.fixture
def head(scene):
    """A mesh that has what an Action can see of a head: the 52 shape keys."""
    mesh = bpy.data.meshes.new("Head")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    obj = bpy.data.objects.new("Head", mesh)
    scene.collection.objects.link(obj)
    obj.shape_key_add(name="Basis")
    for name in EXPRESSIONS:
        obj.shape_key_add(name=name)
    return obj


def motion(frames: int, fps: float) -> Weights:
    values = np.random.default_rng(0).random((frames, 52), np.float32)
    return Weights(values, fps)


def test_written_weights_play_back_on_their_frames(head, scene):
    animation.set_frame_rate(scene, 30)
    weights = motion(12, 30)
    animation.write_action(head, weights, scene, start_frame=5)
    np.testing.assert_allclose(
        animation.sample(head, scene, range(5, 17)), weights.values, atol=1e-6
    )


def test_seconds_become_frames_of_the_scene_base_included(head, scene):
    animation.set_frame_rate(scene, 30000 / 1001)
    assert scene.render.fps_base == pytest.approx(1.001)
    weights = motion(60, 60.0)
    animation.write_action(head, weights, scene, start_frame=1)
    seconds = 59 / 60
    last = 1 + seconds * 30000 / 1001
    assert animation.frame_range(head) == (1, int(np.ceil(last)))
    np.testing.assert_allclose(
        animation.sample(head, scene, [last])[0], weights.values[-1], atol=1e-4
    )


@pytest.mark.parametrize("fps", [12, 23.976, 24, 25, 29.97, 30, 59.94, 12.5])
def test_every_rate_reaches_the_scene(scene, fps):
    animation.set_frame_rate(scene, fps)
    assert animation.frame_rate(scene) == pytest.approx(fps, rel=2e-5)


def test_a_rate_that_is_no_number_is_refused(scene):
    with pytest.raises(FurrowError, match="frame rate"):
        animation.set_frame_rate(scene, float("nan"))


def test_sampling_sees_edits_drivers_mutes_and_leaves_the_scene_as_it_was(head, scene):
    animation.write_action(head, motion(6, 24), scene)
    blocks = head.data.shape_keys.key_blocks
    blocks["jawOpen"].driver_add("value").driver.expression = "0.25"
    blocks["cheekPuff"].mute = True
    scene.frame_set(3)
    before = scene.frame_current
    sampled = animation.sample(head, scene, [2, 4])
    assert sampled[:, INDEX["jawOpen"]] == pytest.approx([0.25, 0.25])
    assert sampled[:, INDEX["cheekPuff"]] == pytest.approx([0, 0])
    assert scene.frame_current == before


def test_a_second_import_keeps_the_first_action_and_the_artists_own_curves(head, scene):
    head.shape_key_add(name="My Scar")
    first = animation.write_action(head, motion(6, 24), scene, name="Take 1")
    own = head.data.shape_keys.key_blocks["My Scar"]
    own.value = 0.5
    own.keyframe_insert("value", frame=1)
    own.value = 0.75
    own.keyframe_insert("value", frame=6)
    second = motion(6, 24)
    animation.write_action(head, second, scene, name="Take 2")
    np.testing.assert_allclose(animation.sample(head, scene, range(1, 7)), second.values, atol=1e-6)
    scene.frame_set(6)
    assert own.value == pytest.approx(0.75)
    assert first.use_fake_user and first.name == "Take 1"


def test_nla_tracks_stay(head, scene):
    first = animation.write_action(head, motion(6, 24), scene)
    data = head.data.shape_keys.animation_data
    data.nla_tracks.new().strips.new("Earlier", 1, first)
    animation.write_action(head, motion(6, 24), scene)
    assert [track.strips[0].name for track in data.nla_tracks] == ["Earlier"]


def test_a_mesh_that_is_no_head_is_refused_by_name(scene):
    cube = bpy.data.objects.new("Cube", bpy.data.meshes.new("Cube"))
    scene.collection.objects.link(cube)
    with pytest.raises(FurrowError, match='"Cube" has no shape key'):
        animation.write_action(cube, motion(2, 24), scene)
