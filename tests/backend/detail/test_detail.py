"""DetailModel: what it accepts, that pores follow the seed alone, and resampling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from furrow.backend.detail.detail_model import DetailModel, resample
from furrow.backend.detail.engines import engines
from furrow.backend.errors import FurrowError
from furrow.backend.formats.identity import Identity
from furrow.backend.system.interrupt import Interrupt

NEUTRAL = np.zeros(52, np.float32)


@pytest.fixture(scope="module")
def model(tiny_networks):
    return DetailModel(engines.load("ort", tiny_networks()))


@pytest.fixture
def person():
    return Identity(np.linspace(-1, 1, 6, dtype=np.float32), detail_seed=5)


def test_map_is_of_the_asked_size_and_repeats(model, person):
    for resolution in (256, 512, 1024):
        assert model.map(person, NEUTRAL, resolution).shape == (resolution, resolution)
    fresh = DetailModel(model.engine)
    assert np.array_equal(fresh.map(person, NEUTRAL, 256), model.map(person, NEUTRAL, 256))


def test_seed_decides_pores_and_nothing_else(model, person):
    one = model.map(person, NEUTRAL, 256)
    other = model.map(replace(person, detail_seed=6), NEUTRAL, 256)
    again = model.map(replace(person, detail_seed=5), NEUTRAL, 256)
    assert np.array_equal(one, again)
    difference = one - other  # the tiny generator adds noise / 100
    assert 0.012 < difference.std() < 0.016


def test_a_remembered_map_cannot_be_spoilt(model, person):
    map_mm = model.map(person, NEUTRAL, 256)
    with pytest.raises(ValueError, match="read-only"):
        map_mm[0, 0] = 9


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"shape": np.zeros(7, np.float32)}, "another head model"),
        ({"shape": np.full(6, np.nan, np.float32)}, "not numbers"),
        ({"skin": np.full(16, 1.5, np.float32)}, "outside"),
        ({"detail_seed": -1}, "detail seed"),
    ],
)
def test_bad_identity_is_refused(model, person, change, text):
    with pytest.raises(FurrowError, match=text):
        model.map(replace(person, **change), NEUTRAL, 256)


def test_bad_expression_is_refused_by_name(model, person):
    with pytest.raises(FurrowError, match="52 weights"):
        model.map(person, np.zeros(51), 256)
    for value in (np.nan, 1.2, -0.5):
        expression = NEUTRAL.copy()
        expression[17] = value
        with pytest.raises(FurrowError, match="jawOpen"):
            model.map(person, expression, 256)
    with pytest.raises(FurrowError, match="256, 512 or 1024"):
        model.map(person, NEUTRAL, 300)


def test_relief_of_another_is_their_last_style_alone(model, person):
    other = replace(person, shape=-person.shape)
    w = model.w_plus(person, NEUTRAL)
    w[-1] = model.w_plus(other, NEUTRAL)[-1]
    expected = model.synthesise(w, person.detail_seed, 256)
    np.testing.assert_array_equal(model.map(person, NEUTRAL, 256, relief=other), expected)
    with pytest.raises(FurrowError, match="another head model"):
        model.map(person, NEUTRAL, 256, relief=replace(other, shape=np.zeros(7, np.float32)))


def test_an_interrupt_ends_a_map(model, person):
    interrupt = Interrupt()
    interrupt.set()
    stranger = replace(person, detail_seed=77)  # of whom no map is remembered
    with pytest.raises(FurrowError) as failure:
        model.map(stranger, NEUTRAL, 256, interrupt=interrupt)
    assert failure.value.code == "cancelled"
    assert model.map(stranger, NEUTRAL, 256).shape == (256, 256)


def test_resampling_keeps_place_and_mean():
    rows, columns = np.mgrid[0:512, 0:512].astype(np.float32)
    smooth = np.sin((rows + 0.5) / 40) * np.cos((columns + 0.5) / 60)
    finer_rows, finer_columns = np.mgrid[0:1024, 0:1024].astype(np.float32)
    finer = np.sin((finer_rows / 2 + 0.25) / 40) * np.cos((finer_columns / 2 + 0.25) / 60)
    up = resample(smooth.astype(np.float32), 1024)
    assert np.abs(up - finer)[8:-8, 8:-8].max() < 1e-4  # half a texel of shift would be 0.012
    down = resample(up, 256)
    assert down.shape == (256, 256) and down.dtype == np.float32
    assert abs(down.mean() - smooth.mean()) < 1e-3
    assert np.abs(resample(finer, 512) - smooth).max() < 1e-3
