"""The rings of the neck, and the cords of platysma."""

from __future__ import annotations

import numpy as np

from .. import furrow_shapes as shapes
from ..chart import Marks
from ..furrows import Stroke
from ..habit import Habit
from ..shape import Linear

MOVED_BY = ("neck_depth", "thickness", "asymmetry")
"""Coefficients that waves of these lines follow."""

RING_SAMPLES, CORD_SAMPLES = 60, 32
"""Points of a path: about one a millimetre."""


class Rings:
    """From the chin down."""

    count = 3
    first_mm = 18.0
    """Of the first below the chin: under the jaw's edge."""
    spacing_mm = 10.0
    level_mm = 3.0
    """By wave; a third of the spacing, so that none cross."""
    half_mm = Linear(38.0, 8.0)
    """Half the length, by wave: round to the neck's sides."""
    shift_mm = 6.0
    """Sideways by the wave of the tilt."""
    arch_per_mm = Linear(0.0045, 0.0015)
    """Rise of the ends over the distance squared, by wave: rings hang like a necklace."""
    tilt = 0.03
    """Rise over distance, by wave."""


class Cords:
    """The free edges of platysma, from the jaw to the collar bones."""

    count = 2
    """On each side."""
    top_mm = 21.0
    """Of the upper end below the chin."""
    length_mm = 42.0
    length_wave_mm = 6.0
    first_mm = 11.0
    """From the middle: the two muscles part below the chin."""
    spacing_mm = 15.0
    out_wave_mm = 2.5
    spread = 0.12
    """By which cords part downwards, over their length."""
    bow_mm = (1.5, 14.0)
    """By wave, and the length of one radian of it."""


def neck(marks: Marks, habit: Habit) -> list[Stroke]:
    """Return the rings of the neck."""
    top = marks["chin"][1] - Rings.first_mm
    shape, trough, strokes = shapes.NECK, shapes.NECK_TROUGH, []
    for k in range(Rings.count):
        level, wide, size, arch, tilt, *rest = habit.waves(f"neck {k}", MOVED_BY, 9)
        s = np.linspace(-1, 1, RING_SAMPLES) * Rings.half_mm(wide) + Rings.shift_mm * tilt
        z = top - Rings.spacing_mm * k + Rings.level_mm * level
        z = z + Rings.arch_per_mm(arch) * s * s + Rings.tilt * tilt * s
        path = np.stack([s, z + shape.wander(s, rest)], 1)
        depth = shape.depth(habit) * shape.varies(size)
        strokes += [part.stroke(path, habit, part.share * depth) for part in (shape, trough)]
    return strokes


def platysma(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    """Return the cords of one side: ridges that run down the neck."""
    top = marks["chin"][1] - Cords.top_mm
    shape, strokes = shapes.PLATYSMA, []
    for k in range(Cords.count):
        out, low, size, bow, *rest = habit.sided(f"platysma {k}", MOVED_BY, 8, side)
        end = top - Cords.length_mm + Cords.length_wave_mm * low
        z = np.linspace(top, end, CORD_SAMPLES)
        s = Cords.first_mm + Cords.spacing_mm * k + Cords.out_wave_mm * out
        height, radian_mm = Cords.bow_mm
        s = s + Cords.spread * (top - z) + height * bow * np.sin((top - z) / radian_mm)
        path = np.stack([side * (s + shape.wander(z, rest)), z], 1)
        strokes.append(shape.stroke(path, habit, shape.depth(habit) * shape.varies(size)))
    return strokes
