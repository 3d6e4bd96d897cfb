"""Fewer keys for the same motion, within a bound on the error. No Blender here."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_WINDOW = 8  # frames looked ahead at once; speech keeps one in four


def key_rows(values: np.ndarray, bound: float) -> list[np.ndarray]:
    """Choose the rows whose keys, joined by straight lines, come within `bound` of every row.

    From each key the longest line that stays within the bound is taken (a cone of admissible
    slopes, narrowed frame by frame: Reumann and Witkam 1974, Sklansky and Gonzalez 1980). Keys keep
    their values. All columns are worked off side by side, in a time that grows with their length.

    Parameters
    ----------
    values
        (N, C), one column a curve, rows evenly spaced in time.
    bound
        Largest admissible error, in units of the values, above 0.

    Returns
    -------
    list
        For each column the indices of the kept rows, rising, the first row and the last among them;
        the first row alone where a column never leaves the bound around it.
    """
    count, columns = values.shape
    if count == 0:
        return [np.arange(0) for _ in range(columns)]
    values = values.astype(np.float64)
    is_key = np.zeros((count, columns), bool)
    is_key[0] = True
    moving = np.flatnonzero((np.abs(values - values[0]) > bound).any(axis=0))
    if len(moving):
        _walk(values[:, moving], bound, is_key, moving)
    return [np.flatnonzero(column) for column in is_key.T]


def curves(
    paths: Iterable[tuple[str, int]], frames: np.ndarray, columns: np.ndarray, bound: float
) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
    """Frames (n,) and values (n,) of each curve, by data path and array index, from columns (N, C).

    Parameters
    ----------
    paths
        Data path and array index of each column.
    frames
        (N,), of the rows.
    bound
        As for :func:`key_rows`; 0 writes one key a frame.
    """
    every = np.arange(len(frames))
    rows = key_rows(columns, bound) if bound > 0 else [every] * columns.shape[1]
    return {
        path: (frames[chosen], column[chosen])
        for path, column, chosen in zip(paths, columns.T, rows, strict=True)
    }


def _walk(values: np.ndarray, bound: float, is_key: np.ndarray, columns: np.ndarray) -> None:
    """Mark the kept rows of these columns, a step of each column at a time."""
    last = len(values) - 1
    start = np.zeros(len(columns), int)  # the key from which the line goes out
    reached = start.copy()  # the farthest row so far to which it may go
    frontier = start.copy()  # the last row that narrowed the cone
    low, high = np.full(len(columns), -np.inf), np.full(len(columns), np.inf)
    going = np.arange(len(columns))
    while len(going):
        rows = frontier[going, None] + np.arange(1, _WINDOW + 1)
        inside = rows <= last
        rise = values[np.minimum(rows, last), going[:, None]] - values[start[going], going][:, None]
        run = rows - start[going, None]
        floor = np.column_stack([low[going], (rise - bound) / run])
        ceiling = np.column_stack([high[going], (rise + bound) / run])
        floor = np.maximum.accumulate(floor, axis=1)
        ceiling = np.minimum.accumulate(ceiling, axis=1)
        slope = rise / run
        good = inside & (floor[:, :-1] <= slope) & (slope <= ceiling[:, :-1])
        farthest = np.where(good, rows, 0).max(axis=1)
        reached[going] = np.maximum(reached[going], farthest)
        open_still = inside[:, -1] & (floor[:, -1] <= ceiling[:, -1])
        frontier[going] = np.where(open_still, rows[:, -1], reached[going])
        low[going] = np.where(open_still, floor[:, -1], -np.inf)
        high[going] = np.where(open_still, ceiling[:, -1], np.inf)
        ended = going[~open_still]
        is_key[reached[ended], columns[ended]] = True
        start[ended] = reached[ended]
        going = going[start[going] < last]
