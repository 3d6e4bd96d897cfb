"""What a user of the skin corpus would miss if it were gone."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import EXPRESSIONS, FACESCAPE_PRESETS, INDEX, vector
from furrow.backend.formats.identity import SKIN, Identity
from furrow.backend.head.bilinear import Head
from furrow.training.corpus import furrow_shapes, lines, version
from furrow.training.corpus.chart import chart
from furrow.training.corpus.compose import Skin
from furrow.training.corpus.sampler import sample_expression, sample_identity

NEUTRAL = np.zeros(len(EXPRESSIONS), np.float32)
RAISE = vector(FACESCAPE_PRESETS["brow-raiser"])


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load()


def person(head: Head, detail_seed: int = 0, **coefficients: float) -> Identity:
    skin = np.full(len(SKIN), 0.5, np.float32)
    for name, value in coefficients.items():
        skin[SKIN.index(name)] = value
    return Identity(head.average().shape, skin, detail_seed)


def rms(skin: Skin, image: np.ndarray, group: str) -> float:
    own = skin.chart.groups[group] > 0.5
    return float(np.sqrt(np.mean(image.ravel()[skin.chart.texels][own] ** 2)))


def test_young_skin_folds_only_in_motion_and_old_skin_keeps_its_lines(head: Head) -> None:
    young, old = (Skin(head, person(head, age=age), 256) for age in (0.05, 0.95))
    at_rest = rms(young, young.map(NEUTRAL, relief=False), "forehead")
    assert at_rest < 0.03
    assert rms(young, young.map(RAISE, relief=False), "forehead") > 0.07
    assert rms(old, old.map(NEUTRAL, relief=False), "forehead") > 2 * at_rest


def test_only_the_depth_of_the_lines_follows_the_strength(head: Head) -> None:
    people = [person(head, forehead_spacing=x, glabella_layout=x) for x in (0.1, 0.9)]
    fixity, identity = lines.line_correlations(lines.line_changes(head, people, 256))
    assert fixity > 0.85
    assert identity < fixity - 0.3


def test_detail_seed_changes_the_relief_alone(head: Head) -> None:
    one, two = (Skin(head, person(head, seed), 256) for seed in (1, 2))
    np.testing.assert_array_equal(one.map(RAISE, relief=False), two.map(RAISE, relief=False))
    assert np.abs(one.relief() - two.relief()).max() > 0.005
    np.testing.assert_allclose(
        one.map(RAISE), one.map(RAISE, relief=False) + one.relief(), atol=1e-5
    )


def test_one_side_folds_alone(head: Head) -> None:
    skin = Skin(head, person(head), 256)
    change = skin.map(vector({"eyeSquintLeft": 1.0})) - skin.map(NEUTRAL)
    energy = change.ravel()[skin.chart.texels] ** 2
    left = skin.chart.face[:, 0] > 0
    assert energy[left].sum() > 50 * energy[~left].sum()


@pytest.mark.parametrize(
    ("expression", "folds", "rests"),
    [
        ("brow-raiser", "forehead", "chin"),
        ("smile", "cheeks", "forehead"),
        ("chin-raiser", "chin", "forehead"),
        ("lip-puckerer", "lips", "forehead"),
    ],
)
def test_folds_form_where_the_muscle_is(
    head: Head, expression: str, folds: str, rests: str
) -> None:
    skin = Skin(head, person(head), 256)
    change = skin.map(vector(FACESCAPE_PRESETS[expression])) - skin.map(NEUTRAL)
    assert rms(skin, change, folds) > 0.012
    assert rms(skin, change, rests) < 0.1 * rms(skin, change, folds)


def test_maps_are_smooth_in_identity_and_expression(head: Head) -> None:
    def furrows(step: float) -> np.ndarray:
        identity = person(head, forehead_spacing=0.5 + step, age=0.5 + step)
        return Skin(head, identity, 256).map(RAISE, relief=False)

    near, far = (np.abs(furrows(step) - furrows(0.0)).max() for step in (0.002, 0.02))
    assert near < 0.25 * far
    assert near < 0.05
    skin = Skin(head, person(head), 256)
    assert np.abs(skin.map(0.501 * RAISE) - skin.map(0.5 * RAISE)).max() < 0.01


def test_tissue_is_displaced_and_not_lost(head: Head) -> None:
    skin = Skin(head, person(head), 256)
    change = (skin.map(RAISE) - skin.map(NEUTRAL)).ravel()[skin.chart.texels]
    own = skin.chart.groups["forehead"] > 0.2
    assert abs(change[own].sum()) < 0.12 * np.abs(change[own]).sum()


def test_relief_does_not_fade_at_the_lids(head: Head) -> None:
    skin = Skin(head, person(head), 512)
    relief = np.abs(skin.relief().ravel()[skin.chart.texels])
    lids = skin.chart.marks["upper_lid"] * 0.5 + skin.chart.marks["lower_lid"] * 0.5
    eye = skin.chart.face - lids
    lid = (np.hypot(*eye.T) < 8) & (skin.chart.weight > 0.99)
    around = (np.hypot(*eye.T) < 20) & ~lid
    assert relief[lid].mean() > 0.6 * relief[around].mean()


def test_resolutions_agree(head: Head) -> None:
    coarse = Skin(head, person(head), 256).map(RAISE, relief=False)
    fine = Skin(head, person(head), 512).map(RAISE, relief=False)
    fine = fine.reshape(256, 2, 256, 2).mean((1, 3))
    assert np.corrcoef(coarse.ravel(), fine.ravel())[0, 1] > 0.93


def test_bad_input_is_one_clear_error(head: Head) -> None:
    skin = Skin(head, person(head), 64)
    for bad in (np.full(52, np.nan), np.zeros(51), np.full(52, 1.5), np.full(52, -0.1)):
        with pytest.raises(FurrowError):
            skin.map(bad)
    with pytest.raises(FurrowError, match="not numbers"):
        Skin(head, person(head, age=np.nan), 64)
    with pytest.raises(FurrowError, match="outside"):
        Skin(head, person(head, age=1.2), 64)
    with pytest.raises(FurrowError, match="another head model"):
        Skin(head, dataclasses.replace(person(head), shape=np.zeros(3, np.float32)), 64)
    with pytest.raises(FurrowError, match="resolution"):
        Skin(head, person(head), 8)


def test_a_mesh_without_uv_is_refused(head: Head) -> None:
    bare = copy.copy(head)
    bare.uv = None  # type: ignore[assignment]
    with pytest.raises(FurrowError, match="UV"):
        chart(bare, 64)
    broken = copy.copy(head)
    broken.uv = np.full_like(head.uv, np.nan)
    with pytest.raises(FurrowError, match="not numbers"):
        chart(broken, 64)


def test_maps_change_only_with_the_version_of_the_corpus(head: Head) -> None:
    reference = version.read_reference()
    how = "raise CORPUS_VERSION, then run: python -m furrow.training.corpus.version"
    assert {key: reference[key] for key in version.maker()} == version.maker(), how
    assert not version.changes(reference["maps"], version.measure(head)), how


def test_a_thousandth_of_one_kind_of_furrow_is_a_change(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version, "PEOPLE", 1)
    before = version.measure(head)
    crows_feet = furrow_shapes.CROWS_FEET
    deeper = dataclasses.replace(crows_feet, depth_mm=1.001 * crows_feet.depth_mm)
    monkeypatch.setattr(furrow_shapes, "CROWS_FEET", deeper)
    assert "person 0, anger" in version.changes(before, version.measure(head))


def test_people_and_expressions_are_reproducible_and_varied(head: Head) -> None:
    one, two = (np.random.default_rng(5) for _ in range(2))
    np.testing.assert_array_equal(
        sample_identity(head, one).vector, sample_identity(head, two).vector
    )
    np.testing.assert_array_equal(sample_expression(one), sample_expression(two))
    rng = np.random.default_rng(0)
    drawn = np.stack([sample_expression(rng) for _ in range(400)])
    assert drawn.min() >= 0 and drawn.max() <= 1
    assert (drawn.max(0) > 0.3).all(), "some expression is never drawn"
    assert 5 < (drawn.max(1) == 0).sum() < 80
    uneven = np.abs(drawn[:, INDEX["mouthSmileLeft"]] - drawn[:, INDEX["mouthSmileRight"]])
    assert (uneven > 0.1).any()
