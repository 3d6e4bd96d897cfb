"""The lines around the mouth: those that radiate from the lips, grooves in their red, the chin's crease."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import furrow_shapes as shapes
from ..chart import Marks
from ..furrows import Stroke
from ..habit import Habit
from ..shape import Linear, by_age

LIPS_MOVED_BY = ("lip_line_depth", "thickness", "asymmetry")
CHIN_MOVED_BY = ("chin_depth", "thickness", "asymmetry")
"""Coefficients that waves of these lines follow."""

LINE_SAMPLES, GROOVE_SAMPLES, CHIN_SAMPLES = 18, 12, 40
"""Points of a path: one or two a millimetre."""

BORDER_POWER = 2.4
"""Of the distance from the middle over the mouth's half-width, which the lips' red falls by to its corners."""


@dataclass(frozen=True)
class LipLines:
    """Lines of one lip. u runs from one corner of the mouth to the other, -1 to 1."""

    count: int
    """Literature: 2 to 4 mm apart."""
    run_mm: float
    """Length, before age: the chin leaves the lower lip less room than the nose the upper one."""
    span: float = 0.86
    """u of the outermost: none at the corners, where other folds begin."""
    place_wave: float = 0.045
    """Of u by wave: a third of the distance, so that there is no comb and none cross."""
    run_wave: float = 0.45
    """Share of the length by wave."""
    shorter: float = 0.25
    """Share of the length that is lost at the corners, with the square of u."""
    fan_deg: float = 54.0
    """Slant at the corners, evenly from none in the middle."""
    fan_wave_deg: float = 7.0
    begin_mm: tuple[float, float] = (1.6, 0.8)
    """By which they begin inside the red, and by wave."""
    bend_mm: float = 0.5
    """Of the outer end sideways, by wave."""
    philtrum: tuple[float, float] = (0.55, 0.13)
    """Share of the depth that is missing in the groove under the nose, and that groove's half-width in u."""
    contrast: float = 1.8
    """Power of a line's strength: a few deep ones among many weak ones."""


class Grooves:
    """Grooves in the red of a lip. u as in :class:`LipLines`; t runs from the lips' contact to the border."""

    count = 30
    span = 0.92
    place_wave = 0.03
    """Half the distance, by wave."""
    fan_deg = 40.0
    """Less slanting than the lines outside: the red is narrow."""
    fan_wave_deg = 9.0
    fan_from = 0.3
    """t at which a groove stands at its own u."""
    begin = Linear(0.2, 0.18)
    """t of the ends, by wave: from inside the contact to the border."""
    end = Linear(0.86, 0.14)
    wobble_mm = (0.25, 5.0, 3.0)
    """A sine's height, its radians from contact to border, and its phase by the wave of the place."""
    fade_power = 4
    """Of u, by which grooves fade to the corners."""


class ChinCrease:
    """The crease between lower lip and chin, and a weaker one below."""

    count = 2
    half_mm = (18.0, 3.0, 6.0)
    """Half the length: at first, by wave, and how much less for the lower one."""
    height = Linear(0.3, 0.32)
    """Share of the way from the lip down to the chin, by number."""
    level_mm = 1.0
    """By wave."""
    arch_per_mm = Linear(0.018, 0.006)
    """Fall of the ends over the distance squared, by wave."""
    weaker = 0.55
    """Share of the depth that the lower one lacks."""


CLIMB = by_age(0.85, 0.45)
"""Factor on the length of lips' lines: with age they climb from the red towards the nose."""

LIP_LINES = {
    "upper": LipLines(count=15, run_mm=7.5),
    "lower": LipLines(count=11, run_mm=6.0, philtrum=(0.0, 0.13)),
}

_LINES = {"upper": shapes.LIPS_UPPER, "lower": shapes.LIPS_LOWER}
_REDS = {"upper": shapes.VERMILION_UPPER, "lower": shapes.VERMILION_LOWER}


def lip(marks: Marks, half: str) -> tuple[float, float, float]:
    """Return the mouth's half-width, and the heights of a lip's contact and of its border in the middle, mm."""
    border = marks["upper_lip_top" if half == "upper" else "lower_lip_bottom"]
    return marks["mouth_corner"][0], marks[f"{half}_lip_centre"][1], border[1]


def lip_lines(marks: Marks, habit: Habit, half: str) -> list[Stroke]:
    """Return the lines that radiate from one lip, "upper" or "lower"."""
    places, shape = LIP_LINES[half], _LINES[half]
    corner, red, edge = lip(marks, half)
    sign = 1.0 if half == "upper" else -1.0
    depth, strokes = shape.depth(habit), []
    t = np.linspace(0, 1, LINE_SAMPLES)
    for k, place in enumerate(np.linspace(-places.span, places.span, places.count)):
        where, size, length, bend, start, *rest = habit.waves(f"{half} lip {k}", LIPS_MOVED_BY, 9)
        u = place + places.place_wave * where
        border = red + (edge - red) * (1 - np.abs(u) ** BORDER_POWER)
        lacking, width = places.philtrum
        philtrum = 1.0 - lacking * np.exp(-((u / width) ** 2))
        run = places.run_mm * CLIMB(habit) * (1 + places.run_wave * length)
        run *= 1 - places.shorter * u * u
        fan = np.radians(places.fan_deg) * u + np.radians(places.fan_wave_deg) * bend
        inside, wave = places.begin_mm
        r = -inside - wave * start + (run + inside) * t
        s = corner * u + r * np.sin(fan) + places.bend_mm * bend * t * t
        z = border + sign * r * np.cos(fan)
        strong = shape.varies(size) ** places.contrast * philtrum
        path = np.stack([s + shape.wander(r, rest), z], 1)
        strokes.append(shape.stroke(path, habit, depth * strong, order=1 - strong, own=size))
    return strokes


def vermilion(marks: Marks, habit: Habit, half: str) -> list[Stroke]:
    """Return the grooves in the red of one lip, "upper" or "lower"."""
    shape, strokes = _REDS[half], []
    corner, red, edge = lip(marks, half)
    for k, place in enumerate(np.linspace(-Grooves.span, Grooves.span, Grooves.count)):
        where, size, bend, start, end = habit.waves(f"{half} red {k}", LIPS_MOVED_BY, 5)
        u = place + Grooves.place_wave * where
        border = red + (edge - red) * (1 - np.abs(u) ** BORDER_POWER)
        fan = np.radians(Grooves.fan_deg) * u + np.radians(Grooves.fan_wave_deg) * bend
        t = np.linspace(Grooves.begin(start), Grooves.end(end), GROOVE_SAMPLES)
        high, radians, phase = Grooves.wobble_mm
        slant = (border - red) * (t - Grooves.fan_from) * np.tan(fan)
        s = corner * u + slant + high * np.sin(radians * t + phase * where)
        depth = shape.depth(habit, shape.varies(size)) * (1 - abs(u) ** Grooves.fade_power)
        path = np.stack([s, red + (border - red) * t], 1)
        strokes.append(shape.stroke(path, habit, depth, own=bend))
    return strokes


def chin(marks: Marks, habit: Habit) -> list[Stroke]:
    """Return the creases between lower lip and chin."""
    lip, below = marks["lower_lip_bottom"], marks["chin"]
    shape, trough, strokes = shapes.CHIN, shapes.CHIN_TROUGH, []
    for k in range(ChinCrease.count):
        level, wide, arch, size, *rest = habit.waves(f"chin {k}", CHIN_MOVED_BY, 8)
        half, wave, less = ChinCrease.half_mm
        s = np.linspace(-1, 1, CHIN_SAMPLES) * (half + wave * wide - less * k)
        z = lip[1] + (below[1] - lip[1]) * ChinCrease.height(k) + ChinCrease.level_mm * level
        z = z - ChinCrease.arch_per_mm(arch) * s * s
        path = np.stack([s, z + shape.wander(s, rest)], 1)
        depth = shape.depth(habit) * (1 - ChinCrease.weaker * k) * shape.varies(size)
        strokes += [
            part.stroke(path, habit, part.share * depth, order=k) for part in (shape, trough)
        ]
    return strokes
