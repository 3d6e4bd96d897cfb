"""What several tests of training need."""

from __future__ import annotations

import pytest
from furrow.backend.errors import FurrowError


@pytest.fixture(scope="session")
def perceptual() -> None:
    """The pretrained networks, fetched once; without a way to fetch them nothing can be measured."""
    pytest.importorskip("torch")
    from furrow.training.networks import pretrained

    try:
        pretrained.load("alexnet")
    except FurrowError as error:
        if error.code != "missing_model":
            raise
        pytest.skip(str(error))
