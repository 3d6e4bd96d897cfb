"""Long work from the sidebar, on the path without a window: speech, motion, bake, installation."""

from __future__ import annotations

import shutil
import wave

import bpy
import numpy as np
import pytest
from bpy_extras.io_utils import ExportHelper, ImportHelper
from furrow.addon.animation import expression_keys, timeline
from furrow.addon.detail.live_session import session
from furrow.addon.interface import (
    engine_operators,
    head_operators,
    motion_operators,
    panels,
)
from furrow.addon.process import jobs
from furrow.backend.formats.expressions import INDEX
from furrow.backend.formats.files import ASSETS
from furrow.backend.formats.weights import Weights, read_weights, write_weights
from furrow.backend.liveliness import performance

HELLO = ASSETS / "demo" / "hello.wav"
NETWORKS = pytest.mark.skipif(
    not (ASSETS / "detail" / "generator.onnx").exists(), reason="no networks are trained yet"
)
SPEECH = pytest.mark.skipif(
    not (HELLO.exists() and (ASSETS / "speech" / "decoder.onnx").exists()
         and (ASSETS / "speech" / "moonshine_encoder.ort").exists()),
    reason="no speech model is here yet",
)  # fmt: skip


@pytest.fixture
def backend():
    """The real process, ended after the test."""
    yield
    jobs.stop()


def strips(scene) -> list:
    editor = scene.sequence_editor
    if editor is None:
        return []
    return list(editor.strips if hasattr(editor, "strips") else editor.sequences)


@SPEECH
def test_speech_import_places_sound_and_motion(head, scene, backend):
    timeline.set_frame_rate(scene, 25)
    assert bpy.ops.furrow.speech_import(filepath=str(HELLO), start_frame=10) == {"FINISHED"}
    values = played(head, scene, range(10, scene.frame_end + 1))
    jaw = values[:, 17]
    assert jaw.max() > 0.1 and values[:3].max() <= 1.0
    (strip,) = strips(scene)
    assert strip.type == "SOUND" and strip.frame_final_start == 10
    assert scene.frame_end >= strip.frame_final_end - 1


def test_a_bad_recording_is_named_and_changes_nothing(head, scene, tmp_path, backend):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF no sound")
    with pytest.raises(RuntimeError, match=r"bad\.wav"):
        bpy.ops.furrow.speech_import(filepath=str(bad))
    animation = head.data.shape_keys.animation_data  # holds the drivers of half blinks
    assert not strips(scene) and animation.action is None and not animation.nla_tracks


def test_motion_comes_back_as_it_was_written(head, scene, tmp_path):
    values = np.random.default_rng(0).random((48, 52), np.float32)
    write_weights(tmp_path / "in.csv", Weights(values, 24.0))
    timeline.set_frame_rate(scene, 24)
    scene.frame_end = 5
    bpy.ops.furrow.motion_import(filepath=str(tmp_path / "in.csv"))
    assert scene.frame_end == 48
    bpy.ops.furrow.motion_export(filepath=str(tmp_path / "out.csv"))
    np.testing.assert_allclose(read_weights(tmp_path / "out.csv").values, values, atol=1e-5)


@pytest.fixture
def speaking(client, monkeypatch):
    """A backend that answers at once, `speech` with two seconds of motion; `asked` is what was asked."""

    def request(method, params, channel=None):
        assert method == "speech"
        client.asked = params
        count = round(2 * params["fps"])
        time = np.linspace(0, 2, count, endpoint=False)
        rows = np.zeros((count, 55), np.float32)
        rows[:, INDEX["jawOpen"]] = 0.4 + 0.4 * np.sin(9 * time)
        rows[:, 52] = 0.1 * np.sin(time)  # the head's yaw
        job = jobs.Background(lambda progress, cancelled: {"array": rows, "fps": params["fps"]})
        job.wait()
        return job

    monkeypatch.setattr(client, "request", request)
    client.asked = None
    return client


def played(obj, scene, frames):
    """The weights that the scene plays, without maps for every frame."""
    with session.paused():
        return expression_keys.sample(obj, scene, frames)


@pytest.fixture
def stranger(scene):
    """Face and tongue of another program, on an armature, both selected, the face active."""
    armature = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    bone = armature.data.edit_bones.new("Head")
    bone.tail = (0, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    armature.select_set(False)
    objects = []
    for name, keys in (("Tongue", ["TongueOut", "JawOpen"]), ("Face", ["JawOpen", "EyeBlink_L"])):
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
        obj = bpy.data.objects.new(name, mesh)
        scene.collection.objects.link(obj)
        obj.parent = armature
        for key in ("Basis", *keys):
            obj.shape_key_add(name=key).value = 0.0
        obj.select_set(True)
        objects.append(obj)
    bpy.context.view_layer.objects.active = objects[-1]
    return objects[-1], objects[0], armature


def jaw(obj, scene, frame):
    scene.frame_set(frame)
    return obj.data.shape_keys.key_blocks["JawOpen"].value


def test_a_strangers_face_speaks_and_says_what_it_lacks(stranger, scene, speaking, capsys):
    face, tongue, rig = stranger
    assert bpy.ops.furrow.speech_import(filepath=str(HELLO)) == {"FINISHED"}
    said = capsys.readouterr().out
    assert '; "Face": no shape key for eyeLookDownLeft' in said and "and 47 more" in said
    assert "noseSneerRight, tongueOut\n" in said  # the whole list
    assert jaw(face, scene, 1) == pytest.approx(0.4, abs=1e-3)
    assert not tongue.data.shape_keys.animation_data and not rig.animation_data
    bpy.ops.furrow.speech_import(filepath=str(HELLO), all_selected=True, turns="BONE", bone="Head")
    assert jaw(tongue, scene, 5) == jaw(face, scene, 5) > 0.4
    scene.frame_set(40)
    turn = rig.pose.bones["Head"].matrix_basis.to_quaternion().angle
    assert turn == pytest.approx(0.1 * np.sin(39 / 24), abs=1e-4)
    assert '"Face" and "Tongue": no shape key for' in capsys.readouterr().out
    assert not face.animation_data
    assert len(strips(scene)) == 1


def test_the_panel_shows_for_faces_only(head, stranger, scene):
    face, _tongue, rig = stranger
    for obj, shown in ((head, True), (face, True), (rig, False)):
        bpy.context.view_layer.objects.active = obj
        assert panels.FURROW_PT_speech.poll(bpy.context) == shown
    face.shape_key_clear()
    bpy.context.view_layer.objects.active = face
    assert not panels.FURROW_PT_speech.poll(bpy.context)


def test_what_was_chosen_goes_to_the_backend_and_is_remembered(head, scene, speaking, tmp_path):
    chosen = {"emotion": "happy", "intensity": 0.5, "articulation": 1.25, "speaker": 3,
              "blinks": 0.0, "brows": 2.0, "seed": 7, "reduce_keys": True}  # fmt: skip
    bpy.ops.furrow.speech_import(filepath=str(HELLO), **chosen)
    first = speaking.asked
    assert first["style"]["emotion"] == "happy" and first["style"]["intensity"] == 0.5
    assert any(first["style"]["speaker"]) and first["fps"] == 24
    assert first["life"] == {
        "blinks": 0.0, "gaze": 1.0, "brows": 2.0, "breath": 1.0, "head": 1.0, "seed": 7,
    }  # fmt: skip
    performance.from_request(first)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.furrow.speech_import(filepath=str(HELLO), emotion="sad")
    again = speaking.asked
    assert again["style"] == {**first["style"], "emotion": "sad"} and again["life"] == first["life"]
    assert bpy.context.scene.furrow.speech.reduce_keys


def test_importing_again_replaces_and_piles_nothing_up(head, scene, speaking, tmp_path):
    sound = tmp_path / "hello.wav"
    shutil.copy(HELLO, sound)
    for _ in range(3):
        bpy.ops.furrow.speech_import(filepath=str(sound), start_frame=10)
    assert len(bpy.data.actions) == 2  # the keys' and the head's
    (strip,) = strips(scene)
    assert strip.frame_final_start == 10 and len(bpy.data.sounds) == 1
    length = strip.frame_duration
    with wave.open(str(HELLO)) as whole, wave.open(str(sound), "wb") as half:
        half.setparams(whole.getparams())
        half.writeframes(whole.readframes(whole.getnframes() // 2))
    bpy.ops.furrow.speech_import(filepath=str(sound), start_frame=10)
    (strip,) = strips(scene)
    assert strip.frame_duration == pytest.approx(length / 2, abs=1)
    assert strip.frame_final_start == 10 and len(bpy.data.sounds) == 1
    bpy.ops.furrow.speech_import(filepath=str(sound), start_frame=100)
    assert len(strips(scene)) == 2


def test_strips_go_to_the_playhead_at_the_scenes_rate(head, scene, speaking):
    timeline.set_frame_rate(scene, 30000 / 1001)
    for frame in (20, 200):
        scene.frame_set(frame)
        bpy.ops.furrow.speech_import(filepath=str(HELLO), place_as="STRIP")
        assert speaking.asked["fps"] == pytest.approx(30000 / 1001)
    keys, turn = head.data.shape_keys.animation_data, head.animation_data
    for data in (keys, turn):
        (track,) = data.nla_tracks
        assert [s.frame_start for s in track.strips] == [20, 200]
    assert sorted(s.frame_final_start for s in strips(scene)) == [20, 200]


def test_a_head_turns_by_its_rotation_and_is_written_back(head, scene, speaking, tmp_path):
    bpy.ops.furrow.speech_import(filepath=str(HELLO))
    scene.frame_start, scene.frame_end = 1, 48
    bpy.ops.furrow.motion_export(filepath=str(tmp_path / "out.csv"))
    written = read_weights(tmp_path / "out.csv")
    yaw = 0.1 * np.sin(np.arange(48) / 24)
    np.testing.assert_allclose(written.head[:, 0], yaw, atol=1e-5)
    np.testing.assert_allclose(written.head[:, 1:], 0, atol=1e-6)
    bpy.ops.furrow.motion_import(filepath=str(tmp_path / "out.csv"), start_frame=100)
    scene.frame_set(130)
    assert head.rotation_euler.z == pytest.approx(yaw[30], abs=1e-4)
    bpy.ops.furrow.motion_export(filepath=str(tmp_path / "out.npz"), turns="NONE")
    assert read_weights(tmp_path / "out.npz").head is None


def test_a_head_that_stays_is_not_keyed_but_undoes_an_earlier_turn(head, scene, tmp_path):
    values = np.random.default_rng(0).random((20, 52), np.float32)
    write_weights(tmp_path / "in.npz", Weights(values, 24.0, np.zeros((20, 3), np.float32)))
    bpy.ops.furrow.motion_import(filepath=str(tmp_path / "in.npz"))
    assert head.animation_data is None
    write_weights(tmp_path / "in.npz", Weights(values, 24.0, np.full((20, 3), 0.2, np.float32)))
    bpy.ops.furrow.motion_import(filepath=str(tmp_path / "in.npz"))
    assert head.rotation_euler.z == pytest.approx(0.2, abs=0.05)
    write_weights(tmp_path / "in.npz", Weights(values, 24.0, np.zeros((20, 3), np.float32)))
    bpy.ops.furrow.motion_import(filepath=str(tmp_path / "in.npz"))
    assert tuple(head.rotation_euler) == pytest.approx((0, 0, 0), abs=1e-6)


def test_a_driver_is_normalised_to_the_heads_range(head, scene, tmp_path):
    values = np.zeros((200, 52), np.float32)
    values[:, INDEX["jawOpen"]] = 0.1 + 0.25 * (1 - np.cos(np.arange(200) / 5))
    write_weights(tmp_path / "in.npz", Weights(values, 24.0))
    bpy.ops.furrow.motion_import(filepath=str(tmp_path / "in.npz"), normalise=True)
    opened = played(head, scene, range(1, 201))[:, INDEX["jawOpen"]]
    assert opened.min() == 0 and opened.max() > 0.99


def test_what_cannot_be_done_is_said_before_any_work(head, stranger, scene, speaking):
    face, _tongue, _rig = stranger
    with pytest.raises(RuntimeError, match=r'no bone "neck"\. Is it one of these: Head'):
        bpy.ops.furrow.speech_import(filepath=str(HELLO), turns="BONE", bone="neck")
    face.shape_key_clear()
    with pytest.raises(RuntimeError, match=r'"Face" has no shape keys: select a Furrow head'):
        bpy.ops.furrow.speech_import(filepath=str(HELLO))
    assert speaking.asked is None
    bpy.context.view_layer.objects.active = None
    with pytest.raises(RuntimeError, match="Select a Furrow head"):
        bpy.ops.furrow.speech_import(filepath=str(HELLO))


def test_buttons_that_take_a_file_open_blenders_file_selector():
    # Blender's helpers stand behind our base, which is an operator of Blender's, in the order of calls.
    for cls, helper in (
        (head_operators.FURROW_OT_identity_load, ImportHelper),
        (head_operators.FURROW_OT_identity_save, ExportHelper),
        (engine_operators.FURROW_OT_openvino_add_file, ImportHelper),
    ):
        assert cls.invoke is helper.invoke and cls.check is helper.check
    after = motion_operators.FURROW_OT_speech_import.__mro__
    after = after[after.index(motion_operators.MotionImport) + 1 :]
    assert next(cls for cls in after if "invoke" in vars(cls)) is ImportHelper
