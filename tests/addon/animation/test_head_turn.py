"""The head turns to where its angles say, whatever the rotation mode, and is read back as it was."""

from __future__ import annotations

import math

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from furrow.addon.animation import head_turn, timeline  # noqa: E402
from furrow.backend.errors import FurrowError  # noqa: E402
from mathutils import Euler, Vector  # noqa: E402

FORWARD, UP = Vector((0, -1, 0)), Vector((0, 0, 1))
LEFT = Vector((1, 0, 0))  # the character's


@pytest.fixture
def face(scene):
    obj = bpy.data.objects.new("Face", bpy.data.meshes.new("Face"))
    scene.collection.objects.link(obj)
    return obj


@pytest.fixture
def rig(scene, face):
    """An armature with a bone `head` that leans and rolls, as rigs' bones do; it deforms the face."""
    armature = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    bone = armature.data.edit_bones.new("head")
    bone.head, bone.tail, bone.roll = (0, 0, 1.5), (0, 0.1, 1.8), 0.7
    bpy.ops.object.mode_set(mode="OBJECT")
    face.modifiers.new("Armature", "ARMATURE").object = armature
    return armature


def write(what, head, scene, start=1, **options):
    return head_turn.write(what, np.array(head, float), 24, scene, start, "Take", **options)


def read(what, scene, frames):
    return np.array([head_turn.turn(what, graph) for graph in timeline.playing(scene, frames)])


def direction(obj, scene, frame, vector):
    scene.frame_set(frame)
    return obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world.to_3x3() @ vector


def test_yaw_turns_left_pitch_nods_down_roll_tips_to_the_right(face, scene):
    what = head_turn.target(face, None)
    write(what, [[0.3, 0, 0], [0, 0.3, 0], [0, 0, 0.3]], scene)
    assert direction(face, scene, 1, FORWARD).dot(LEFT) == pytest.approx(math.sin(0.3), abs=1e-5)
    assert direction(face, scene, 2, FORWARD).dot(UP) == pytest.approx(-math.sin(0.3), abs=1e-5)
    assert direction(face, scene, 3, UP).dot(LEFT) == pytest.approx(-math.sin(0.3), abs=1e-5)


MODES = ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX", "QUATERNION", "AXIS_ANGLE"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rest", [(0, 0, 0), (0.2, -0.4, 1.9)])
def test_an_object_turns_about_its_own_axes_and_is_read_back(face, scene, mode, rest):
    face.rotation_mode = mode
    face.matrix_basis = Euler(rest).to_matrix().to_4x4()
    what = head_turn.target(face, None)
    head = np.random.default_rng(0).uniform(-0.7, 0.7, (20, 3))
    assert not head_turn.is_animated(what)
    write(what, head, scene)
    assert head_turn.is_animated(what)
    np.testing.assert_allclose(read(what, scene, range(1, 21)), head, atol=1e-5)
    axes = Euler(rest).to_matrix()
    write(what, [[0.3, 0, 0]], scene, 40)
    turned = direction(face, scene, 40, FORWARD)
    assert turned.dot(axes @ LEFT) == pytest.approx(math.sin(0.3), abs=1e-5)


@pytest.mark.parametrize("mode", ["XYZ", "QUATERNION"])
def test_a_bone_turns_about_the_axes_of_its_armature(face, rig, scene, mode):
    what = head_turn.target(face, "head")
    what.posed.rotation_mode = mode
    head = np.random.default_rng(1).uniform(-0.7, 0.7, (20, 3))
    write(what, [[0, 0.3, 0], *head], scene)
    np.testing.assert_allclose(read(what, scene, range(2, 22)), head, atol=1e-5)
    scene.frame_set(1)
    bone = rig.pose.bones["head"]
    moved = bone.matrix.to_3x3() @ bone.bone.matrix_local.to_3x3().inverted()
    assert (moved @ FORWARD).dot(UP) == pytest.approx(-math.sin(0.3), abs=1e-5)
    assert not face.animation_data


def test_importing_again_starts_from_the_same_rest(face, scene):
    face.rotation_euler = (0, 0, 0.5)
    what = head_turn.target(face, None)
    for start in (1, 1, 30):
        write(what, [[0.2, 0, 0]] * 10, scene, start, source="/a.wav")
        scene.frame_set(start + 5)
        assert face.rotation_euler.z == pytest.approx(0.7)
    for start in (60, 80):
        write(what, [[0.2, 0, 0]] * 10, scene, start, source="/b.wav", as_strip=True)
        scene.frame_set(start + 5)
        assert face.rotation_euler.z == pytest.approx(0.7)


def test_fewer_keys_stay_within_a_twentieth_of_a_degree(face, scene):
    what = head_turn.target(face, None)
    time = np.arange(300) / 24
    head = 0.1 * np.stack([np.sin(time), np.sin(1.7 * time), np.cos(time)], axis=1)
    action = write(what, head, scene, reduce=True)
    assert np.degrees(np.abs(read(what, scene, range(1, 301)) - head)).max() < 0.06
    assert len(action.layers[0].strips[0].channelbags[0].fcurves[0].keyframe_points) < 100


def test_what_cannot_turn_is_told(face, rig, scene):
    with pytest.raises(FurrowError, match=r'no bone "neck"\. Is it one of these: head'):
        head_turn.target(face, "neck")
    lonely = bpy.data.objects.new("Lonely", bpy.data.meshes.new("Lonely"))
    with pytest.raises(FurrowError, match='"Lonely" has no armature'):
        head_turn.target(lonely, "head")
