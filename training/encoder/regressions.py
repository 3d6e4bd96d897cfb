"""Baselines in closed form: ridge regressions to principal components, and the nearest sample."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...backend.formats.identity import SKIN
from ..maps.data import Maps

PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Ridge penalties to choose from."""

HELD_OUT = 0.1
"""Share of the training people, the last ones, on whom the penalty is chosen."""

SETTINGS = {"penalties": PENALTIES, "validation": HELD_OUT}

VERSION = 1
"""Of what is computed here: raised by hand when a change alters results, so that kept ones are not used."""


def products(identity: np.ndarray, expression: np.ndarray) -> Tensor:
    """Skin, expression, each with each, and 1: float32 (n, 901). Shape does not enter furrows.

    Parameters
    ----------
    identity
        (n, K + 16).
    expression
        (n, 52).
    """
    skin = torch.from_numpy(identity[:, -len(SKIN) :]).float() - 0.5
    weights = torch.from_numpy(expression).float()
    both = (skin[:, :, None] * weights[:, None, :]).flatten(1)
    return torch.cat([skin, weights, both, torch.ones(len(skin), 1)], 1)


def expression_products(expression: np.ndarray) -> Tensor:
    """Expression (n, 52), squares and products of its weights, and 1: float32 (n, 1431)."""
    weights = torch.from_numpy(expression).float()
    row, column = torch.triu_indices(weights.shape[1], weights.shape[1])
    return torch.cat(
        [weights, weights[:, row] * weights[:, column], torch.ones(len(weights), 1)], 1
    )


def ridge(features: Tensor, coefficients: Tensor, train: Maps) -> tuple[Tensor, float]:
    """Regress coefficients (N, C) of all training maps on features (N, D).

    Returns
    -------
    tuple
        The solution (D, C), and its penalty, the best on training people kept out for the choice.
    """
    split = train.first(round(train.people * (1 - HELD_OUT)))
    errors = {
        penalty: float((features[split:] @ solution - coefficients[split:]).square().mean())
        for penalty, solution in zip(
            PENALTIES, _solve(features[:split], coefficients[:split], PENALTIES), strict=True
        )
    }
    best = min(errors, key=errors.__getitem__)
    return _solve(features, coefficients, (best,))[0], best


def _solve(x: Tensor, y: Tensor, penalties: tuple[float, ...]) -> list[Tensor]:
    square, cross = (x.T @ x).double(), (x.T @ y).double()
    eye = torch.eye(len(square), dtype=torch.float64)
    return [torch.linalg.solve(square + p * eye, cross).float() for p in penalties]


def nearest(solution: Tensor, train: Maps, identity: np.ndarray, expression: np.ndarray) -> Tensor:
    """Rows (n,) of the training samples whose maps should be most like those asked for.

    Distances are between the maps that the ridge regression predicts: what skin and expression
    do to a map counts, and not their plain difference.
    """
    predictions = products(train.identity, train.expression) @ solution
    return torch.cdist(products(identity, expression) @ solution, predictions).argmin(1)
