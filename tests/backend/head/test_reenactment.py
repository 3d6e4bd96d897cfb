"""A driver's own range becomes the whole range, and nothing else is stretched."""

from __future__ import annotations

import numpy as np
import pytest
from furrow.backend.formats.expressions import INDEX
from furrow.backend.formats.weights import Weights
from furrow.backend.head.reenactment import MOST_GAIN, normalised


@pytest.fixture
def driver() -> Weights:
    """40 s at 30 frames a second: lids that shut at 0.7, brows that rest at 0.2, small noise."""
    rng = np.random.default_rng(1)
    values = np.zeros((1200, 52), np.float32)
    values[:, INDEX["browInnerUp"]] = 0.2 + 0.4 * np.clip(np.sin(np.arange(1200) / 50), 0, 1)
    for start in range(50, 1200, 100):
        values[start : start + 8, INDEX["eyeBlinkLeft"]] = 0.7 * np.hanning(10)[1:-1]
    values[:, INDEX["noseSneerLeft"]] = 0.1 + 0.02 * rng.random(1200)
    values[:, INDEX["eyeLookUpLeft"]] = 0.3 * rng.random(1200)
    values[600:, INDEX["cheekPuff"]] = 0.1
    values[77, INDEX["browInnerUp"]] = 1.0  # the tracker slipped
    return Weights(values, 30.0, rng.random((1200, 3)).astype(np.float32))


def test_rest_becomes_0_and_the_extreme_1_whatever_the_driver_reaches(driver):
    values = normalised(driver).values
    brow, blink = values[:, INDEX["browInnerUp"]], values[:, INDEX["eyeBlinkLeft"]]
    assert (
        brow.min() == 0 and np.median(brow[driver.values[:, INDEX["browInnerUp"]] > 0.595]) > 0.98
    )
    assert blink[45:50].max() == 0 and blink[50:58].max() > 0.95
    assert values.min() >= 0 and values.max() <= 1


def test_the_head_turns_from_the_middle_on(driver):
    result = normalised(driver)
    np.testing.assert_allclose(np.median(result.head, axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(
        np.diff(result.head, axis=0), np.diff(driver.head, axis=0), atol=1e-6
    )


def test_what_never_moves_and_where_the_eyes_look_stay(driver):
    result = normalised(driver)
    for name in ("noseSneerLeft", "eyeLookUpLeft", "jawOpen"):
        np.testing.assert_array_equal(result.values[:, INDEX[name]], driver.values[:, INDEX[name]])


def test_what_is_hardly_used_is_not_blown_up(driver):
    puff = normalised(driver).values[:, INDEX["cheekPuff"]]
    assert puff.max() == pytest.approx(0.1 * MOST_GAIN)


def test_a_single_frame_stays():
    values = np.random.default_rng(0).random((1, 52), np.float32)
    np.testing.assert_array_equal(normalised(Weights(values, 30.0)).values, values)
