"""Where the furrows of cheeks, mouth, chin and neck lie. Face coordinates, millimetres."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from .chart import Chart, smoothstep
from .furrows import Stroke
from .habit import Habit
from .layout_upper import Marks, uneven, wander

CHEEK = ("nasolabial_depth", "thickness", "asymmetry")
LIPS = ("lip_line_depth", "thickness", "asymmetry")
CHIN = ("chin_depth", "thickness", "asymmetry")
NECK = ("neck_depth", "thickness", "asymmetry")


def lower(chart: Chart, habit: Habit) -> list[Stroke]:
    """Return the furrows of the lower face and the neck."""
    marks = chart.marks
    strokes = _chin(marks, habit) + _neck(marks, habit)
    for half in ("upper", "lower"):
        strokes += _lip_lines(marks, habit, half) + _vermilion(marks, habit, half)
    for side in (-1, 1):
        strokes += _nasolabial(marks, habit, side)
        strokes += _cheek(marks, habit, side)
        strokes += _marionette(marks, habit, side)
        strokes += _platysma(marks, habit, side)
    return strokes


def _curve(points: list[tuple[float, float]], count: int = 40) -> np.ndarray:
    """Return a smooth curve (count, 2) through the points."""
    knots = np.asarray(points)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(knots, axis=0).T))])
    return CubicSpline(along, knots)(np.linspace(0, along[-1], count))


def _nasolabial(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    """Return the fold from the nostril past the mouth corner: a broad trough and the crease in it."""
    wing, corner, tip = marks["nose_ala"], marks["mouth_corner"], marks["nose_tip"]
    out, low, bow, size, *rest = habit.sided("nasolabial", CHEEK, 8, side)
    reach_out = 8.0 + 3.4 * out
    end = 3.0 + 9.0 * habit.age + 4.0 * low
    path = _curve(
        [
            (wing[0] + 2.2, tip[1] + 2.0),
            (wing[0] + 6.0 + 0.8 * bow, wing[1] - 2.5),
            (corner[0] + 0.55 * reach_out + 1.2 * bow, corner[1] + 14.0),
            (corner[0] + reach_out, corner[1] + 3.0),
            (corner[0] + reach_out + 0.8, corner[1] - end - 3.0),
        ]
    )
    path[:, 0] += wander(path[:, 1], np.array(rest), 0.42, 0.07)
    path[:, 0] *= side
    depth = (
        habit.scaled("nasolabial_depth", 0.45, 1.5) * (0.75 + 0.35 * habit.age) * (1 + 0.12 * size)
    )
    shared: dict[str, Any] = {
        "rest": 0.5 * habit.permanence,
        "threshold": 0.06,
        # Running down the left cheek, the cheek is on the left hand: its fat bulges over the fold.
        "lean": 0.62 * side,
        "taper": (0.2, 0.5),
    }
    t = np.linspace(0, 1, len(path))
    return [
        Stroke("nasolabial", path, 0.55 * depth, 1.5, 4.6, trough=True, **shared),
        Stroke("nasolabial", path, 0.2 * depth, 3.0, 8.5, trough=True, **shared),
        Stroke(
            "nasolabial",
            path,
            0.55 * depth,
            0.8 * habit.coarse,
            2.3,
            strength=uneven(t, np.array(rest[:2]), 0.25),
            **shared,
        ),
        # The groove around the nostril's wing, which a sneer deepens first.
        Stroke(
            "nostril",
            path[: len(path) // 2],
            0.5 * depth,
            0.8 * habit.coarse,
            2.4,
            threshold=0.1,
            rest=0.1 * habit.permanence,
            taper=(0.3, 0.6),
            lean=0.4 * side,
        ),
    ]


def _cheek(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    """Return the crescents that a smile pushes up outside the nasolabial fold."""
    corner = marks["mouth_corner"]
    strokes = []
    for k in range(4):
        out, up, low, size, bow, *rest = habit.sided(f"cheek {k}", CHEEK, 9, side)
        # Arcs around the corner of the mouth, across zygomaticus where it pulls; uneven in distance
        # and length, so that they do not read as rings in water.
        radius = 17.0 + 6.4 * k + 2.4 * out
        a = np.radians(np.linspace(66.0 + 13.0 * up, -24.0 + 16.0 * low, 40))
        radius = radius * (1 + 0.07 * bow * np.cos(2 * a))
        path = np.stack(
            [corner[0] - 3.0 + radius * np.cos(a), corner[1] + 4.0 + 1.1 * radius * np.sin(a)], 1
        )
        path[:, 0] += wander(path[:, 1], np.array(rest), 0.6, 0.08)
        path[:, 0] *= side
        fade = 1.0 - 0.17 * k
        mature = 0.3 + 0.85 * habit.age
        depth = (
            0.34 * habit.scaled("nasolabial_depth", 0.5, 1.4) * mature * fade * (0.72 + 0.5 * size)
        )
        strength = uneven(np.linspace(0, 1, len(path)), np.array(rest[:2]), 0.4)
        threshold = 0.3 + 0.07 * k
        rest_part = 0.22 * habit.permanence
        strokes += [
            Stroke(
                "cheek",
                path,
                depth,
                0.6 * habit.coarse,
                1.9,
                threshold,
                rest_part,
                (0.45, 0.5),
                strength=strength,
            ),
            Stroke(
                "cheek",
                path,
                0.55 * depth,
                1.0,
                3.3,
                threshold,
                rest_part,
                (0.4, 0.4),
                0.3 * side,
                trough=True,
            ),
        ]
    return strokes


def _marionette(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    corner, chin = marks["mouth_corner"], marks["chin"]
    strokes = []
    for k in range(2):
        out, low, bow, size, *rest = habit.sided(f"marionette {k}", CHEEK, 8, side)
        s0 = corner[0] + 1.2 + 4.4 * k
        end = chin[1] + 8.0 * (1 - habit.age) + 3.0 * low + 6.0 * k
        path = _curve(
            [
                (s0 - 0.3, corner[1] - 1.2 - 2.5 * k),
                (s0 + 1.6 + 0.6 * bow, corner[1] - 8.0),
                (s0 + 2.6 + 1.4 * out, min(end, corner[1] - 12.0)),
            ]
        )
        path[:, 0] += wander(path[:, 1], np.array(rest), 0.22, 0.06)
        path[:, 0] *= side
        depth = (
            habit.scaled("nasolabial_depth", 0.3, 0.85) * (0.4 + 0.7 * habit.age) * (1 - 0.5 * k)
        )
        shared: dict[str, Any] = {
            "threshold": 0.12 + 0.12 * k,
            "rest": 0.48 * habit.permanence,
            "taper": (0.25, 0.5),
        }
        strokes += [
            Stroke(
                "marionette",
                path,
                0.7 * depth * (0.9 + 0.2 * size),
                0.7 * habit.coarse,
                1.9,
                **shared,
            ),
            Stroke(
                "marionette", path, 0.6 * depth, 1.2, 4.2, lean=0.5 * side, trough=True, **shared
            ),
        ]
    return strokes


def _chin(marks: Marks, habit: Habit) -> list[Stroke]:
    """Return the crease between lower lip and chin; the chin's dimples are in `fields`."""
    lip, chin = marks["lower_lip_bottom"], marks["chin"]
    strokes = []
    for k in range(2):
        level, wide, arch, size, *rest = habit.waves(f"chin {k}", CHIN, 8)
        s = np.linspace(-1, 1, 40) * (18.0 + 3.0 * wide - 6.0 * k)
        z = (
            lip[1]
            + (chin[1] - lip[1]) * (0.3 + 0.32 * k)
            + 1.0 * level
            - (0.018 + 0.006 * arch) * s * s
        )
        path = np.stack([s, z + wander(s, np.array(rest), 0.3, 0.06)], 1)
        depth = (
            habit.scaled("chin_depth", 0.35, 1.1)
            * (0.8 + 0.25 * habit.age)
            * (1 - 0.55 * k)
            * (1 + 0.15 * size)
        )
        shared: dict[str, Any] = {
            "threshold": 0.1 + 0.15 * k,
            "rest": 0.2 * habit.permanence,
            "taper": (0.42, 0.42),
        }
        strokes += [
            Stroke("chin", path, 0.75 * depth, 0.75 * habit.coarse, 2.3, **shared),
            Stroke("chin", path, 0.55 * depth, 1.5, 4.2, trough=True, **shared),
        ]
    return strokes


def _lip_lines(marks: Marks, habit: Habit, half: str) -> list[Stroke]:
    """Return the lines that radiate from one lip: uneven in length, depth and distance, so no comb."""
    corner = marks["mouth_corner"]
    above = half == "upper"
    edge = marks["upper_lip_top" if above else "lower_lip_bottom"][1]
    red = marks[f"{half}_lip_centre"][1]
    sign = 1.0 if above else -1.0
    strokes = []
    places = np.linspace(-0.86, 0.86, 15 if above else 11)
    depth = 0.55 * (0.5 + 0.75 * habit.age) * habit.scaled("lip_line_depth", 0.4, 1.6)
    t = np.linspace(0, 1, 18)
    for k, place in enumerate(places):
        where, size, length, bend, start, *rest = habit.waves(f"{half} lip {k}", LIPS, 9)
        u = place + 0.045 * where
        border = red + (edge - red) * (1 - np.abs(u) ** 2.4)
        philtrum = 1.0 - 0.55 * np.exp(-((u / 0.13) ** 2)) if above else 1.0
        # With age they climb from the red towards the nose.
        run = (7.5 if above else 6.0) * (0.85 + 0.45 * habit.age) * (1 + 0.45 * length)
        run *= 1 - 0.25 * u * u
        fan = np.radians(54.0) * u + np.radians(7.0) * bend
        r = -1.6 - 0.8 * start + (run + 1.6) * t
        s = corner[0] * u + r * np.sin(fan) + 0.5 * bend * t * t
        z = border + sign * r * np.cos(fan)
        strong = (0.56 + 0.44 * size) ** 1.8 * philtrum
        strokes.append(
            Stroke(
                f"lips_{half}",
                np.stack([s + wander(r, np.array(rest), 0.1, 0.03), z], 1),
                depth=depth * strong,
                width=0.45 * habit.coarse,
                reach=1.25 + 0.3 * size,
                threshold=0.12 + 0.12 * (1 - strong),
                rest=0.34 * habit.permanence,
                taper=(0.25, 0.6),
                half=half,
            )
        )
    return strokes


def _vermilion(marks: Marks, habit: Habit, half: str) -> list[Stroke]:
    """Return the grooves in the red of one lip, which everybody has at rest."""
    corner = marks["mouth_corner"]
    edge = marks["upper_lip_top" if half == "upper" else "lower_lip_bottom"][1]
    red = marks[f"{half}_lip_centre"][1]
    strokes = []
    for k, place in enumerate(np.linspace(-0.92, 0.92, 30)):
        where, size, bend, start, end = habit.waves(f"{half} red {k}", LIPS, 5)
        u = place + 0.03 * where
        border = red + (edge - red) * (1 - np.abs(u) ** 2.4)
        fan = np.radians(40.0) * u + np.radians(9.0) * bend
        t = np.linspace(0.2 + 0.18 * start, 0.86 + 0.14 * end, 12)
        s = (
            corner[0] * u
            + (border - red) * (t - 0.3) * np.tan(fan)
            + 0.25 * np.sin(5.0 * t + 3.0 * where)
        )
        strokes.append(
            Stroke(
                "vermilion",
                np.stack([s, red + (border - red) * t], 1),
                depth=0.3 * (0.75 + 0.5 * size) * (0.8 + 0.4 * habit.age) * (1 - abs(u) ** 4),
                width=0.38,
                reach=0.85 + 0.2 * bend,
                threshold=0.1,
                rest=0.5,
                taper=(0.4, 0.4),
                half=half,
            )
        )
    return strokes


def _neck(marks: Marks, habit: Habit) -> list[Stroke]:
    """Return the rings of the neck."""
    top = marks["chin"][1] - 18.0
    strokes = []
    for k in range(3):
        level, wide, size, arch, tilt, *rest = habit.waves(f"neck {k}", NECK, 9)
        half = 38.0 + 8.0 * wide
        s = np.linspace(-1, 1, 60) * half + 6.0 * tilt
        z = top - 10.0 * k + 3.0 * level + (0.0045 + 0.0015 * arch) * s * s + 0.03 * tilt * s
        path = np.stack([s, z + wander(s, np.array(rest), 0.6, 0.08)], 1)
        depth = (
            0.65
            * habit.scaled("neck_depth", 0.4, 1.5)
            * (0.4 + 0.7 * habit.age)
            * (0.85 + 0.25 * size)
        )
        shared: dict[str, Any] = {
            "threshold": 0.05,
            "rest": 0.12 + 0.4 * habit.permanence,
            "taper": (0.4, 0.4),
        }
        strokes += [
            Stroke("neck", path, depth, 0.7 * habit.coarse, 2.4, **shared),
            Stroke("neck", path, 0.6 * depth, 1.5, 5.5, trough=True, **shared),
        ]
    return strokes


def _platysma(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    """Return the cords of platysma: ridges that run down the neck."""
    top = marks["chin"][1] - 21.0
    strokes = []
    for k in range(2):
        out, low, size, bow, *rest = habit.sided(f"platysma {k}", NECK, 8, side)
        z = np.linspace(top, top - 42.0 + 6.0 * low, 32)
        s = 11.0 + 15.0 * k + 2.5 * out + 0.12 * (top - z) + 1.5 * bow * np.sin((top - z) / 14.0)
        path = np.stack([side * (s + wander(z, np.array(rest), 0.3, 0.0)), z], 1)
        depth = (
            -0.75
            * habit.scaled("neck_depth", 0.4, 1.4)
            * (0.5 + 0.6 * habit.age)
            * (0.9 + 0.2 * size)
        )
        rest_part = 0.12 * float(smoothstep(0.6, 1.0, habit.age))
        strokes.append(
            Stroke("platysma", path, depth, 1.0, 4.0, 0.12, rest_part, (0.4, 0.4), trough=True)
        )
    return strokes
