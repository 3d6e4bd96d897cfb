"""Long work from the sidebar, on the path without a window: speech, motion, bake, installation."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from furrow.addon import animation, detail, jobs
from furrow.backend.errors import FurrowError
from furrow.backend.files import ASSETS
from furrow.backend.maps import write_map
from furrow.backend.weights import Weights, read_weights, write_weights

HELLO = ASSETS / "demo" / "hello.wav"
NETWORKS = pytest.mark.skipif(
    not (ASSETS / "detail" / "generator.onnx").exists(), reason="no networks are trained yet"
)
SPEECH = pytest.mark.skipif(
    not (HELLO.exists() and (ASSETS / "speech" / "speech.onnx").exists()
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
    animation.set_frame_rate(scene, 25)
    assert bpy.ops.furrow.speech_import(filepath=str(HELLO), start_frame=10) == {"FINISHED"}
    values = animation.sample(head, scene, range(10, scene.frame_end + 1))
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
    assert not strips(scene) and head.data.shape_keys.animation_data is None


def test_motion_comes_back_as_it_was_written(head, scene, tmp_path):
    values = np.random.default_rng(0).random((48, 52), np.float32)
    write_weights(tmp_path / "in.csv", Weights(values, 24.0))
    animation.set_frame_rate(scene, 24)
    scene.frame_end = 5
    bpy.ops.furrow.motion_import(filepath=str(tmp_path / "in.csv"))
    assert scene.frame_end == 48
    bpy.ops.furrow.motion_export(filepath=str(tmp_path / "out.csv"))
    np.testing.assert_allclose(read_weights(tmp_path / "out.csv").values, values, atol=1e-5)


class BakingClient:
    """Writes maps whose value is the jaw's weight."""

    def call(self, method, params, timeout=None):
        return {"models": []}

    def request(self, method, params):
        assert method == "write_map"
        write_map(params["path"], np.full((8, 8), params["expression"][17], np.float32))
        job = jobs.Background(lambda progress, cancelled: {})
        job.wait()
        return job


def test_bake_writes_every_frame_and_plays_them(head, scene, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "client", BakingClient)
    key = head.data.shape_keys.key_blocks["jawOpen"]
    for frame, value in ((3, 0.0), (5, 1.0)):
        key.value = value
        key.keyframe_insert("value", frame=frame)
    scene.frame_start, scene.frame_end = 3, 5
    with pytest.raises(RuntimeError, match="Save the file"):
        bpy.ops.furrow.bake()
    assert bpy.ops.furrow.bake(directory=str(tmp_path)) == {"FINISHED"}
    assert head.furrow.detail_mode == "BAKED"
    assert sorted(p.name for p in (tmp_path / "Head" / "detail").iterdir()) == [
        "0003.exr", "0004.exr", "0005.exr",
    ]  # fmt: skip

    def moved(frame):
        scene.frame_set(frame)
        points = []
        for shown in (False, True):
            head.modifiers[detail.DISPLACEMENT].show_viewport = shown
            mesh = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
            points.append(np.empty((len(mesh.vertices), 3), np.float32))
            mesh.vertices.foreach_get("co", points[-1].ravel())
        return 1000 * np.linalg.norm(points[1] - points[0], axis=1).max()

    assert [moved(f) for f in (3, 4, 5)] == pytest.approx([0.0, 0.5, 1.0], abs=2e-3)


def test_check_installation_says_what_is_wrong(head, monkeypatch, backend, capsys):
    jobs.stop()
    monkeypatch.setenv("FURROW_PYTHON", "/no/such/python")
    assert bpy.ops.furrow.check_installation() == {"FINISHED"}
    said = capsys.readouterr().out
    assert "cannot make detail" in said and "/no/such/python" in said


@NETWORKS
def test_check_installation_makes_a_map(head, backend, capsys):
    assert bpy.ops.furrow.check_installation() == {"FINISHED"}
    said = capsys.readouterr().out
    assert "Furrow works" in said and "A map of 512 pixels took" in said
    assert bpy.ops.furrow.backend_release() == {"FINISHED"}
    assert bpy.ops.furrow.backend_stop() == {"FINISHED"}
    assert jobs.running() is None


def test_a_background_job_reports_cancels_and_carries_errors():
    def count(upto, progress, cancelled):
        progress(0.5, "half")
        if upto < 0:
            raise FurrowError("Nothing to count.")
        return "stopped" if cancelled() else upto

    job = jobs.Background(count, upto=3)
    assert job.wait(5) and job.result() == 3 and job.progress == (0.5, "half")
    job = jobs.Background(count, upto=-1)
    job.wait(5)
    with pytest.raises(FurrowError, match="Nothing"):
        job.result()
