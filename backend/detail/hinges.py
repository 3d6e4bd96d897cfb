"""Functions of the 52 weights that a rig can compute: hinges, chosen greedily by what they explain.

A hinge is max(0, b_i + b_j - t) of two weights and a threshold t >= 0; without b_j and t it is the
weight b_i itself. They are the correctives of a rig: one with b_j acts where two shapes overlap, one
without bends the course of a single shape. Fitting a sum of greedily chosen hinges is Friedman's
multivariate adaptive regression splines (1991), here with hinges along axes and their pairs, as the
networks behind it are piecewise linear too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..formats.expressions import EXPRESSIONS

NONE = len(EXPRESSIONS)
"""Number of the weight that is always 0, for hinges of one weight."""

_SINGLE_THRESHOLDS = (0.15, 0.3, 0.5)
_PAIR_THRESHOLDS = (0.2, 0.5, 1.0)

_AT_ONCE = 16
"""Hinges chosen between two fits; more would explain the same part of the rest."""

_RIDGE = 1e-2
"""Keeps least squares apart from hinges that hardly any sample reaches."""

_REACHED = 1e-2
"""Square of a hinge over all samples below which it explains nothing that can be trusted."""


@dataclass(frozen=True, eq=False)
class Hinges:
    """F hinges.

    Attributes
    ----------
    first, second
        int32 (F,), numbers of expressions; `second` may be :data:`NONE`.
    threshold
        float32 (F,), 0 or more.
    """

    first: np.ndarray
    second: np.ndarray
    threshold: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def values(self, expressions: np.ndarray) -> np.ndarray:
        """Return float32 (N, F) of expressions (N, 52)."""
        padded = np.pad(np.asarray(expressions, np.float32), [(0, 0), (0, 1)])
        total = padded[:, self.first]
        total += padded[:, self.second]
        total -= self.threshold
        return np.maximum(total, 0.0, out=total)

    def subset(self, rows: np.ndarray) -> Hinges:
        """Return some of them."""
        return Hinges(self.first[rows], self.second[rows], self.threshold[rows])

    def followed_by(self, other: Hinges) -> Hinges:
        """Return these and then the other ones."""
        pairs = zip(
            (self.first, self.second, self.threshold),
            (other.first, other.second, other.threshold),
            strict=True,
        )
        return Hinges(*(np.concatenate(pair) for pair in pairs))


def weights() -> Hinges:
    """Return the 52 weights themselves."""
    count = len(EXPRESSIONS)
    return Hinges(
        np.arange(count, dtype=np.int32),
        np.full(count, NONE, np.int32),
        np.zeros(count, np.float32),
    )


def candidates() -> Hinges:
    """Return the hinges to choose from: of each weight and of each pair, at three thresholds."""
    count = len(EXPRESSIONS)
    i, j = np.triu_indices(count, 1)
    first = np.concatenate([np.tile(np.arange(count), 3), np.tile(i, 3)])
    second = np.concatenate([np.full(3 * count, NONE), np.tile(j, 3)])
    threshold = np.concatenate(
        [np.repeat(_SINGLE_THRESHOLDS, count), np.repeat(_PAIR_THRESHOLDS, len(i))]
    )
    return Hinges(first.astype(np.int32), second.astype(np.int32), threshold.astype(np.float32))


def solve(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return float64 (F, Q), the least-squares map from features (N, F) to targets (N, Q)."""
    features = features.astype(np.float64)
    gram = features.T @ features
    gram.flat[:: len(gram) + 1] += _RIDGE
    return np.linalg.solve(gram, features.T @ targets)


def choose(
    expressions: np.ndarray,
    targets: np.ndarray,
    importance: np.ndarray,
    count: int,
    step: Callable[[float], None] = lambda _share: None,
) -> Hinges:
    """Choose hinges beside the 52 weights, by orthogonal matching pursuit.

    Parameters
    ----------
    expressions
        (N, 52) in [0, 1].
    targets
        (N, Q), what is to be explained.
    importance
        (N,), by which each row's errors are multiplied.
    count
        How many to choose, 0 or more.
    step
        Told the share that is done, in [0, 1]; may raise.
    """
    pool = candidates()
    rows = importance.astype(np.float32)[:, None]
    rest = targets.astype(np.float32) * rows
    columns = pool.values(expressions)
    columns *= rows
    _project_out(weights().values(expressions) * rows, columns, rest)
    rows_of_pool: list[int] = []
    while len(rows_of_pool) < count:
        square = np.einsum("nc,nc->c", columns, columns)
        gain = np.square(columns.T @ rest).sum(1) / np.maximum(square, _REACHED)
        gain[rows_of_pool] = -1.0
        best = _distinct(pool, np.argsort(-gain, kind="stable"), count - len(rows_of_pool))
        _project_out(columns[:, best], columns, rest)
        rows_of_pool += best
        step(len(rows_of_pool) / count)
    return pool.subset(np.array(rows_of_pool, int))


def _distinct(pool: Hinges, order: np.ndarray, most: int) -> list[int]:
    """The first of an order, at most one of each pair: its other thresholds explain nearly the same."""
    rows: dict[tuple[int, int], int] = {}
    for row in order.tolist():
        rows.setdefault((int(pool.first[row]), int(pool.second[row])), row)
        if len(rows) == min(most, _AT_ONCE):
            break
    return list(rows.values())


def _project_out(columns: np.ndarray, *others: np.ndarray) -> None:
    """Subtract from matrices with the same rows, in place, what the columns explain."""
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    left = left[:, size > 1e-4 * max(float(size[0]), 1e-6)]
    for other in others:
        other -= left @ (left.T @ other)
