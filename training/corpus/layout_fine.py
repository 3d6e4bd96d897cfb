"""Fine creases between the furrows: a stock of places fixed in the chart, from which each identity has its own.

Major lines make a face's habit; these make it skin. Which of the stock a person has, and how deep,
is a smooth function of the skin coefficients, so near identities have near creases and an
identity's set-up costs nothing. The crosshatch of old skin is part of the stock.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from .chart import Chart, chart, smoothstep
from .furrows import Furrows, Stroke, rasterise
from .habit import Habit
from .layout_upper import Marks, wander
from .strain import strain
from .tension import tension

MEAN_DEPTH = 0.05
"""mm at full excitation on average skin of middle age."""

CROSSHATCH_DEPTH = 0.1
"""mm of the lines that age draws across cheeks, temples and jaw, at 80 years."""

_CROSSHATCH_REST = 0.75
"""Part of a crosshatch line that is there at rest; also what tells these lines from the others."""

_TURNS = 1.1
"""Radians by which a coefficient may move the choice of a crease over its range, r.m.s."""


@functools.lru_cache(maxsize=6)
def fine(head: Any, resolution: int) -> Furrows:
    """Return the stock of fine creases of a head, at depth 1 times their own share."""
    skin = chart(head, resolution)
    rng = np.random.default_rng(20)
    strokes = _forehead(skin, rng) + _eyes(skin, rng) + _cheeks(skin, rng) + _mouth(skin, rng)
    return rasterise(strokes + _crosshatch(skin, rng), skin, strain(head))


def of(furrows: Furrows, habit: Habit) -> Furrows:
    """Return the fine creases with the depths of one identity."""
    age = 0.45 + 1.1 * habit.age
    share = {
        "forehead": habit.scaled("forehead_depth", 0.7, 1.3),
        "crows": 1.3 * habit.scaled("crows_feet_depth", 0.6, 1.5),
        "upper_lid": habit.scaled("under_eye_depth", 0.7, 1.4),
        "under_eye": 1.3 * habit.scaled("under_eye_depth", 0.6, 1.6),
        "cheek": 0.7 * habit.scaled("nasolabial_depth", 0.7, 1.3),
        "bunny": 1.0,
        "lips_upper": habit.scaled("lip_line_depth", 0.6, 1.4),
        "lips_lower": habit.scaled("lip_line_depth", 0.6, 1.4),
    }
    factor = np.array([share[name] for name in furrows.families])[furrows.family]
    # Ageing deepens a person's creases, it does not trade them.
    choice = habit.choice(21, int(furrows.stroke.max()) + 1, _TURNS, 0.0)
    own = 1.9 * smoothstep(-0.35, 0.9, choice)[furrows.stroke]
    aged = furrows.rest > 0
    # Thin skin crosshatches sooner.
    hatch = (
        CROSSHATCH_DEPTH
        * float(smoothstep(0.3, 1.0, habit.age))
        * (1.25 - 0.5 * habit["thickness"])
    )
    depth = np.where(aged, hatch, MEAN_DEPTH * age * factor)
    rest = np.where(aged, furrows.rest, 0.05 + 0.35 * habit.permanence)
    return dataclasses.replace(
        furrows,
        depth=(furrows.depth * own * depth).astype(np.float32),
        rest=rest.astype(np.float32),
    )


def _crease(
    family: str, path: np.ndarray, rng: np.random.Generator, width: float, half: str = ""
) -> Stroke:
    return Stroke(
        family,
        path,
        depth=rng.uniform(0.5, 1.6),
        width=0.26,
        reach=width * rng.uniform(0.8, 1.25),
        threshold=rng.uniform(0.1, 0.4),
        taper=(0.45, 0.45),
        half=half,
    )


def _forehead(skin: Chart, rng: np.random.Generator) -> list[Stroke]:
    marks = skin.marks
    brow = (marks["brow_inner"][1] + marks["brow_mid"][1]) / 2
    top = marks["hairline"][1] - brow
    strokes = []
    for _ in range(170):
        centre, height = rng.uniform(-44, 44), rng.uniform(5, top - 3)
        s = centre + np.linspace(-1, 1, 12) * rng.uniform(2.5, 8.0)
        # Creases lie across frontalis, which fans slightly: a few degrees either way.
        slope = rng.normal(0, 0.1) - 0.05 * centre / 44
        z = brow + height - 3.0 * (np.abs(s) / 46) ** 3 + slope * (s - centre)
        strokes.append(
            _crease(
                "forehead",
                np.stack([s, z + wander(s, rng.uniform(-1, 1, 4), 0.25, 0.05)], 1),
                rng,
                0.75,
            )
        )
    return strokes


def _eyes(skin: Chart, rng: np.random.Generator) -> list[Stroke]:
    inner, outer, lid = (skin.marks[n] for n in ("eye_inner", "eye_outer", "lower_lid"))
    root = skin.marks["nose_root"]
    strokes = []
    for side in (-1, 1):
        for _ in range(46):
            angle = np.radians(rng.uniform(-62, 48))
            r = rng.uniform(5, 19) + np.linspace(0, rng.uniform(5, 11), 10)
            bend = angle + rng.normal(0, 0.05) * np.linspace(0, 1, 10)
            path = np.stack([side * (outer[0] + r * np.cos(bend)), outer[1] + r * np.sin(bend)], 1)
            strokes.append(_crease("crows", path, rng, 0.65))
        for _ in range(54):
            below, centre = rng.uniform(1.5, 15), rng.uniform(0.05, 1.05)
            u = centre + np.linspace(-1, 1, 12) * rng.uniform(0.1, 0.24)
            hang = np.sin(np.pi * u.clip(0, 1))
            z = inner[1] + (outer[1] - inner[1]) * u - (inner[1] - lid[1]) * hang
            # Crêpe below the lid runs along it, tilting down outwards.
            z = z - below * (0.75 + 0.25 * hang) - 2.2 * (u - centre) * rng.uniform(0.2, 1.6)
            s = inner[0] + (outer[0] - inner[0]) * u
            strokes.append(_crease("under_eye", np.stack([side * s, z], 1), rng, 0.6))
        for _ in range(18):
            s0, z0 = rng.uniform(2.5, 9.5), root[1] - rng.uniform(4, 24)
            s = s0 + np.linspace(-1, 1, 8) * rng.uniform(1.5, 3.2)
            path = np.stack([side * s, z0 + (0.25 + rng.normal(0, 0.12)) * (s - s0)], 1)
            strokes.append(_crease("bunny", path, rng, 0.65))
    return strokes


def _cheeks(skin: Chart, rng: np.random.Generator) -> list[Stroke]:
    corner, wing = skin.marks["mouth_corner"], skin.marks["nose_ala"]
    strokes = []
    for side in (-1, 1):
        for _ in range(34):
            s0 = corner[0] + rng.uniform(10, 40)
            z0 = rng.uniform(corner[1] - 14, wing[1] + 8)
            z = z0 + np.linspace(-1, 1, 12) * rng.uniform(3.0, 7.5)
            middle = corner[1] + 10.0
            # Crescents: convex outwards around the corner of the mouth.
            s = (
                s0
                - 0.012 * ((z - middle) ** 2 - (z0 - middle) ** 2)
                + rng.normal(0, 0.16) * (z - z0)
            )
            path = np.stack([side * (s + wander(z, rng.uniform(-1, 1, 4), 0.2, 0.04)), z], 1)
            strokes.append(_crease("cheek", path, rng, 0.75))
    return strokes


def _mouth(skin: Chart, rng: np.random.Generator) -> list[Stroke]:
    strokes = []
    for half, edge, sign, count in (
        ("upper", "upper_lip_top", 1.0, 30),
        ("lower", "lower_lip_bottom", -1.0, 24),
    ):
        strokes += [_lip_crease(skin.marks, rng, half, edge, sign) for _ in range(count)]
    return strokes


def _lip_crease(
    marks: Marks, rng: np.random.Generator, half: str, edge: str, sign: float
) -> Stroke:
    corner, red = marks["mouth_corner"], marks[f"{half}_lip_centre"][1]
    u = rng.uniform(-1.05, 1.05)
    border = red + (marks[edge][1] - red) * max(1 - abs(u) ** 2.4, 0.0)
    r = rng.uniform(0.5, 5.5) + np.linspace(0, rng.uniform(2.0, 4.0), 8)
    fan = np.radians(56.0) * u + rng.normal(0, 0.08)
    path = np.stack([corner[0] * u + r * np.sin(fan), border + sign * r * np.cos(fan)], 1)
    return _crease(f"lips_{half}", path, rng, 0.6, half)


def _crosshatch(skin: Chart, rng: np.random.Generator) -> list[Stroke]:
    """Return the lines of old skin on temples, cheeks and jaw: along the tension lines, and across at a slant."""
    eye, chin = skin.marks["eye_outer"], skin.marks["chin"]
    strokes = []
    low, high = chin[1] - 10, eye[1] + 18
    for side in (-1, 1):
        for slant, spacing, length, deep in ((0.0, 6.5, (14, 34), 1.0), (0.95, 9.0, (7, 17), 0.55)):
            grid = np.meshgrid(np.arange(28, 98, spacing), np.arange(low, high, 1.3 * spacing))
            for place in np.stack([axis.ravel() for axis in grid], 1):
                place = place + rng.uniform(-0.5, 0.5, 2) * spacing
                # Eyes, nose and the red of the lips have creases of their own.
                if np.hypot(place[0] - 0.62 * eye[0], (place[1] - eye[1]) * 1.1) < 25.0:
                    continue
                turn = slant * rng.choice((1, -0.8)) + rng.normal(0, 0.13)
                path = _along_tension(place, turn, rng.uniform(*length), skin.marks)
                bend = wander(path.sum(1), rng.uniform(-1, 1, 4), 0.55, 0.07)
                path = path * (side, 1) + bend[:, None] * (0.6, 0.6)
                family = "crows" if place[1] > eye[1] - 12 else "cheek"
                stroke = _crease(family, path, rng, 1.15)
                strokes.append(
                    dataclasses.replace(
                        stroke, depth=deep * stroke.depth, width=0.42, rest=_CROSSHATCH_REST
                    )
                )
    return strokes


def _along_tension(start: np.ndarray, slant: float, length: float, marks: Marks) -> np.ndarray:
    """Return a path (14, 2) of mm from a place on, at an angle to the lines of tension."""
    points = [start]
    for _ in range(13):
        angle = tension(points[-1][None], marks)[0] + slant
        direction = np.array([np.cos(angle), np.sin(angle)])
        if len(points) > 1 and direction @ (points[-1] - points[-2]) < 0:
            direction = -direction  # tension lines have no sense
        points.append(points[-1] + length / 13 * direction)
    return np.stack(points)
