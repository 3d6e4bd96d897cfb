"""People and expressions that no training saw: what every figure of the detail is measured on."""

from __future__ import annotations

from pathlib import Path

from ...backend.head.bilinear import Head
from .data import Maps, draw

TEST_SEED, TEST_PEOPLE, TEST_EACH = 100, 60, 4

RESOLUTION = 1024


def draw_test_set(
    data: Path, head: Head, resolution: int = RESOLUTION, people: int = TEST_PEOPLE
) -> Maps:
    """Return the test set in a folder of sets, with relief; draws it first if it is absent.

    With fewer `people` than all it is another set, of the first ones.
    """
    folder = data / (f"test{resolution}" + f"-{people}" * (people != TEST_PEOPLE))
    return draw(folder, head, resolution, people, TEST_EACH, TEST_SEED, True)
