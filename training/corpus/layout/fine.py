"""Fine creases between the furrows: a stock of places fixed in the chart, from which each identity has its own.

Major lines make a face's habit; these make it skin. Which of the stock a person has, and how deep,
is a smooth function of the skin coefficients, so near identities have near creases and an
identity's set-up costs nothing. The crosshatch of old skin is part of the stock.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..chart import Chart, Marks, chart, smoothstep
from ..furrows import Furrows, Stroke, rasterise
from ..habit import Habit
from ..shape import Trend, by_age, by_skin, wander
from ..strain import strain
from ..tension import tension
from .mouth import BORDER_POWER, lip

Span = tuple[float, float]
"""Numbers between which one is drawn, evenly."""


class Stock:
    """What creases have in common, and how much of the stock a person has."""

    seed = 20
    """Of the places. Another one is another stock: networks would have to learn it anew."""
    choice_seed = 21
    """Of who has which."""
    depth_mm = 0.05
    """At full excitation on average skin of middle age: a tenth of the forehead's lines."""
    deepens = by_age(0.45, 1.1)
    """Factor on that."""
    rest = (0.05, 0.35)
    """Part of the depth at rest: in everybody, and what ageing adds."""
    share = (0.5, 1.6)
    """Of the depth, by crease: uneven, as skin is."""
    width_mm = 0.26
    """A texel at 1024: finer ones would not be seen."""
    reach = (0.8, 1.25)
    """Factor on the reach of a region's creases."""
    threshold = (0.1, 0.4)
    taper = (0.45, 0.45)
    """Creases run out over their whole length: they have no ends to be seen."""
    turns = 1.1
    """Radians by which a coefficient may move the choice of a crease over its range, r.m.s."""
    has = (-0.35, 0.9, 1.9)
    """Waves at which a person begins to have a crease and has it whole, and its factor on the depth then."""


class Hatch:
    """The crosshatch of old skin on temples, cheeks and jaw."""

    depth_mm = 0.1
    """At 80 years."""
    ages = (0.3, 1.0)
    """Values of the coefficient `age` between which it comes: from 38 years on."""
    thin = Trend("thickness", 1.25, -0.5)
    """Factor on the depth: thin skin crosshatches sooner."""
    rest = 0.75
    """Part of the depth at rest; also by what these lines are recognised."""
    width_mm = 0.42
    reach_mm = 1.15
    area_s_mm = (28.0, 98.0)
    """Outside the nose, as far as the chart is good."""
    area_z_mm = (-10.0, 18.0)
    """From the chin's height to the eye's, with these added."""
    rows = 1.3
    """Distance of rows over that of columns: lines are longer than wide."""
    scatter = (-0.5, 0.5)
    """In spacings, so that no grid is seen."""
    eye = (0.62, 1.1, 25.0)
    """The eye's middle over its outer corner's s, the eye's height over its width, and the distance in mm that is kept
    clear: eyes have creases of their own."""
    turn_rad = 0.13
    """Standard deviation of a line's angle to the lines of tension."""
    wander_mm = (0.55, 0.07)
    slant = 0.6
    """Of the wander along s and along z, since lines run at any angle."""
    above_mm = 12.0
    """Below the eye down to which these lines fold with the crow's feet, not with the cheek."""


@dataclass(frozen=True)
class Set:
    """One of the two sets of the crosshatch: along the tension lines, or across them at a slant."""

    slant_rad: float
    """To the lines of tension."""
    spacing_mm: float
    length_mm: Span
    share: float
    """Of the depth."""


@dataclass(frozen=True)
class Region:
    """Creases of one region, on each side where there are two."""

    count: int
    reach_mm: float
    length_mm: Span
    """From end to end, or half of it where a text says so."""


SETS = (Set(0.0, 6.5, (14, 34), 1.0), Set(0.95, 9.0, (7, 17), 0.55))
"""The lines along the tension are the longer, denser and deeper ones; those across give old skin its lozenges."""

FOREHEAD = Region(170, 0.75, (2.5, 8.0))
"""Half the length. One to 25 square millimetres."""
CROWS = Region(46, 0.65, (5, 11))
UNDER_EYE = Region(54, 0.6, (0.1, 0.24))
"""Half the length, in widths of the eye."""
BUNNY = Region(18, 0.65, (1.5, 3.2))
"""Half the length."""
CHEEK = Region(34, 0.75, (3.0, 7.5))
"""Half the length."""
LIPS_UPPER, LIPS_LOWER = Region(30, 0.6, (2.0, 4.0)), Region(24, 0.6, (2.0, 4.0))

FOLDED: dict[str, tuple[float, Trend]] = {
    "forehead": (1.0, by_skin("forehead_depth", 0.7, 1.3)),
    "crows": (1.3, by_skin("crows_feet_depth", 0.6, 1.5)),
    "upper_lid": (1.0, by_skin("under_eye_depth", 0.7, 1.4)),
    "under_eye": (1.3, by_skin("under_eye_depth", 0.6, 1.6)),
    "cheek": (0.7, by_skin("nasolabial_depth", 0.7, 1.3)),
    "bunny": (1.0, by_age(1.0, 0.0)),
    "lips_upper": (1.0, by_skin("lip_line_depth", 0.6, 1.4)),
    "lips_lower": (1.0, by_skin("lip_line_depth", 0.6, 1.4)),
}
"""Factors on the depth by family: a person's fine creases follow their long lines, less strongly. Thin skin around the
eyes creases more, the fat cheek less."""


@functools.lru_cache(maxsize=6)
def fine(head: Any, resolution: int) -> Furrows:
    """Return the stock of fine creases of a head, at depth 1 times their own share."""
    skin = chart(head, resolution)
    rng = np.random.default_rng(Stock.seed)
    # The order of the regions is that of the random numbers.
    strokes = [_forehead(skin.marks, rng) for _ in range(FOREHEAD.count)]
    for side in (-1, 1):
        strokes += [_crows(skin.marks, rng, side) for _ in range(CROWS.count)]
        strokes += [_under_eye(skin.marks, rng, side) for _ in range(UNDER_EYE.count)]
        strokes += [_bunny(skin.marks, rng, side) for _ in range(BUNNY.count)]
    for side in (-1, 1):
        strokes += [_cheek(skin.marks, rng, side) for _ in range(CHEEK.count)]
    for half, region in (("upper", LIPS_UPPER), ("lower", LIPS_LOWER)):
        strokes += [_lip(skin.marks, rng, half, region) for _ in range(region.count)]
    for side in (-1, 1):
        strokes += [line for lines in SETS for line in _crosshatch(skin, rng, side, lines)]
    return rasterise(strokes, skin, strain(head))


def of(furrows: Furrows, habit: Habit) -> Furrows:
    """Return the fine creases with the depths of one identity."""
    share = {name: factor * trend(habit) for name, (factor, trend) in FOLDED.items()}
    factor = np.array([share[name] for name in furrows.families])[furrows.family]
    # Ageing deepens a person's creases, it does not trade them.
    count = int(furrows.stroke.max()) + 1
    choice = habit.choice(Stock.choice_seed, count, Stock.turns, 0.0)
    begin, whole, most = Stock.has
    own = most * smoothstep(begin, whole, choice)[furrows.stroke]
    hatched = furrows.rest > 0
    hatch = Hatch.depth_mm * float(smoothstep(*Hatch.ages, habit.age)) * Hatch.thin(habit)
    depth = np.where(hatched, hatch, Stock.depth_mm * Stock.deepens(habit) * factor)
    everybody, ageing = Stock.rest
    rest = np.where(hatched, furrows.rest, everybody + ageing * habit.permanence)
    return dataclasses.replace(
        furrows,
        depth=(furrows.depth * own * depth).astype(np.float32),
        rest=rest.astype(np.float32),
    )


def _crease(
    family: str, path: np.ndarray, rng: np.random.Generator, reach_mm: float, half: str = ""
) -> Stroke:
    return Stroke(
        family,
        path,
        depth=rng.uniform(*Stock.share),
        width=Stock.width_mm,
        reach=reach_mm * rng.uniform(*Stock.reach),
        threshold=rng.uniform(*Stock.threshold),
        taper=Stock.taper,
        half=half,
    )


def _forehead(marks: Marks, rng: np.random.Generator) -> Stroke:
    """Across frontalis, which fans slightly: a few degrees either way."""
    brow = (marks["brow_inner"][1] + marks["brow_mid"][1]) / 2
    centre = rng.uniform(-44, 44)
    height = rng.uniform(5, marks["hairline"][1] - brow - 3)
    s = centre + np.linspace(-1, 1, 12) * rng.uniform(*FOREHEAD.length_mm)
    slope = rng.normal(0, 0.1) - 0.05 * centre / 44
    z = brow + height - 3.0 * (np.abs(s) / 46) ** 3 + slope * (s - centre)
    path = np.stack([s, z + wander(s, rng.uniform(-1, 1, 4), 0.25, 0.05)], 1)
    return _crease("forehead", path, rng, FOREHEAD.reach_mm)


def _crows(marks: Marks, rng: np.random.Generator, side: int) -> Stroke:
    """Rays from the eye's outer corner, between and beyond the long ones."""
    outer = marks["eye_outer"]
    angle = np.radians(rng.uniform(-62, 48))
    r = rng.uniform(5, 19) + np.linspace(0, rng.uniform(*CROWS.length_mm), 10)
    bend = angle + rng.normal(0, 0.05) * np.linspace(0, 1, 10)
    path = np.stack([side * (outer[0] + r * np.cos(bend)), outer[1] + r * np.sin(bend)], 1)
    return _crease("crows", path, rng, CROWS.reach_mm)


def _under_eye(marks: Marks, rng: np.random.Generator, side: int) -> Stroke:
    """Crêpe below the lid, along it, tilting down outwards. u runs along the lid, 0 to 1."""
    inner, outer, lid = (marks[name] for name in ("eye_inner", "eye_outer", "lower_lid"))
    below, centre = rng.uniform(1.5, 15), rng.uniform(0.05, 1.05)
    u = centre + np.linspace(-1, 1, 12) * rng.uniform(*UNDER_EYE.length_mm)
    hang = np.sin(np.pi * u.clip(0, 1))
    z = inner[1] + (outer[1] - inner[1]) * u - (inner[1] - lid[1]) * hang
    z = z - below * (0.75 + 0.25 * hang) - 2.2 * (u - centre) * rng.uniform(0.2, 1.6)
    s = inner[0] + (outer[0] - inner[0]) * u
    return _crease("under_eye", np.stack([side * s, z], 1), rng, UNDER_EYE.reach_mm)


def _bunny(marks: Marks, rng: np.random.Generator, side: int) -> Stroke:
    """On the side of the nose, rising outwards as the long lines do."""
    s0, z0 = rng.uniform(2.5, 9.5), marks["nose_root"][1] - rng.uniform(4, 24)
    s = s0 + np.linspace(-1, 1, 8) * rng.uniform(*BUNNY.length_mm)
    path = np.stack([side * s, z0 + (0.25 + rng.normal(0, 0.12)) * (s - s0)], 1)
    return _crease("bunny", path, rng, BUNNY.reach_mm)


def _cheek(marks: Marks, rng: np.random.Generator, side: int) -> Stroke:
    """Crescents, convex outwards around the corner of the mouth."""
    corner, wing = marks["mouth_corner"], marks["nose_ala"]
    s0 = corner[0] + rng.uniform(10, 40)
    z0 = rng.uniform(corner[1] - 14, wing[1] + 8)
    z = z0 + np.linspace(-1, 1, 12) * rng.uniform(*CHEEK.length_mm)
    middle = corner[1] + 10.0
    bow = 0.012 * ((z - middle) ** 2 - (z0 - middle) ** 2)
    s = s0 - bow + rng.normal(0, 0.16) * (z - z0)
    path = np.stack([side * (s + wander(z, rng.uniform(-1, 1, 4), 0.2, 0.04)), z], 1)
    return _crease("cheek", path, rng, CHEEK.reach_mm)


def _lip(marks: Marks, rng: np.random.Generator, half: str, region: Region) -> Stroke:
    """Radial lines outside the red of a lip, "upper" or "lower", slanting as the long ones do."""
    corner, red, border = lip(marks, half)
    sign = 1.0 if half == "upper" else -1.0
    u = rng.uniform(-1.05, 1.05)
    edge = red + (border - red) * max(1 - abs(u) ** BORDER_POWER, 0.0)
    r = rng.uniform(0.5, 5.5) + np.linspace(0, rng.uniform(*region.length_mm), 8)
    fan = np.radians(56.0) * u + rng.normal(0, 0.08)
    path = np.stack([corner * u + r * np.sin(fan), edge + sign * r * np.cos(fan)], 1)
    return _crease(f"lips_{half}", path, rng, region.reach_mm, half)


def _crosshatch(skin: Chart, rng: np.random.Generator, side: int, lines: Set) -> list[Stroke]:
    """Return one set of the lines of old skin on temple, cheek and jaw of one side."""
    eye, chin, strokes = skin.marks["eye_outer"], skin.marks["chin"], []
    below, above = Hatch.area_z_mm
    columns = np.arange(*Hatch.area_s_mm, lines.spacing_mm)
    rows = np.arange(chin[1] + below, eye[1] + above, Hatch.rows * lines.spacing_mm)
    middle, height, clear_mm = Hatch.eye
    for place in np.stack([axis.ravel() for axis in np.meshgrid(columns, rows)], 1):
        place = place + rng.uniform(*Hatch.scatter, 2) * lines.spacing_mm
        if np.hypot(place[0] - middle * eye[0], (place[1] - eye[1]) * height) < clear_mm:
            continue
        # Across, lines slant both ways.
        turn = lines.slant_rad * rng.choice((1, -0.8)) + rng.normal(0, Hatch.turn_rad)
        path = _along_tension(place, turn, rng.uniform(*lines.length_mm), skin.marks)
        bend = wander(path.sum(1), rng.uniform(-1, 1, 4), *Hatch.wander_mm)
        path = path * (side, 1) + bend[:, None] * (Hatch.slant, Hatch.slant)
        family = "crows" if place[1] > eye[1] - Hatch.above_mm else "cheek"
        stroke = _crease(family, path, rng, Hatch.reach_mm)
        depth = lines.share * stroke.depth
        strokes.append(
            dataclasses.replace(stroke, depth=depth, width=Hatch.width_mm, rest=Hatch.rest)
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
