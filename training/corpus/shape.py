"""What a furrow's shape is made of: a row of the table in :mod:`furrow_shapes`, and strokes that have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .chart import smoothstep
from .furrows import Stroke
from .habit import PERMANENT_AGES, Habit

Number = TypeVar("Number", float, np.ndarray)

SLOW = ((11.0, 1.0), (6.1, 0.6))
FAST = ((2.6, 1.0), (1.7, 0.7))
"""Length in mm of one radian and share of the two waves that a line wanders by, slowly (over 40 to
70 mm, a whole line) and fast (over 11 to 16 mm, a hand's tremor). No two lengths are in a whole
ratio, so that no wobble repeats."""

SWELLS = ((9.0, 0.6), (17.0, 0.4))
"""Radians over a line's whole length and share of the waves in which it deepens: about one and a
half and three swells, so that no line is one even stroke of a pen."""


@dataclass(frozen=True)
class Linear:
    """``base + slope x``: x is a number of the line or a wave in [-1, 1]."""

    base: float
    slope: float = 0.0

    def __call__(self, x: Number) -> Number:
        """Return the value at x, a number or an array."""
        return self.base + self.slope * x


@dataclass(frozen=True)
class Trend:
    """``base + slope c``: c in [0, 1] is one of a person's skin coefficients."""

    coefficient: str
    base: float
    slope: float

    def __call__(self, habit: Habit) -> float:
        """Return the value of one person."""
        return self.base + self.slope * habit[self.coefficient]


def by_age(young: float, more: float) -> Trend:
    """Return a trend from `young` at 20 years to `young + more` at 80."""
    return Trend("age", young, more)


def by_skin(coefficient: str, low: float, high: float) -> Trend:
    """Return a trend from `low` at coefficient 0 to `high` at 1."""
    return Trend(coefficient, low, high - low)


@dataclass(frozen=True)
class Shape:
    """The shape of one kind of furrow, or of one part of its section.

    Sections are the trial's (:mod:`furrow_shapes`): a narrow valley, in a trough, between shoulders.

    Attributes
    ----------
    family
        Key of :data:`muscles.MUSCLES`: what folds it.
    depth_mm
        mm at full excitation, before `factors`; negative for a ridge. Parts of another furrow leave
        it out.
    factors
        On the depth, multiplied in this order: by age and by the person's own coefficient.
    share
        Of the furrow's depth that this part of the section has.
    varies
        Factor on the depth by the line's own wave, so that neighbours differ.
    width_mm
        Decay of the narrow valley; troughs have none.
    widens
        Share of its width that a valley gains until 80 years.
    coarsens
        Whether the valley is wider in thick and old skin (:attr:`habit.Habit.coarse`).
    reach_mm
        Half-width of the valley as a whole: its shoulders rise at 1.25 times this distance.
    reach_of_spacing
        The same over the distance to the next line, for lines whose spacing varies.
    reach_varies_mm
        Added to the reach by the line's own wave.
    reach_by
        Factor on the reach: thick skin folds in broader waves.
    threshold
        Activation at which the first line begins to form, 0.05 to 0.45, and how much later each
        next one does: lines that all appear at once look switched on.
    rest
        Part of the depth that is there at rest: in everybody, and what ageing adds.
    rest_ages
        Values of the coefficient `age` between which ageing adds it.
    taper
        Part of the length over which the path's first and last end run out: blunt ends look carved.
    lean
        Where displaced tissue goes, 1 all to the left of a path on the face's left side.
    trough
        A broad fold that adds to what it crosses, without the narrow valley.
    half
        "upper" or "lower" confines the furrow to that side of the mouth.
    uneven
        How much the depth swells and ebbs along a line, as a share of it.
    wander_mm
        How far a line departs from its course, slowly and fast: straight lines look ruled.
    """

    family: str
    depth_mm: float = 1.0
    factors: tuple[Trend, ...] = ()
    share: float = 1.0
    varies: Linear = Linear(1.0)
    width_mm: float = 0.0
    widens: float = 0.0
    coarsens: bool = True
    reach_mm: float = 0.0
    reach_of_spacing: float = 0.0
    reach_varies_mm: float = 0.0
    reach_by: Trend = Trend("thickness", 1.0, 0.0)
    threshold: Linear = Linear(0.1)
    rest: Linear = Linear(0.0)
    rest_ages: tuple[float, float] = PERMANENT_AGES
    taper: tuple[float, float] = (0.3, 0.3)
    lean: float = 0.0
    trough: bool = False
    half: str = ""
    uneven: float = 0.0
    wander_mm: tuple[float, float] = (0.0, 0.0)

    def depth(self, habit: Habit, varied: float = 1.0) -> float:
        """Return the depth in mm at full excitation of a person's furrows of this kind, times `varied`."""
        depth = self.depth_mm * varied
        for factor in self.factors:
            depth = depth * factor(habit)
        return depth

    def wander(self, s: np.ndarray, waves: np.ndarray | list[float]) -> np.ndarray:
        """Return :func:`wander` by this shape's amounts."""
        return wander(s, np.asarray(waves), *self.wander_mm)

    def swell(self, t: np.ndarray, waves: np.ndarray | list[float]) -> np.ndarray:
        """Return a strength of mean 1 along a line, t in [0, 1], that swells and ebbs; waves (2,)."""
        turn = np.pi * np.asarray(waves)
        return 1.0 + self.uneven * _two_waves(SWELLS, [turns * t for turns, _ in SWELLS], turn)

    def stroke(
        self,
        path: np.ndarray,
        habit: Habit,
        depth_mm: float,
        *,
        side: int = 1,
        order: float = 0.0,
        own: float = 0.0,
        spacing_mm: float = 0.0,
        taper: tuple[float, float] | None = None,
        strength: np.ndarray | None = None,
    ) -> Stroke:
        """Return a stroke of this shape.

        Parameters
        ----------
        path
            (n, 2) face coordinates in mm.
        depth_mm
            At full excitation.
        side
            Of the face, +1 left, -1 right: turns the lean over.
        order
            How late it forms: x of `threshold`.
        own
            The line's own wave in [-1, 1], for `reach_varies_mm`.
        spacing_mm
            To the next line, for `reach_of_spacing`.
        taper
            Instead of the shape's own.
        strength
            (n,) factor along the path.
        """
        width = self.width_mm * (1.0 + self.widens * habit.age)
        return Stroke(
            self.family,
            path,
            depth=depth_mm,
            width=width * habit.coarse if self.coarsens else width,
            reach=self.reach_mm * self.reach_by(habit)
            + self.reach_of_spacing * spacing_mm
            + self.reach_varies_mm * own,
            threshold=self.threshold(order),
            rest=self.rest(float(smoothstep(*self.rest_ages, habit.age))),
            taper=taper or self.taper,
            lean=self.lean * side,
            trough=self.trough,
            half=self.half,
            strength=strength,
        )


def wander(s: np.ndarray, waves: np.ndarray, slow_mm: float, fast_mm: float) -> np.ndarray:
    """Return how far in mm a line departs from its course over arc length s in mm; waves (4,) are phases."""
    turn = np.pi * waves
    slow = _two_waves(SLOW, [s / radian_mm for radian_mm, _ in SLOW], turn[:2])
    fast = _two_waves(FAST, [s / radian_mm for radian_mm, _ in FAST], turn[2:])
    return slow_mm * slow + fast_mm * fast


def _two_waves(
    parts: tuple[tuple[float, float], ...], angles: list[np.ndarray], phases: np.ndarray
) -> np.ndarray:
    """Return the sum of two sines, each by its share, the second entry of its part."""
    one, two = (
        share * np.sin(angle + phase)
        for (_, share), angle, phase in zip(parts, angles, phases, strict=True)
    )
    return one + two
