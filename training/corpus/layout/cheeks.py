"""The folds of the cheek: from nose to mouth, the crescents of a smile, and the marionette lines."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from .. import furrow_shapes as shapes
from ..chart import Marks
from ..furrows import Stroke
from ..habit import Habit
from ..shape import Linear

MOVED_BY = ("nasolabial_depth", "thickness", "asymmetry")
"""Coefficients that waves of these lines follow."""

SAMPLES = 40
"""Points of a path: about one a millimetre."""


class Fold:
    """The nasolabial fold, a curve through five points.

    Points are (s, z) from a landmark: over the nostril's wing at the height of the nose's tip, beside
    the wing, on the cheek, beside the mouth's corner, and below it.
    """

    over_wing_mm = (2.2, 2.0)
    beside_wing_mm = (6.0, -2.5)
    cheek_mm = 14.0
    """Over the mouth's corner; its s is `cheek_share` of `out_mm`."""
    cheek_share = 0.55
    corner_mm = 3.0
    """Over the mouth's corner."""
    out_mm = Linear(8.0, 3.4)
    """Outside the mouth's corner, by wave."""
    bow_mm = (0.8, 1.2)
    """By wave, of the points beside the wing and on the cheek: bowed or straight."""
    end_mm = (3.0, 9.0, 4.0, 3.0)
    """Of the end below the corner: at 20 years, what age adds, by wave, and always."""
    end_out_mm = 0.8
    """Of the end outside the point beside the corner."""
    nostril_share = 0.5
    """Of the path's points that the nostril's groove takes, from the top."""


class Crescents:
    """Arcs around the mouth's corner, across zygomaticus where it pulls.

    They are uneven in distance and length, so that they do not read as rings in water.
    """

    count = 4
    first_mm = 17.0
    """Radius of the first: outside the nasolabial fold's cheek."""
    spacing_mm = 6.4
    """Three times their reach."""
    radius_wave_mm = 2.4
    """By wave; less than half the spacing, so that none cross."""
    centre_mm = (-3.0, 4.0)
    """Of the arcs from the mouth's corner."""
    upper_deg = Linear(66.0, 13.0)
    """Of the upper end over outwards, by wave."""
    lower_deg = Linear(-24.0, 16.0)
    """Of the lower end, by wave."""
    oval = 0.07
    """Share of the radius by which arcs are flattened, by wave."""
    height = 1.1
    """Height over width."""
    weaker = 0.17
    """Share of the depth for each arc outwards."""


class Marionette:
    """Two lines from the mouth's corner down, along depressor anguli oris; points are (s, z) from the corner."""

    count = 2
    first_mm = 1.2
    """Of the first outside the corner."""
    spacing_mm = 4.4
    """More than twice their reach."""
    top_mm = (-0.3, -1.2)
    top_lower_mm = 2.5
    """By which each further line begins lower."""
    middle_mm = (1.6, -8.0)
    middle_wave_mm = 0.6
    end_out_mm = (2.6, 1.4)
    """Of the lower end outwards, and by wave."""
    end_mm = (8.0, 3.0, 6.0)
    """Of the lower end over the chin: at 20 years (none at 80), by wave, and for each further line."""
    shortest_mm = 12.0
    """Below the corner at least."""
    weaker = 0.5
    """Share of the depth for each further line."""


def nasolabial(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    """Return the fold from one nostril past the mouth's corner, and the groove around the nostril."""
    shape = shapes.NASOLABIAL
    out, low, bow, size, *rest = habit.sided("nasolabial", MOVED_BY, 8, side)
    path = _fold(marks, habit, out, low, bow)
    path[:, 0] += shape.wander(path[:, 1], rest)
    path[:, 0] *= side
    depth = shape.depth(habit) * shape.varies(size)
    upper = path[: int(len(path) * Fold.nostril_share)]
    parts = (shapes.NASOLABIAL_TROUGH, shapes.NASOLABIAL_CHEEK)
    swell = shape.swell(np.linspace(0, 1, len(path)), rest[:2])
    return [
        *(part.stroke(path, habit, part.share * depth, side=side) for part in parts),
        shape.stroke(path, habit, shape.share * depth, side=side, strength=swell),
        shapes.NOSTRIL.stroke(upper, habit, shapes.NOSTRIL.share * depth, side=side),
    ]


def _fold(marks: Marks, habit: Habit, out: float, low: float, bow: float) -> np.ndarray:
    """Return the course (n, 2) of the left fold; `out`, `low` and `bow` are waves."""
    wing, corner, tip = marks["nose_ala"], marks["mouth_corner"], marks["nose_tip"]
    outside = Fold.out_mm(out)
    young, more, wave, always = Fold.end_mm
    end = young + more * habit.age + wave * low
    beside_wing, cheek = (amount * bow for amount in Fold.bow_mm)
    return _curve(
        [
            (wing[0] + Fold.over_wing_mm[0], tip[1] + Fold.over_wing_mm[1]),
            (wing[0] + Fold.beside_wing_mm[0] + beside_wing, wing[1] + Fold.beside_wing_mm[1]),
            (corner[0] + Fold.cheek_share * outside + cheek, corner[1] + Fold.cheek_mm),
            (corner[0] + outside, corner[1] + Fold.corner_mm),
            (corner[0] + outside + Fold.end_out_mm, corner[1] - end - always),
        ]
    )


def cheek(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    """Return the crescents that a smile pushes up outside one nasolabial fold."""
    corner = marks["mouth_corner"]
    shape, trough, strokes = shapes.CHEEK, shapes.CHEEK_TROUGH, []
    for k in range(Crescents.count):
        out, up, low, size, bow, *rest = habit.sided(f"cheek {k}", MOVED_BY, 9, side)
        radius = Crescents.first_mm + Crescents.spacing_mm * k + Crescents.radius_wave_mm * out
        a = np.radians(np.linspace(Crescents.upper_deg(up), Crescents.lower_deg(low), SAMPLES))
        radii = radius * (1 + Crescents.oval * bow * np.cos(2 * a))
        ds, dz = Crescents.centre_mm
        s = corner[0] + ds + radii * np.cos(a)
        path = np.stack([s, corner[1] + dz + Crescents.height * radii * np.sin(a)], 1)
        path[:, 0] += shape.wander(path[:, 1], rest)
        path[:, 0] *= side
        fade = 1.0 - Crescents.weaker * k
        depth = shape.depth(habit) * fade * shape.varies(size)
        swell = shape.swell(np.linspace(0, 1, len(path)), rest[:2])
        strokes += [
            shape.stroke(path, habit, depth, order=k, strength=swell),
            trough.stroke(path, habit, trough.share * depth, order=k, side=side),
        ]
    return strokes


def marionette(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    """Return the lines from one corner of the mouth down."""
    corner, chin = marks["mouth_corner"], marks["chin"]
    shape, trough, strokes = shapes.MARIONETTE, shapes.MARIONETTE_TROUGH, []
    for k in range(Marionette.count):
        out, low, bow, size, *rest = habit.sided(f"marionette {k}", MOVED_BY, 8, side)
        s = corner[0] + Marionette.first_mm + Marionette.spacing_mm * k
        young, wave, further = Marionette.end_mm
        end = chin[1] + young * (1 - habit.age) + wave * low + further * k
        (top_s, top_z), (middle_s, middle_z) = Marionette.top_mm, Marionette.middle_mm
        end_out, end_wave = Marionette.end_out_mm
        path = _curve(
            [
                (s + top_s, corner[1] + top_z - Marionette.top_lower_mm * k),
                (s + middle_s + Marionette.middle_wave_mm * bow, corner[1] + middle_z),
                (s + end_out + end_wave * out, min(end, corner[1] - Marionette.shortest_mm)),
            ]
        )
        path[:, 0] += shape.wander(path[:, 1], rest)
        path[:, 0] *= side
        depth = shape.depth(habit) * (1 - Marionette.weaker * k)
        strokes += [
            shape.stroke(path, habit, shape.share * depth * shape.varies(size), order=k),
            trough.stroke(path, habit, trough.share * depth, order=k, side=side),
        ]
    return strokes


def _curve(points: list[tuple[float, float]]) -> np.ndarray:
    """Return a smooth curve (SAMPLES, 2) through the points."""
    knots = np.asarray(points)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(knots, axis=0).T))])
    return CubicSpline(along, knots)(np.linspace(0, along[-1], SAMPLES))
