"""The head model that ships: geometry an animator would trip over if it broke."""

from dataclasses import replace

import numpy as np
import pytest
from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import EXPRESSIONS, INDEX, vector
from furrow.backend.formats.files import ASSETS
from furrow.backend.formats.identity import SKIN, Identity, check, write_identity
from furrow.backend.head.bilinear import Head
from furrow.backend.head.contact import depth_in_eye


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load()


@pytest.fixture(scope="module")
def people(head: Head):
    return [head.random(seed) for seed in range(25)]


def test_random_people_are_valid_and_differ(head, people):
    shapes = np.stack([check(person, head.shape_count).shape for person in people])
    assert shapes.std(0).min() > 0.2
    again = head.random(7)
    assert np.array_equal(again.shape, people[7].shape)


def test_age_moves_shape_and_skin_together(head):
    many = [head.random(seed) for seed in range(300)]
    age = np.array([person.skin[0] for person in many])
    direction = next(d for d in head.directions if d.name == "Age")
    along = np.stack([person.shape for person in many]) @ direction.vector[: head.shape_count]
    assert np.corrcoef(age, along)[0, 1] > 0.4
    assert direction.vector[head.shape_count] > 0.1


def test_cached_vertices_equal_rest_plus_offsets(head, people):
    expression = vector({"jawOpen": 0.4, "mouthSmileLeft": 0.7, "browInnerUp": 1.0})
    for person in people[:2]:  # the second must not see the first one's cache
        offsets = head.blendshapes(person.shape)
        expected = head.neutral(person.shape) + np.tensordot(expression, offsets, 1)
        assert np.abs(head.vertices(person.shape, expression) - expected).max() < 1e-6


def test_expressions_depend_on_identity(head, people):
    """Bilinear: jaws of two people open along different paths, by more than a millimetre."""
    one, other = (head.blendshapes(p.shape)[INDEX["jawOpen"]] for p in people[:2])
    assert np.linalg.norm(one - other, axis=1).max() > 0.001


def test_lids_close_and_stay_outside_the_eye(head, people):
    blink = vector({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0})
    for person in people:
        shut = head.vertices(person.shape, blink)
        for lids in head.contacts.lids:
            moved = np.abs(lids.closing(shut) - shut)[:, 2].max()
            assert moved < 0.0006  # closing what is closed moves next to nothing
            assert depth_in_eye(shut[lids.near], lids.eye(shut))[0].max() < 0.0003


def test_lips_meet_over_the_open_jaw(head, people):
    closed = vector({"jawOpen": 1.0, "mouthClose": 1.0})
    for person in people:
        shut = head.vertices(person.shape, closed)
        assert np.abs(head.contacts.lips(shut) - shut).max() < 0.0003


def test_eyes_turn_as_spheres_turn(head):
    shape = head.average().shape
    for name, axis, sign in (
        ("eyeLookUpLeft", 2, 1),
        ("eyeLookOutLeft", 0, 1),
        ("eyeLookInLeft", 0, -1),
    ):
        lids = head.contacts.lids[0]
        ball = head.vertices(shape, vector({name: 1.0}))[lids.ball]
        rest = head.neutral(shape)
        eye = lids.eye(rest)
        before = np.linalg.norm(rest[lids.ball] - eye.centre, axis=1)
        assert np.abs(np.linalg.norm(ball - eye.centre, axis=1) - before).max() < 2e-4
        pupil = ball[0] - eye.centre
        assert sign * pupil[axis] > 0.3 * eye.radius
    right = head.contacts.lids[1].ball
    offsets = head.blendshapes(shape)[INDEX["eyeLookUpLeft"]]
    assert np.abs(offsets[right]).max() < 1e-5


def test_jaw_takes_lower_teeth_and_tongue_along(head):
    offsets = head.blendshapes(head.average().shape)[INDEX["jawOpen"]]
    tongue = np.unique(head.faces[head.face_material == head.materials.index("tongue")])
    assert offsets[tongue[tongue >= 0], 2].min() < -0.01


def test_brow_raise_compresses_the_whole_forehead(head):
    """The folds of the forehead come from this strain."""
    rest = head.neutral(head.average().shape)
    raised = rest + head.blendshapes(head.average().shape)[INDEX["browInnerUp"]]
    low, high = head.landmarks["forehead"], head.landmarks["hairline"]
    before = rest[high, 2] - rest[low, 2]
    assert (raised[high, 2] - raised[low, 2]) < 0.93 * before


def test_left_and_right_mirror_on_the_average(head):
    offsets = head.blendshapes(head.average().shape)
    skin = slice(0, head.skin_count)
    for name in EXPRESSIONS:
        if name.endswith("Left") and name not in ("jawLeft", "mouthLeft"):
            left = np.linalg.norm(offsets[INDEX[name], skin], axis=1).max()
            right = np.linalg.norm(offsets[INDEX[name[:-4] + "Right"], skin], axis=1).max()
            assert left == pytest.approx(right, rel=0.2), name


def test_skin_is_one_closed_bust(head):
    """Only the bust's edge is open: the skin with the cavities has one boundary loop."""
    own = head.faces[(head.faces < head.skin_count).all(1)]
    edges = np.concatenate([own[:, [0, 1]], own[:, [1, 2]]])
    quads, thirds = own[own[:, 3] >= 0], own[own[:, 3] < 0]
    edges = np.concatenate([edges, quads[:, [2, 3]], quads[:, [3, 0]], thirds[:, [2, 0]]])
    _, count = np.unique(np.sort(edges, 1), axis=0, return_counts=True)
    assert set(count) == {1, 2}
    rest = head.neutral(head.average().shape)
    ends = np.unique(np.sort(edges, 1), axis=0)[count == 1]
    assert rest[ends, 2].max() < 0.05
    assert np.abs(rest[np.unique(ends)].mean(0)).max() < 0.002  # the origin


def test_front_of_the_face_fills_half_of_the_tile(head):
    rest = head.neutral(head.average().shape)
    skin = head.face_material == head.materials.index("skin")
    faces, uv = head.faces[skin], head.uv[skin].astype(float)
    area = _area(uv[:, [0, 1, 2]]) + np.where(faces[:, 3] >= 0, _area(uv[:, [0, 2, 3]]), 0)
    assert uv[faces >= 0].min() >= 0
    assert uv[faces >= 0].max() <= 1
    front = rest[faces[:, 0], 1] < -0.04
    front &= rest[faces[:, 0], 2] > 0.07
    assert area[front].sum() > 0.5
    assert (_area(uv[:, [0, 1, 2]]) <= 0).sum() <= 2  # two concave quads of the skull


def _area(corner: np.ndarray) -> np.ndarray:
    one, two = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    return 0.5 * (one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])


def test_groups_and_materials_cover_the_contract(head):
    names = "skin brows lashes eye cornea teeth gums tongue"
    assert head.materials == tuple(names.split())
    assert set(head.face_material) == set(range(8))
    groups = "skin eye_left eye_right lips nose cheeks eyelids forehead chin ears neck scalp brow"
    assert set(groups.split()) <= set(head.groups)
    for weights in head.groups.values():
        assert weights.shape == (head.vertex_count,)
        assert 0 <= weights.min() <= weights.max() <= 1
    assert head.groups["skin"][head.skin_count :].max() == 0


def test_directions_are_many_moderate_and_do_something(head):
    assert len(head.directions) >= 20
    rest = head.neutral(head.average().shape)
    for direction in head.directions:
        assert direction.vector.shape == (head.shape_count + len(SKIN),)
        shape = direction.vector[: head.shape_count]
        assert np.abs(2 * shape).max() < 4, direction.name
        moved = np.linalg.norm(head.neutral(shape) - rest, axis=1).max()
        assert 0.0008 < moved < 0.03, direction.name


@pytest.mark.parametrize(("name", "age"), [("young", 0.17), ("old", 0.75)])
def test_demo_identities_fit_the_head(head, name, age):
    identity = head.read_identity(ASSETS / "identities" / f"{name}.json")
    assert identity.skin[0] == pytest.approx(age, abs=0.02)


def test_wrong_sizes_and_files_are_refused(head, tmp_path):
    with pytest.raises(FurrowError, match="64 shape coefficients"):
        head.neutral(np.zeros(3))
    with pytest.raises(FurrowError, match="52 weights"):
        head.vertices(np.zeros(head.shape_count), np.zeros(51))
    with pytest.raises(FurrowError, match="no head model"):
        Head.load(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK nonsense")
    with pytest.raises(FurrowError, match="head model"):
        Head.load(tmp_path / "bad.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(FurrowError, match="head model"):
        Head.load(tmp_path / "other.npz")


def test_half_a_blink_goes_around_the_eye(head, people):
    half = vector({"eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5})
    for person in people:
        points = head.vertices(person.shape, half).astype(np.float64)
        for lids in head.contacts.lids:
            depth = depth_in_eye(points[lids.near], lids.eye(points))[0]
            assert 1000 * depth.max() < 0.3, person.name
    # At both ends nothing is added: shut lids stay shut.
    rest, offsets, correctives = head.rig(people[0].shape)
    shut = head.vertices(people[0].shape, 2 * half)
    expected = rest + offsets[INDEX["eyeBlinkLeft"]] + offsets[INDEX["eyeBlinkRight"]]
    np.testing.assert_allclose(shut, expected, atol=1e-6)
    assert [one.expression for one in correctives] == ["eyeBlinkLeft", "eyeBlinkRight"]


def test_an_identity_of_an_earlier_head_is_converted_and_of_a_later_one_refused(tmp_path):
    with np.load(ASSETS / "head.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    matrix = np.diag(np.full(64, 0.5, np.float32))
    newer = Head(arrays | {"generation": np.array(3), "from_2": matrix})
    saved = Identity(np.full(64, 1.0, np.float32), name="Old", generation=2)
    write_identity(saved, tmp_path / "old.json")
    read = newer.read_identity(tmp_path / "old.json")
    assert read.generation == 3 and np.allclose(read.shape, 0.5)
    for generation in (1, 4):
        write_identity(replace(saved, generation=generation), tmp_path / "other.json")
        with pytest.raises(FurrowError, match="belongs to head"):
            newer.read_identity(tmp_path / "other.json")
