"""The lines on the sides of the nose that a sneer folds ("bunny lines")."""

from __future__ import annotations

import numpy as np

from .. import furrow_shapes as shapes
from ..chart import Marks
from ..furrows import Stroke
from ..habit import Habit
from ..shape import Linear

MOVED_BY = ("thickness", "glabella_layout", "asymmetry")
"""Coefficients that waves of these lines follow."""

SAMPLES = 20
"""Points of a path: about one a millimetre."""


class Lines:
    """Where they lie, from the bridge outwards."""

    count = 5
    middle = 1.5
    """Number of the strongest, between the second and the third: where nasalis is broadest."""
    first_mm = 5.5
    """Of the first below the nose's root: clear of procerus' lines."""
    spacing_mm = 3.6
    """Nearly three times their reach: with less they read as a comb (eye)."""
    level_mm = 0.8
    """By wave; a quarter of the spacing, so that none meet."""
    begin_mm = 1.6
    """From the middle of the bridge: left and right do not join."""
    end_mm = 4.0
    """Short of the eye's inner corner."""
    end_wave_mm = 1.5
    longer_mm = 0.4
    """For each line: the nose widens downwards."""
    slope = Linear(0.28, 0.14)
    """Rise over length, by wave: across the oblique fibres of nasalis, so the outer end lies higher."""
    bend_per_mm = 0.016
    """Fall over the length squared: the outer end bends down to the cheek."""
    weaker = 0.1
    """Share of the depth for each line off the middle."""


def bunny(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    """Return the lines on one side of the nose."""
    root, eye = marks["nose_root"], marks["eye_inner"]
    shape, strokes = shapes.BUNNY, []
    t = np.linspace(0, 1, SAMPLES)
    for k in range(Lines.count):
        level, size, slope, ends, *rest = habit.sided(f"bunny {k}", MOVED_BY, 8, side)
        off = abs(k - Lines.middle)
        top = root[1] - Lines.first_mm - Lines.spacing_mm * k + Lines.level_mm * level
        length = (eye[0] - Lines.end_mm) + Lines.end_wave_mm * ends + Lines.longer_mm * k
        s = Lines.begin_mm + length * t
        z = top + Lines.slope(slope) * length * t - Lines.bend_per_mm * (length * t) ** 2
        strokes.append(
            shape.stroke(
                np.stack([side * s, z + shape.wander(s, rest)], 1),
                habit,
                shape.depth(habit) * shape.varies(size) * (1 - Lines.weaker * off),
                order=off,
                strength=shape.swell(t, rest[:2]),
            )
        )
    return strokes
