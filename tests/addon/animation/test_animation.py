"""Weights become curves that play back on any face, in whichever Blender runs the tests."""

from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from furrow.addon.animation import expression_keys, timeline  # noqa: E402
from furrow.addon.animation import motion as faces  # noqa: E402
from furrow.backend.errors import FurrowError  # noqa: E402
from furrow.backend.formats.expressions import EXPRESSIONS, INDEX  # noqa: E402
from furrow.backend.formats.weights import Weights  # noqa: E402


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
    timeline.set_frame_rate(scene, 30)
    weights = motion(12, 30)
    expression_keys.write(head, weights, scene, start_frame=5)
    np.testing.assert_allclose(
        expression_keys.sample(head, scene, range(5, 17)), weights.values, atol=1e-6
    )


def test_seconds_become_frames_of_the_scene_base_included(head, scene):
    timeline.set_frame_rate(scene, 30000 / 1001)
    assert scene.render.fps_base == pytest.approx(1.001)
    weights = motion(60, 60.0)
    expression_keys.write(head, weights, scene, start_frame=1)
    seconds = 59 / 60
    last = 1 + seconds * 30000 / 1001
    action = head.data.shape_keys.animation_data.action
    assert tuple(action.frame_range) == pytest.approx((1, last), abs=1e-3)
    np.testing.assert_allclose(
        expression_keys.sample(head, scene, [last])[0], weights.values[-1], atol=1e-4
    )


@pytest.mark.parametrize("fps", [12, 23.976, 24, 25, 29.97, 30, 59.94, 12.5])
def test_every_rate_reaches_the_scene(scene, fps):
    timeline.set_frame_rate(scene, fps)
    assert timeline.frame_rate(scene) == pytest.approx(fps, rel=2e-5)


def test_a_rate_that_is_no_number_is_refused(scene):
    with pytest.raises(FurrowError, match="frame rate"):
        timeline.set_frame_rate(scene, float("nan"))


def test_sampling_sees_edits_drivers_mutes_and_leaves_the_scene_as_it_was(head, scene):
    expression_keys.write(head, motion(6, 24), scene)
    blocks = head.data.shape_keys.key_blocks
    blocks["jawOpen"].driver_add("value").driver.expression = "0.25"
    blocks["cheekPuff"].mute = True
    scene.frame_set(3)
    before = scene.frame_current
    sampled = expression_keys.sample(head, scene, [2, 4])
    assert sampled[:, INDEX["jawOpen"]] == pytest.approx([0.25, 0.25])
    assert sampled[:, INDEX["cheekPuff"]] == pytest.approx([0, 0])
    assert scene.frame_current == before


def test_a_second_import_keeps_the_first_action_and_the_artists_own_curves(head, scene):
    head.shape_key_add(name="My Scar")
    first = expression_keys.write(head, motion(6, 24), scene, name="Take 1")
    own = head.data.shape_keys.key_blocks["My Scar"]
    own.value = 0.5
    own.keyframe_insert("value", frame=1)
    own.value = 0.75
    own.keyframe_insert("value", frame=6)
    second = motion(6, 24)
    expression_keys.write(head, second, scene, name="Take 2")
    np.testing.assert_allclose(
        expression_keys.sample(head, scene, range(1, 7)), second.values, atol=1e-6
    )
    scene.frame_set(6)
    assert own.value == pytest.approx(0.75)
    assert first.use_fake_user and first.name == "Take 1"


def face(scene, names, name="Face"):
    """A mesh with these shape keys."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    obj = bpy.data.objects.new(name, mesh)
    scene.collection.objects.link(obj)
    for key in ("Basis", *names):
        obj.shape_key_add(name=key).value = 0.0
    return obj


def test_a_mesh_that_spells_its_keys_otherwise_plays_and_is_read(scene):
    obj = face(scene, ["BS.JawOpen", "BS.eyeBlink_L", 'say "m"', "BS.MouthPucker"])
    weights = motion(6, 24)
    expression_keys.write(obj, weights, scene)
    played = expression_keys.sample(obj, scene, range(1, 7))
    here = [INDEX[name] for name in ("jawOpen", "eyeBlinkLeft", "mouthPucker")]
    np.testing.assert_allclose(played[:, here], weights.values[:, here], atol=1e-6)
    assert not np.delete(played, here, axis=1).any()
    assert list(expression_keys.face_names(obj)) == ["eyeBlinkLeft", "jawOpen", "mouthPucker"]


def test_meshes_that_are_no_face_are_told_apart(scene):
    with pytest.raises(FurrowError, match=r'"Lamp" has no shape keys: select a Furrow head'):
        expression_keys.write(bpy.data.objects.new("Lamp", None), motion(2, 24), scene)
    with pytest.raises(FurrowError, match=r'No shape key of "Face" has an ARKit name.*rename'):
        expression_keys.write(face(scene, ["open", "shut"]), motion(2, 24), scene)


def test_the_same_file_at_the_same_place_replaces_itself(head, scene):
    first = expression_keys.write(head, motion(6, 24), scene, 5, "Take", source="/a/take.wav")
    weights = Weights(1 - motion(9, 24).values, 24)
    again = expression_keys.write(head, weights, scene, 5, "Take", source="/a/take.wav")
    assert again == first and len(bpy.data.actions) == 1
    np.testing.assert_allclose(
        expression_keys.sample(head, scene, range(5, 14)), weights.values, atol=1e-6
    )
    other = expression_keys.write(head, weights, scene, 50, "Take", source="/a/take.wav")
    assert other != first and first.use_fake_user
    other = expression_keys.write(head, weights, scene, 50, "Take", source="/b/take.wav")
    assert len(bpy.data.actions) == 3


def test_a_locked_curve_and_a_shared_action_are_left_as_they_are(head, scene):
    def write(obj, weights):
        return expression_keys.write(obj, weights, scene, name="Take", source="/a/take.wav")

    first = write(head, motion(6, 24))
    keys = head.data.shape_keys
    curve = keys.animation_data.action.layers[0].strips[0].channelbags[0].fcurves[17]
    curve.lock = True
    second = write(head, Weights(1 - motion(6, 24).values, 24))
    assert second != first and first.use_fake_user
    assert curve.evaluate(3) == pytest.approx(motion(6, 24).values[2, 17])
    head.copy().data = (mesh := head.data.copy())
    assert mesh.shape_keys.animation_data.action == second
    assert write(head, motion(6, 24)) != second
    assert mesh.shape_keys.animation_data.action == second


def test_fewer_keys_play_within_the_bound(head, scene):
    values = np.repeat(0.5 + 0.5 * np.sin(np.arange(200) / 15)[:, None], 52, axis=1)
    values[:, 17] = 0.25
    weights = Weights(values.astype(np.float32), 24)
    action = expression_keys.write(head, weights, scene, bound=0.005)
    played = expression_keys.sample(head, scene, range(1, 201))
    assert np.abs(played - weights.values).max() <= 0.005 + 1e-5
    counts = [len(c.keyframe_points) for c in action.layers[0].strips[0].channelbags[0].fcurves]
    assert counts[17] == 1 and max(counts) < 60


def strips(obj):
    tracks = obj.data.shape_keys.animation_data.nla_tracks
    return [[(s.name, s.frame_start, s.frame_end) for s in track.strips] for track in tracks]


def test_several_clips_share_a_timeline_as_strips(head, scene):
    clips = {5: motion(10, 24), 40: Weights(1 - motion(10, 24).values, 24)}
    for start, weights in clips.items():
        expression_keys.write(
            head, weights, scene, start, f"At {start}", source=f"/{start}.wav", as_strip=True
        )
    assert strips(head) == [[("At 5", 5, 14), ("At 40", 40, 49)]]
    over = Weights(np.full((20, 52), 0.5, np.float32), 24)
    expression_keys.write(head, over, scene, 44, "Over", source="/over.wav", as_strip=True)
    assert strips(head)[1] == [("Over", 44, 63)]
    played = expression_keys.sample(head, scene, [1, 7, 14, 30, 41, 43, 44, 63, 64, 900])
    first, second = clips[5].values, clips[40].values
    expected = [first[0], first[2], first[9], first[9], second[1], second[3], *over.values[:2],
                second[9], second[9]]  # fmt: skip
    np.testing.assert_allclose(played, expected, atol=1e-5)


def test_a_strip_imported_again_replaces_itself_at_any_length(head, scene):
    for frames in (10, 10, 25):
        weights = Weights(motion(frames, 24).values * 0.5, 24)
        action = expression_keys.write(
            head, weights, scene, 5, "Take", source="/a.wav", as_strip=True
        )
    assert strips(head) == [[("Take", 5, 29)]]
    assert len(bpy.data.actions) == 1 and bpy.data.actions[0] == action
    np.testing.assert_allclose(
        expression_keys.sample(head, scene, [29])[0], weights.values[24], atol=1e-5
    )


def test_an_action_that_plays_becomes_a_strip_below(head, scene):
    artist = expression_keys.write(head, motion(6, 24), scene, name="By hand")
    weights = Weights(1 - motion(6, 24).values, 24)
    expression_keys.write(head, weights, scene, 3, "Take", source="/a.wav", as_strip=True)
    data = head.data.shape_keys.animation_data
    assert data.action is None
    assert [[s.action.name for s in t.strips] for t in data.nla_tracks] == [["By hand"], ["Take"]]
    played = expression_keys.sample(head, scene, [1, 2, 3, 8, 9])
    keys = motion(6, 24).values
    expected = [keys[0], keys[1], weights.values[0], weights.values[5], keys[5]]
    np.testing.assert_allclose(played, expected, atol=1e-5)
    assert artist.name == "By hand"


def test_locked_tracks_are_passed_by_or_named(head, scene):
    def write(start, source):
        return expression_keys.write(
            head, motion(6, 24), scene, start, source, source=source, as_strip=True
        )

    write(1, "a.wav")
    track = head.data.shape_keys.animation_data.nla_tracks[0]
    track.lock = True
    write(50, "b.wav")
    assert [len(t) for t in strips(head)] == [1, 1]
    with pytest.raises(FurrowError, match=r'"a\.wav" lies on the NLA track "Furrow".*unlock'):
        write(1, "a.wav")


def test_an_artists_tracks_stay(head, scene):
    first = expression_keys.write(head, motion(6, 24), scene)
    data = head.data.shape_keys.animation_data
    data.nla_tracks.new().strips.new("Earlier", 1, first)
    expression_keys.write(head, motion(6, 24), scene)
    assert [track.strips[0].name for track in data.nla_tracks] == ["Earlier"]


def test_tweak_mode_is_told_apart(head, scene):
    expression_keys.write(head, motion(6, 24), scene, source="/a.wav", as_strip=True)
    data = head.data.shape_keys.animation_data
    data.nla_tracks[0].select = data.nla_tracks[0].strips[0].select = True
    data.nla_tracks.active = data.nla_tracks[0]
    data.use_tweak_mode = True
    if not data.use_tweak_mode:
        pytest.skip("this Blender enters tweak mode from its editor only")
    with pytest.raises(FurrowError, match="tweak mode"):
        expression_keys.write(head, motion(6, 24), scene)


@pytest.fixture
def library(tmp_path, scene):
    """A file with a collection Character that holds a face."""
    obj = face(scene, ["JawOpen", "EyeBlink_L"])
    collection = bpy.data.collections.new("Character")
    scene.collection.children.link(collection)
    collection.objects.link(obj)
    scene.collection.objects.unlink(obj)
    path = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(path, link=True) as (_there, here):
        here.collections = ["Character"]
    bpy.context.scene.collection.children.link(here.collections[0])
    return here.collections[0]


def test_a_linked_face_says_what_to_do_and_can_be_read(library, scene, tmp_path):
    (obj,), scene = library.objects, bpy.context.scene
    for turns in ("NONE", "OBJECT"):
        placement = faces.Placement(turns=turns)
        with pytest.raises(FurrowError, match=r"linked from another file.*Library Override"):
            faces.apply([obj], scene, tmp_path / "take.csv", motion(6, 24), placement)
    scene.frame_end = 3
    read = faces.read(obj, scene, faces.Placement(turns="OBJECT"))
    assert read.values.shape == (3, 52) and read.head is None


@pytest.mark.parametrize("as_strip", [False, True])
def test_an_overridden_face_plays_also_after_saving(library, tmp_path, as_strip):
    scene = bpy.context.scene
    library.override_hierarchy_create(scene, bpy.context.view_layer)
    (obj,) = (o for o in bpy.data.objects if o.library is None and o.type == "MESH")
    weights = motion(6, 24)
    expression_keys.write(obj, weights, scene, source="/a.wav", as_strip=as_strip)
    path = str(tmp_path / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    (obj,) = (o for o in bpy.data.objects if o.library is None and o.type == "MESH")
    assert obj.override_library is not None
    played = expression_keys.sample(obj, bpy.context.scene, range(1, 7))
    np.testing.assert_allclose(
        played[:, INDEX["jawOpen"]], weights.values[:, INDEX["jawOpen"]], atol=1e-5
    )
