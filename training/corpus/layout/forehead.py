"""The lines of the forehead: long ones in three overlapping segments, short ones between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import furrow_shapes as shapes
from ..chart import Marks, smoothstep
from ..furrows import Stroke
from ..habit import Habit
from ..shape import Linear, by_skin

MOVED_BY = ("forehead_depth", "forehead_spacing", "forehead_bow", "asymmetry")
"""Coefficients that waves of these lines follow."""

LONG_SAMPLES, SHORT_SAMPLES = 48, 24
"""Points of a segment's and of a short line's path: about one a millimetre."""


class Lines:
    """Where long lines lie."""

    count = 7
    """Levels that are tried; `fade_in_mm` and `fade_out_mm` leave five to seven (trial: 4 to 5)."""
    first_mm = 8.0
    """Of the lowest level over the brow: clear of its hair."""
    spacing_mm = by_skin("forehead_spacing", 6.8, 9.8)
    """Trial: 6.8 to 9.5. Literature: 6 to 12."""
    shift = 0.5
    """Share of the spacing by which a person's wave moves all lines: half of it reaches every height."""
    level_mm = 2.1
    """Of each line by its own wave: uneven spacing, and less than half of the least, so none cross."""
    fade_in_mm = (1.0, 9.0)
    """Heights over the brow between which lines come: none in its hair."""
    fade_out_mm = (2.0, -12.0)
    """Heights from the hairline between which they go: none in the hair of the head."""
    least = 0.02
    """Share of the depth below which a line is left out."""


class Segments:
    """How a long line is broken: one break about every 30 mm (trial)."""

    half_mm = 45.0
    """From the middle to the outer end of the lowest line: about where frontalis ends."""
    narrows_mm = 11.0
    """Less at the hairline: the muscle fans in upwards."""
    end_mm = 9.0
    """Of each outer end by wave."""
    break_mm = 13.0
    """Of both breaks from the middle."""
    break_wave_mm = 9.0
    """Of a break by the mean of two waves, a common one and one that parts or joins the two breaks."""
    overlap_mm = 4.5
    """By which a segment runs past the middle of a break."""
    offset_mm = (0.95, 1.15)
    """Of a segment upwards by wave, and the outer ones' factor on it: neighbours differ by up to 2 mm (trial:
    0.8 to 1.9)."""
    curl_mm = 0.9
    """By which ends turn away from their neighbour, so that overlapping segments do not run as twins."""
    strength = 0.28
    """Share of the depth by which segments of one line differ."""
    outer_taper = (0.42, 0.3)
    """Of an outer segment, at its outer and at its inner end: a line runs out longest at the temple."""


class Bow:
    """How a line departs from the horizontal: it follows the brows below, the skull above."""

    reach_mm = 26.0
    """Height over the brow at which a third of the brows' shape is left."""
    wing_mm = 2.6
    """Rise over the middle of each brow."""
    wing_at_mm = (27.0, 15.0)
    """Where that is, from the middle of the face, and how broad."""
    wing_level = 0.4
    """Share of the rise that is taken off everywhere, so that a line keeps its height in the mean."""
    dip_mm = Linear(0.6, 1.9)
    """How much lower the middle lies, by the coefficient's -1 to 1: from an arch to a dip (trial: up to 2.2)."""
    dip_width_mm = 24.0
    """Half-width of that dip."""
    fall_mm = 3.2
    """Fall at the temples."""
    fall_at_mm = 46.0
    """Distance from the middle at which it is that much; it grows with the cube."""
    tilt = Linear(0.3, 0.7)
    """Of the whole set by `asymmetry`: rise in mm at `tilt_at_mm`, by wave."""
    tilt_at_mm = 26.0


class ShortLines:
    """Where the short lines between two long ones lie, three to a gap."""

    centre_mm = (-26.0, 0.0, 26.0)
    """Under the segments of the long lines."""
    centre_wave_mm = 10.0
    """Of the centre by wave: less than half their distance, so they keep their order."""
    half_mm = Linear(9.0, 4.0)
    """Half their length, by wave: half of a long line's segment."""
    height = Linear(0.5, 0.16)
    """In shares of the spacing over the line below, by wave: near the middle of the gap."""
    bow_lift_mm = 4.0
    """Height over that line at which they take its bow: half a gap."""


@dataclass(frozen=True)
class _Level:
    """One long line: number, height of the brow and height over it in mm, depth in mm, and what all share."""

    number: int
    brow: float
    height: float
    depth: float
    spacing: float
    tilt: float


def forehead(marks: Marks, habit: Habit) -> list[Stroke]:
    """Return the forehead's lines, from the brow up."""
    brow = (marks["brow_inner"][1] + marks["brow_mid"][1]) / 2
    top = marks["hairline"][1] - brow
    spacing = Lines.spacing_mm(habit)
    depth = shapes.FOREHEAD.depth(habit)
    shift, tilt = habit.waves("forehead", MOVED_BY, 2)
    strokes: list[Stroke] = []
    for k in range(Lines.count):
        level, size, reach, middle, sway, order = habit.waves(f"forehead {k}", MOVED_BY, 6)
        height = Lines.first_mm + spacing * (k + Lines.shift * shift) + Lines.level_mm * level
        # Lines fade in and out at hairline and brow as the spacing changes.
        low, high = (top + offset for offset in Lines.fade_out_mm)
        window = float(smoothstep(low, high, height) * smoothstep(*Lines.fade_in_mm, height))
        if window < Lines.least:
            continue
        major = depth * window * shapes.FOREHEAD.varies(size)
        line = _Level(k, brow, height, major, spacing, tilt)
        half = Segments.half_mm - Segments.narrows_mm * (height / top) ** 2
        outer = half + Segments.end_mm * order, half + Segments.end_mm * reach
        strokes += _segments(line, outer, (middle + sway, middle - sway), order, habit)
        strokes += _short_lines(line, habit)
    return strokes


def _segments(
    line: _Level,
    outer: tuple[float, float],
    breaks: tuple[float, float],
    order: float,
    habit: Habit,
) -> list[Stroke]:
    """Return a line's three segments.

    Parameters
    ----------
    outer
        mm from the middle to the right and to the left end.
    breaks
        Waves of the right and the left break: wide, or all but closed.
    order
        Wave: how late the line forms.
    """
    parts = habit.waves(f"forehead breaks {line.number}", MOVED_BY, 12).reshape(3, 4)
    cut = Segments.break_mm * np.array([-1.0, 1.0]) + Segments.break_wave_mm * np.array(breaks) / 2
    over = Segments.overlap_mm
    ends = [(-outer[0], cut[0] + over), (cut[0] - over, cut[1] + over), (cut[1] - over, outer[1])]
    shape, strokes = shapes.FOREHEAD, []
    for j, (low, high) in enumerate(ends):
        s = np.linspace(low, high, LONG_SAMPLES)
        z = line.brow + line.height + _bow(s, line.height, habit, line.tilt)
        offset = Segments.offset_mm[0] * parts[j, 0] * (1.0 if j == 1 else Segments.offset_mm[1])
        curl = Segments.curl_mm * parts[j, 1] * ((s - s.mean()) / (0.5 * (high - low))) ** 3
        waves = habit.waves(f"f{line.number}{j}", MOVED_BY, 4)
        z = z + offset + curl + shape.wander(s, waves)
        swell = shape.swell(np.linspace(0, 1, LONG_SAMPLES), parts[j, 2:])
        strokes.append(
            shape.stroke(
                np.stack([s, z], 1),
                habit,
                line.depth,
                order=order,
                spacing_mm=line.spacing,
                taper=(Segments.outer_taper, None, Segments.outer_taper[::-1])[j],
                strength=(1.0 + Segments.strength * parts[j, 2]) * swell,
            )
        )
    return strokes


def _short_lines(line: _Level, habit: Habit) -> list[Stroke]:
    """Return the short fine lines between a line and the next."""
    shape, strokes = shapes.FOREHEAD_SHORT, []
    values = habit.waves(f"forehead minor {line.number}", MOVED_BY, 12).reshape(3, 4)
    for j, (where, level, size, length) in enumerate(values):
        centre = ShortLines.centre_mm[j] + ShortLines.centre_wave_mm * where
        s = np.linspace(-1, 1, SHORT_SAMPLES) * ShortLines.half_mm(length) + centre
        bow = _bow(s, line.height + ShortLines.bow_lift_mm, habit, line.tilt)
        z = line.brow + line.height + line.spacing * ShortLines.height(level) + bow
        z = z + shape.wander(s, values.ravel()[j : j + 4])
        depth = line.depth * shape.varies(size)
        strokes.append(shape.stroke(np.stack([s, z], 1), habit, depth, spacing_mm=line.spacing))
    return strokes


def _bow(s: np.ndarray, height: float, habit: Habit, tilt: float) -> np.ndarray:
    """Return by how much in mm a line at that height over the brow departs from the horizontal."""
    near = np.exp(-height / Bow.reach_mm)
    bow = habit.scaled("forehead_bow", -1.0, 1.0)
    at, width = Bow.wing_at_mm
    wings = Bow.wing_mm * near * (np.exp(-(((np.abs(s) - at) / width) ** 2)) - Bow.wing_level)
    dip = Bow.dip_mm(bow) * (1.0 - np.exp(-((s / Bow.dip_width_mm) ** 2)))
    fall = -Bow.fall_mm * (np.abs(s) / Bow.fall_at_mm) ** 3
    return wings + dip + fall + tilt * Bow.tilt(habit["asymmetry"]) * s / Bow.tilt_at_mm
