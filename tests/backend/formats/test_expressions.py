"""Weights of expressions: what counts as one, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import EXPRESSIONS, INDEX, check_expression


def test_rounding_beyond_the_ends_becomes_the_ends() -> None:
    weights = np.full(len(EXPRESSIONS), 0.5)
    weights[:2] = (-5e-7, 1 + 5e-7)
    checked = check_expression(weights)
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked[:3], np.float32([0, 1, 0.5]))


@pytest.mark.parametrize("weight", [-0.001, 1.001, np.nan, np.inf])
def test_a_weight_further_out_is_refused_by_name(weight: float) -> None:
    weights = np.zeros(len(EXPRESSIONS))
    weights[INDEX["jawOpen"]] = weight
    with pytest.raises(FurrowError, match=r"jawOpen is .* between 0 and 1"):
        check_expression(weights)


def test_another_number_of_weights_is_refused() -> None:
    with pytest.raises(FurrowError, match="52 weights, this one has 51"):
        check_expression(np.zeros(51))
