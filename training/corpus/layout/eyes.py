"""The lines around the eyes: crow's feet, the upper lid's crease, lines below the lower lid, the tear trough."""

from __future__ import annotations

import numpy as np

from .. import furrow_shapes as shapes
from ..chart import Marks, smoothstep
from ..furrows import Stroke
from ..habit import Habit
from ..shape import Linear, by_age, by_skin

FAN_MOVED_BY = ("crows_feet_depth", "crows_feet_spread", "asymmetry")
LIDS_MOVED_BY = ("under_eye_depth", "thickness", "asymmetry")
"""Coefficients that waves of these lines follow."""

FAN_SAMPLES, UPPER_SAMPLES, UNDER_SAMPLES, TROUGH_SAMPLES = 28, 32, 36, 30
"""Points of a path: about one a millimetre."""


class Fan:
    """Crow's feet: rays from the eye's outer corner, which age carries to temple and cheek."""

    count = 8
    """Trial: 4 to 6; more here, the outer ones later and shorter."""
    middle = 3.2
    """Number of the ray that is the strongest: about level."""
    angle_deg = Linear(52.0, -17.5)
    """Upwards from outwards, by number: the whole outer half of the eye."""
    spread = by_skin("crows_feet_spread", 0.78, 1.2)
    """Factor on the angles."""
    angle_wave_deg = 8.0
    """About half the angle between two rays: they hardly cross."""
    start_mm = (4.5, 2.2, 0.7)
    """From the corner: clear of the lids; by wave; and for each ray off the middle."""
    run_mm = by_age(15.0, 9.0)
    """Length of a ray."""
    run_wave = 0.38
    """Share of the length by wave."""
    shorter_mm = 1.2
    """For each ray off the middle."""
    above_mm = 0.5
    """Of the fan's origin over the corner: the lids meet above it."""
    opens = 0.1
    """Share of its angle by which a ray turns away from the middle along its length."""
    bend_deg = 8.0
    """By wave, about a point at `bend_at` of the length."""
    bend_at = 0.3
    sag = 0.06
    """Radians by which every ray turns down along its length: skin hangs."""
    sweep_deg = 8.0
    """More for the rays below the corner, which sweep down the cheek; whole at the last of them."""
    sweep_from = (3.5, 4.0)
    """Number of the ray at which that begins, and over how many rays it grows."""
    weaker = 0.08
    """Share of the depth for each ray off the middle."""


class Branch:
    """A fine line that leaves each ray."""

    at = 10
    """Sample of the ray where it leaves, of FAN_SAMPLES: a third of the way out."""
    angle_deg = Linear(13.0, 7.0)
    """From the ray, by the ray's bend."""
    side_at = (-0.2, 4.0)
    """Wave of the ray's angle above which it leaves upwards, and how sharply: it folds shut in between, so
    that it never jumps."""


class UpperLid:
    """The crease, which everybody has, and finer lines between it and the brow. u runs along the lid, 0 to 1."""

    count = 4
    begin = -0.02
    """u of the crease's inner end: just inside the corner."""
    begin_wave = 0.1
    """Of the finer lines' ends by wave."""
    length = Linear(1.12, 0.08)
    """In u, by wave: beyond the outer corner."""
    arch_power = 0.8
    """Of a sine: lids rise faster at their ends than a sine does."""
    first_mm = 1.6
    """Of the crease over the lid's edge."""
    spacing_mm = 2.1
    level_mm = 0.5
    """By wave; a quarter of the spacing, so that they do not meet."""
    at_ends = Linear(0.55, 0.45)
    """Factor on the heights by the arch: lines come together at the corners."""
    hood_mm = 1.5
    """By which age brings the lid's hood down over its outer third, `hood_from`."""
    hood_from = (0.6, 1.1)
    fine_by_age = by_age(0.3, 0.4)
    """Depth of the finer lines over the crease's."""


class UnderEye:
    """Lines along the lower lid's edge, downwards. u runs along the lid, 0 to 1."""

    count = 5
    first_mm = 2.6
    """Of the first below the edge: under the lashes."""
    spacing_mm = 2.3
    """Twice their reach, so that their shoulders meet."""
    level_mm = 0.7
    """By wave; a third of the spacing, so that they do not cross."""
    begin = Linear(0.04, 0.09)
    """u of the inner end, by number, and by wave `begin_wave`: lower lines begin further out."""
    begin_wave = 0.08
    end = Linear(0.8, 0.05)
    """u of the outer end, likewise."""
    end_wave = 0.12
    arch_power = 0.8
    """As the upper lid's."""
    at_ends = Linear(0.75, 0.25)
    """Factor on the distances by a sine along the lid: lines come together at the corners."""
    sink_mm = (1.2, 0.7)
    """By which lower lines hang at their inner end, towards the nose, for each line: product of the two."""
    weaker = Linear(1.0, -0.1)
    """Factor on the depth by number."""


class TearTrough:
    """The trough from the inner corner down and outwards, below the bag of the lid."""

    begin_mm = (-1.0, -6.0)
    """Of the inner end from the eye's inner corner: (s, z)."""
    along = (0.02, 0.72)
    """u of both ends along the lid."""
    fall_mm = 8.0
    """By a quarter of a sine."""
    rise_mm = 1.0
    """Over the whole lid, so that it does not run straight into the cheek."""


def crows_feet(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    """Return the fan beyond the outer corner of one eye, each ray with its branch."""
    spread, depth = Fan.spread(habit), shapes.CROWS_FEET.depth(habit)
    strokes = []
    for k in range(Fan.count):
        turn, length, size, bend, gap, *rest = habit.sided(f"crows {k}", FAN_MOVED_BY, 9, side)
        off = abs(k - Fan.middle)
        angle = np.radians(spread * Fan.angle_deg(k) + Fan.angle_wave_deg * turn)
        start = Fan.start_mm[0] + Fan.start_mm[1] * gap + Fan.start_mm[2] * off
        run = Fan.run_mm(habit) * (1 + Fan.run_wave * length) - Fan.shorter_mm * off
        t = np.linspace(0, 1, FAN_SAMPLES)
        r = start + run * t
        a = angle * (1 + Fan.opens * t) + np.radians(Fan.bend_deg * bend) * (t - Fan.bend_at)
        first, over = Fan.sweep_from
        sweep = np.radians(Fan.sweep_deg) * max(k - first, 0.0) / over
        a = a - (Fan.sag + sweep) * t * t
        wave = shapes.CROWS_FEET.wander(r, rest)
        s = marks["eye_outer"][0] + r * np.cos(a) - wave * np.sin(angle)
        z = marks["eye_outer"][1] + Fan.above_mm + r * np.sin(a) + wave * np.cos(angle)
        major = depth * shapes.CROWS_FEET.varies(size) * (1.0 - Fan.weaker * off)
        strokes.append(
            shapes.CROWS_FEET.stroke(
                np.stack([side * s, z], 1),
                habit,
                major,
                order=off,
                strength=shapes.CROWS_FEET.swell(t, rest[:2]),
            )
        )
        path = _branch(s, z, r, a, turn, bend)
        strokes.append(
            shapes.CROWS_FEET_BRANCH.stroke(
                np.stack([side * path[0], path[1]], 1),
                habit,
                major * shapes.CROWS_FEET_BRANCH.varies(bend),
            )
        )
    return strokes


def _branch(
    s: np.ndarray, z: np.ndarray, r: np.ndarray, a: np.ndarray, turn: float, bend: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the branch (s, z) of a ray at (s, z), at distances r and angles a from the corner."""
    at, (side, sharp) = Branch.at, Branch.side_at
    fork = np.radians(Branch.angle_deg(bend)) * (1 if turn > side else -1)
    fork = fork * min(abs(turn - side) * sharp, 1)
    b = r[at:] - r[at]
    return s[at] + b * np.cos(a[at:] + fork), z[at] + b * np.sin(a[at:] + fork)


def upper_lid(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    """Return the crease of one upper lid and the finer lines over it."""
    inner, outer, lid = marks["eye_inner"], marks["eye_outer"], marks["upper_lid"]
    depth = shapes.UPPER_LID.depth(habit)
    strokes = []
    t = np.linspace(0, 1, UPPER_SAMPLES)
    for k in range(UpperLid.count):
        level, size, left, right, *rest = habit.sided(f"upper lid {k}", LIDS_MOVED_BY, 8, side)
        shape = shapes.UPPER_LID_FINE if k else shapes.UPPER_LID
        u = UpperLid.begin + UpperLid.begin_wave * left * min(k, 1) + UpperLid.length(right) * t
        s = inner[0] + (outer[0] - inner[0]) * u
        arch = np.sin(np.pi * u.clip(0, 1)) ** UpperLid.arch_power
        above = UpperLid.first_mm + UpperLid.spacing_mm * k + UpperLid.level_mm * level
        hood = UpperLid.hood_mm * habit.age * smoothstep(*UpperLid.hood_from, u)
        z = inner[1] + (outer[1] - inner[1]) * u + (lid[1] - inner[1]) * arch
        z = z + above * UpperLid.at_ends(arch) - hood + shape.wander(s, rest)
        share = UpperLid.fine_by_age(habit) * shape.varies(size) if k else 1.0
        strokes.append(
            shape.stroke(
                np.stack([side * s, z], 1),
                habit,
                depth * share,
                order=k,
                strength=shape.swell(t, rest[:2]),
            )
        )
    return strokes


def under_eye(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    """Return the lines below one lower lid and the tear trough."""
    inner, outer, lid = marks["eye_inner"], marks["eye_outer"], marks["lower_lid"]
    shape, strokes = shapes.UNDER_EYE, []
    depth = shape.depth(habit)
    t = np.linspace(0, 1, UNDER_SAMPLES)
    for k in range(UnderEye.count):
        level, size, left, right, *rest = habit.sided(f"under eye {k}", LIDS_MOVED_BY, 8, side)
        below = UnderEye.first_mm + UnderEye.spacing_mm * k + UnderEye.level_mm * level
        low = UnderEye.begin(k) + UnderEye.begin_wave * left
        high = UnderEye.end(k) + UnderEye.end_wave * right
        u = low + (high - low) * t
        s = inner[0] + (outer[0] - inner[0]) * u
        arch = np.sin(np.pi * u.clip(0, 1))
        edge = (
            inner[1] + (outer[1] - inner[1]) * u - (inner[1] - lid[1]) * arch**UnderEye.arch_power
        )
        sink = UnderEye.sink_mm[0] * k * (1 - u) * UnderEye.sink_mm[1]
        z = edge - below * UnderEye.at_ends(arch) - sink
        z = z + shape.wander(s, rest)
        strokes.append(
            shape.stroke(
                np.stack([side * s, z], 1),
                habit,
                depth * shape.varies(size) * UnderEye.weaker(k),
                order=k,
                strength=shape.swell(t, rest[:2]),
            )
        )
    return [*strokes, _tear_trough(inner, outer, habit, side)]


def _tear_trough(inner: np.ndarray, outer: np.ndarray, habit: Habit, side: int) -> Stroke:
    u = np.linspace(*TearTrough.along, TROUGH_SAMPLES)
    s = inner[0] + TearTrough.begin_mm[0] + (outer[0] - inner[0]) * u
    fall = TearTrough.fall_mm * np.sin(0.5 * np.pi * (u / TearTrough.along[1]))
    z = inner[1] + TearTrough.begin_mm[1] - fall + TearTrough.rise_mm * u
    shape = shapes.TEAR_TROUGH
    return shape.stroke(np.stack([side * s, z], 1), habit, shape.depth(habit), side=side)
