"""Reduced keys stay within the bound on every frame, and no line could have been longer."""

from __future__ import annotations

import numpy as np
import pytest
from furrow.addon.animation.key_reduction import key_rows

BOUND = 0.005


def error(values: np.ndarray, rows: np.ndarray) -> float:
    return np.abs(np.interp(np.arange(len(values)), rows, values[rows]) - values).max()


def longest_lines(values: np.ndarray) -> list[int]:
    """The same by trying every line."""
    rows = [0]
    while rows[-1] < len(values) - 1:
        first = rows[-1]
        fits = [
            last
            for last in range(first + 1, len(values))
            if error(values[first : last + 1], np.array([0, last - first])) <= BOUND + 1e-12
        ]
        rows.append(fits[-1])
    return rows


@pytest.fixture
def motion() -> np.ndarray:
    """300 frames: noise, ramps with holds, smooth waves, one burst in stillness, nothing."""
    rng = np.random.default_rng(3)
    time = np.arange(300) / 30
    burst = np.zeros(300)
    burst[140:150] = np.hanning(10)
    ramps = np.interp(np.arange(300), [0, 40, 90, 91, 200, 299], [0, 0.8, 0.8, 0.1, 0.1, 1])
    return np.stack(
        [rng.random(300), ramps, 0.5 + 0.5 * np.sin(time), 0.01 * rng.random(300), burst,
         np.full(300, 0.3)], axis=1,
    )  # fmt: skip


def test_the_bound_holds_on_every_frame_with_the_longest_lines(motion):
    kept = key_rows(motion, BOUND)
    for column, rows in zip(motion.T[:5], kept[:5], strict=True):
        assert error(column, rows) <= BOUND + 1e-12
        assert rows.tolist() == longest_lines(column)
    assert len(kept[1]) == 6  # the ramps' own corners
    assert len(kept[2]) < 100


def test_what_never_moves_keeps_one_key(motion):
    assert key_rows(motion, BOUND)[5].tolist() == [0]
    assert key_rows(0.004 * motion, BOUND)[0].tolist() == [0]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_clips(count):
    values = np.arange(2.0 * count).reshape(count, 2)
    assert [rows.tolist() for rows in key_rows(values, BOUND)] == [list(range(count))] * 2
