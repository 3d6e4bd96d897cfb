"""A bake that is whole, resumes, spreads over ranges, survives the backend, and plays without Furrow."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

import furrow  # noqa: E402
from furrow.addon.bake import baked_file, map_sequence  # noqa: E402
from furrow.addon.bake.take import Take, scene_take  # noqa: E402
from furrow.addon.detail import displacement  # noqa: E402
from furrow.addon.head import head_object  # noqa: E402
from furrow.backend.errors import FurrowError  # noqa: E402
from furrow.backend.formats.expressions import INDEX  # noqa: E402
from furrow.backend.formats.identity import adjustments_of  # noqa: E402
from furrow.backend.formats.map_writing import write_maps  # noqa: E402
from furrow.backend.formats.maps import read_map  # noqa: E402
from furrow.backend.formats.weights import Weights, read_weights  # noqa: E402


class Backend:
    """Answers like the client of the process; a map is the sum of its expression everywhere."""

    def __init__(self, dies_at: tuple[int, ...] = ()) -> None:
        self.asked: list[int] = []
        self.dies_at = list(dies_at)
        self.model = "aa"

    def call(self, method, params, **_limits):
        assert method == "status"
        return {"models": {"generator.onnx": self.model}}

    def request(self, method, params):
        assert method == "write_maps"
        if len(self.asked) in self.dies_at:
            self.dies_at.remove(len(self.asked))
            return Answer(FurrowError("The backend died.", "backend_died"))
        self.asked.append(len(params["paths"]))
        side = params["resolution"]
        maps = (np.full((side, side), sum(row), np.float32) for row in params["expressions"])
        try:
            return Answer(hashes=list(write_maps(zip(params["paths"], maps, strict=True), 1)))
        except FurrowError as error:
            return Answer(error)


class Answer:
    progress = (0.5, "")

    def __init__(self, error=None, hashes=()):
        self.error, self.hashes = error, hashes

    def wait(self, _seconds=None):
        return True

    def result(self):
        if self.error is not None:
            raise self.error
        return {"sha256": self.hashes}

    def cancel(self):
        pass


@pytest.fixture
def take():
    rows = np.zeros((8, 52), np.float32)
    rows[:, INDEX["jawOpen"]] = np.linspace(0, 1, 8)
    person = head_object.head().average()
    return Take(person, Weights(rows, 30.0), 1, 256, {"kind": "weights", "name": "jaw.csv"})


def test_maps_weights_and_record_of_a_whole_take(take, tmp_path):
    map_sequence.bake(take, tmp_path, Backend())
    names = sorted(path.name for path in (tmp_path / "detail").iterdir())
    assert names == [f"{frame:04d}.exr" for frame in range(1, 9)]
    assert read_map(tmp_path / "detail/0008.exr")[3, 3] == pytest.approx(1.0)
    np.testing.assert_allclose(
        read_weights(tmp_path / "weights.csv").values, take.weights.values, atol=1e-5
    )
    record = json.loads((tmp_path / "bake.json").read_text())
    assert record["models"] == {"generator.onnx": "aa"}
    assert list(record["frames"]) == [str(frame) for frame in range(1, 9)]


def test_a_second_bake_makes_only_what_is_missing_damaged_or_edited(take, tmp_path):
    map_sequence.bake(take, tmp_path, Backend())
    assert map_sequence.bake(take, tmp_path, Backend()) == []
    (tmp_path / "detail/0002.exr").unlink()
    damaged = tmp_path / "detail/0005.exr"
    damaged.write_bytes(damaged.read_bytes()[:100])
    rows = take.weights.values.copy()
    rows[6, INDEX["browInnerUp"]] = 0.5
    edited = replace(take, weights=Weights(rows, 30.0))
    assert map_sequence.bake(edited, tmp_path, Backend()) == [2, 5, 7]


def test_other_models_or_another_person_make_every_frame_anew(take, tmp_path):
    map_sequence.bake(take, tmp_path, Backend())
    newer = Backend()
    newer.model = "bb"
    assert len(map_sequence.bake(take, tmp_path, newer)) == 8
    other = replace(take, identity=head_object.head().random(3))
    assert len(map_sequence.bake(other, tmp_path, newer)) == 8
    adjusted = replace(other.identity, adjustments=adjustments_of({"furrow_depth": 0.5}))
    assert len(map_sequence.bake(replace(other, identity=adjusted), tmp_path, newer)) == 8


def test_relief_of_another_head_reaches_every_map_and_the_joined_take(take, scene, tmp_path):
    obj = head_object.create_head(take.identity, "Head")
    other = head_object.create_head(head_object.head().random(3), "Other")
    map_sequence.bake(take, tmp_path, Backend())
    obj.furrow.relief_from = other
    scene.frame_start, scene.frame_end = 1, 8
    mixed = replace(take, relief=scene_take(obj, scene, 256).relief)
    assert mixed.parameters([1])["relief"] == head_object.identity_of(other).request()
    assert len(map_sequence.bake(mixed, tmp_path, Backend())) == 8
    for part in ((1, 4), (5, 8)):
        map_sequence.bake(mixed, tmp_path / "ranges", Backend(), part)
    np.testing.assert_array_equal(
        map_sequence.join(tmp_path / "ranges").relief.vector, mixed.relief.vector
    )


def test_adjustments_reach_every_map_and_the_joined_take(take, tmp_path):
    person = replace(take.identity, adjustments=adjustments_of({"asymmetry": -0.5}))
    take = replace(take, identity=person)
    assert take.parameters([3])["identity"]["detail"] == {"asymmetry": -0.5}
    for part in ((1, 4), (5, 8)):
        map_sequence.bake(take, tmp_path, Backend(), part)
    joined = map_sequence.join(tmp_path)
    np.testing.assert_array_equal(joined.identity.adjustments, person.adjustments)
    assert joined.relief is None and joined.record() == take.record()
    obj = baked_file.new_scene(joined)
    assert obj.furrow.asymmetry == -0.5


def test_a_bake_goes_on_when_the_backend_dies_and_gives_up_when_it_keeps_dying(
    take, tmp_path, monkeypatch
):
    monkeypatch.setattr(map_sequence, "_FRAMES_A_REQUEST", 2)
    backend = Backend(dies_at=(1, 1))
    assert map_sequence.bake(take, tmp_path, backend) == list(range(1, 9))
    assert read_map(tmp_path / "detail/0003.exr")[0, 0] == pytest.approx(2 / 7, abs=1e-3)
    with pytest.raises(FurrowError, match="died"):
        map_sequence.bake(replace(take, resolution=512), tmp_path, Backend(dies_at=(1,) * 9))
    # What was done before is kept.
    assert len(map_sequence.bake(replace(take, resolution=512), tmp_path, Backend())) == 6


def test_cancelling_keeps_the_frames_that_are_done(take, tmp_path, monkeypatch):
    monkeypatch.setattr(map_sequence, "_FRAMES_A_REQUEST", 2)
    backend = Backend()

    class Slow(Answer):
        def wait(self, _seconds=None):
            return len(backend.asked) < 3

    request = backend.request
    answers = lambda *arguments: Slow(hashes=request(*arguments).hashes)  # noqa: E731
    monkeypatch.setattr(backend, "request", answers)
    shown = []
    with pytest.raises(FurrowError, match="Cancelled"):
        map_sequence.bake(
            take,
            tmp_path,
            backend,
            progress=lambda fraction, text: shown.append((fraction, text)),
            cancelled=lambda: len(backend.asked) == 3,
        )
    record = json.loads((tmp_path / "bake.json").read_text())
    assert list(record["frames"]) == ["1", "2"]
    assert shown == [(0.25, "Map 2 of 8")]


def held(take, values):
    """The take with these weights of jawOpen, frame by frame."""
    rows = np.zeros((len(values), 52), np.float32)
    rows[:, INDEX["jawOpen"]] = values
    return replace(take, weights=Weights(rows, 30.0))


def values_of(folder, count):
    return [float(read_map(folder / f"detail/{n:04d}.exr")[0, 0]) for n in range(1, count + 1)]


def test_frames_of_the_same_map_are_made_once_and_linked(take, tmp_path):
    values = [0, 0.5, 0.5, 0, 0.5 + 1e-7, 1, 1, 0]
    backend = Backend()
    assert map_sequence.bake(held(take, values), tmp_path, backend) == [1, 2, 6]
    assert sum(backend.asked) == 3
    assert values_of(tmp_path, 8) == [0, 0.5, 0.5, 0, 0.5, 1, 1, 0]
    files = [(tmp_path / f"detail/{n:04d}.exr").stat() for n in range(1, 9)]
    assert len({file.st_ino for file in files}) == 3 and files[1].st_nlink == 3
    frames = json.loads((tmp_path / "bake.json").read_text())["frames"]
    assert [frames[str(n)].get("same_as") for n in range(1, 9)] == [None, None, 2, 1, 2, None, 6, 1]
    # A frame that is made anew takes nothing from those that its file was linked to.
    values[1] = 0.25
    assert map_sequence.bake(held(take, values), tmp_path, Backend()) == [2]
    assert values_of(tmp_path, 8) == [0, 0.25, 0.5, 0, 0.5, 1, 1, 0]
    assert not list((tmp_path / "detail").glob(".partial*"))


def test_frames_that_only_moved_are_not_made_again(take, tmp_path):
    map_sequence.bake(held(take, [0, 0.25, 0.5, 0.75]), tmp_path, Backend())
    assert map_sequence.bake(held(take, [0.25, 0, 0.75, 0.5]), tmp_path, Backend()) == []
    assert values_of(tmp_path, 4) == [0.25, 0, 0.75, 0.5]
    assert map_sequence.bake(held(take, [1, 0.25, 0, 0.75]), tmp_path, Backend()) == [1]
    assert values_of(tmp_path, 4) == [1, 0.25, 0, 0.75]


def test_ranges_link_to_one_another_and_where_links_fail_files_are_copied(
    take, tmp_path, monkeypatch
):
    def fails(*_names):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", fails)
    still = held(take, [0.5] * 6)
    assert map_sequence.bake(still, tmp_path, Backend(), (1, 3)) == [1]
    assert map_sequence.bake(still, tmp_path, Backend(), (4, 6)) == []
    assert all((tmp_path / f"detail/{n:04d}.exr").stat().st_nlink == 1 for n in range(1, 7))
    assert map_sequence.join(tmp_path).last == 6
    assert values_of(tmp_path, 6) == [0.5] * 6


def test_ranges_share_no_file_but_maps_and_are_joined(take, tmp_path):
    map_sequence.bake(take, tmp_path, Backend(), (1, 5))
    with pytest.raises(FurrowError, match=r"Frames 6-8 .* are missing"):
        map_sequence.join(tmp_path)
    map_sequence.bake(take, tmp_path, Backend(), (6, 8))
    assert {path.name for path in tmp_path.glob("*.*")} == {
        "bake_0001-0005.json",
        "weights_0001-0005.csv",
        "bake_0006-0008.json",
        "weights_0006-0008.csv",
    }
    joined = map_sequence.join(tmp_path)
    np.testing.assert_allclose(joined.weights.values, take.weights.values, atol=1e-5)
    assert (joined.first, joined.last, joined.resolution) == (1, 8, 256)
    assert len(json.loads((tmp_path / "bake.json").read_text())["frames"]) == 8


def test_the_head_turns_in_what_ranges_are_joined_to(take, tmp_path):
    turns = np.zeros((8, 3), np.float32)
    turns[5:, 0] = 0.05
    turning = replace(take, weights=replace(take.weights, head=turns))
    for part in ((1, 4), (5, 8)):
        map_sequence.bake(turning, tmp_path, Backend(), part)
    joined = map_sequence.join(tmp_path)
    np.testing.assert_allclose(joined.weights.head, turns, atol=1e-5)
    obj = baked_file.new_scene(joined)
    angles = []
    for frame in (2, 7):
        bpy.context.scene.frame_set(frame)
        angles.append(obj.rotation_euler.z)
    np.testing.assert_allclose(angles, [0, 0.05], atol=1e-5)  # to the character's left


def test_ranges_of_different_bakes_are_not_joined(take, tmp_path):
    map_sequence.bake(take, tmp_path, Backend(), (1, 5))
    other = replace(take, identity=head_object.head().random(3))
    map_sequence.bake(other, tmp_path, Backend(), (6, 8))
    with pytest.raises(FurrowError, match="different bakes"):
        map_sequence.join(tmp_path)


def test_a_range_outside_of_the_motion_is_refused(take, tmp_path):
    with pytest.raises(FurrowError, match=r"Frames 6-9 .* has 1-8"):
        map_sequence.bake(take, tmp_path, Backend(), (6, 9))


def test_a_folder_that_cannot_be_written_is_one_clear_line_before_any_work(take, tmp_path):
    (tmp_path / "file").write_text("in the way")
    backend = Backend()
    with pytest.raises(FurrowError, match="cannot be written"):
        map_sequence.bake(take, tmp_path / "file", backend)
    assert backend.asked == []


def displaced(frame: int) -> np.ndarray:
    """Vertices of the head as the scene shows them at a frame."""
    scene = bpy.context.scene
    scene.frame_set(frame)
    obj = next(o for o in scene.objects if o.type == "MESH")
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    points = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", points)
    return points.reshape(-1, 3)


def test_the_file_plays_elsewhere_without_furrow(take, tmp_path, scene):
    folder = tmp_path / "baked"
    rows = take.weights.values.copy()
    rows[:, INDEX["eyeBlinkLeft"]] = [0, 0, 0, 1, 1, 0, 0, 0]
    take = replace(take, weights=Weights(rows, 25.0))
    map_sequence.bake(take, folder, Backend())
    obj = baked_file.new_scene(take)
    obj.furrow.detail_viewport_levels = 1
    baked_file.play_baked({obj.name: folder}, take.first, len(rows))
    baked_file.save(folder)
    assert [path.name for path in folder.glob("*.blend*")] == ["head.blend"]
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    furrow.unregister()
    try:
        bpy.ops.wm.open_mainfile(filepath=str(moved / "head.blend"))
        scene = bpy.context.scene
        assert (scene.render.fps, scene.frame_start, scene.frame_end) == (25, 1, 8)
        assert not bpy.data.libraries and scene.camera is not None
        with_detail = {frame: displaced(frame) for frame in (4, 6)}
        obj = next(o for o in scene.objects if o.type == "MESH")
        assert all(slot.material is not None for slot in obj.material_slots)
        obj.modifiers[displacement.DISPLACEMENT].show_viewport = False
        for frame, points in with_detail.items():
            depth = np.linalg.norm(points - displaced(frame), axis=1).max()
            assert depth == pytest.approx(rows[frame - 1].sum() / 1000, abs=2e-6)
        keys = obj.data.shape_keys.key_blocks
        assert keys["eyeBlinkLeft"].value == 0 and keys["jawOpen"].value == pytest.approx(5 / 7)
    finally:
        furrow.register()


def test_a_take_holds_the_artists_edits_on_the_scenes_frames(take, scene):
    obj = baked_file.new_scene(take)
    scene = bpy.context.scene  # another than before
    scene.frame_start, scene.frame_end = 3, 6
    key = obj.data.shape_keys.key_blocks["browInnerUp"]
    key.value = 0.75
    key.keyframe_insert("value", frame=5)
    edited = scene_take(obj, scene, 256)
    assert (edited.first, edited.last) == (3, 6)
    assert edited.weights.values[2, INDEX["browInnerUp"]] == pytest.approx(0.75)
    np.testing.assert_allclose(
        edited.weights.values[:, INDEX["jawOpen"]], np.linspace(0, 1, 8)[2:6], atol=1e-6
    )
