"""The lines between the brows: vertical ones, and horizontal ones at the root of the nose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import furrow_shapes as shapes
from ..chart import Marks, smoothstep
from ..furrows import Stroke
from ..habit import Habit
from ..shape import Linear

MOVED_BY = ("glabella_depth", "glabella_layout", "asymmetry")
"""Coefficients that waves of these lines follow."""

SAMPLES, HEAP_SAMPLES, PROCERUS_SAMPLES = 32, 24, 28
"""Points of a path: about one a millimetre."""


class Plan:
    """One middle line, a pair (the "11"), or an outer pair too: shares change smoothly with `glabella_layout`.

    In the trial frown lines of two people were too much alike; this is what makes them differ.
    """

    middle_mm = 1.8
    """Of the single line from the middle of the face, by wave."""
    middle_share = (0.45, 0.05, 0.9)
    """Coefficients at which it begins and is whole, and its share of the depth then."""
    pair_mm = (4.4, 3.0, 1.6)
    """Of each line of the pair from the middle: at coefficient 0, what 1 adds, and by wave."""
    pair_share = (0.0, 0.35)
    """Coefficients at which the pair begins and is whole."""
    outer_mm = 5.8
    """Of the outer lines from the pair: more than twice their reach, so that they stay apart."""
    outer_share = (0.14, 0.3, 0.5, 1.0)
    """Their share of the depth at least, what is added, and the coefficients between which it is."""


class Verticals:
    """How a vertical line runs."""

    low_mm = (-1.0, 4.0)
    """Of the lower end over the nose's root: the middle and the pair's, the outer lines'."""
    low_wave_mm = 2.0
    high_mm = (14.5, 11.0)
    """Of the upper end over the brows' inner ends, likewise."""
    high_wave_mm = (7.5, 2.0)
    """By the line's own wave, and by the person's."""
    part_mm = 2.2
    """By which lines part upwards, times `slant` and `lean`: outwards by habit, never a straight comb."""
    slant = (1.0, 2.4)
    """Of the pair and of the outer lines, which part further."""
    lean = (0.5, 0.5)
    """Of that by nobody's wave, and by the line's own; the person's own counts whole."""
    bend_mm = 1.9
    """Bow of the line by wave."""
    foot_mm = (-1.2, 0.16)
    """By which the lower end turns to the middle, and over which share of the line: along the brow's inner end."""
    outer_brow = (8.0, 0.3)
    """mm from the middle at which the brow's inner end is usual, and the share by which outer lines follow it."""


class Heap:
    """The broad fold beside the lines: corrugator heaps the brows' inner ends up."""

    aside_mm = 0.8
    """Nearer to the middle than the pair."""
    low_mm = 3.0
    """Over the nose's root, and `high_mm` over the brows' inner ends: as long as the pair."""
    high_mm = 15.0
    lean_mm = 1.5
    """By which its upper end lies outwards, by the person's wave."""


class Root:
    """The horizontal lines at the nose's root, which procerus makes."""

    count = 3
    """From the root down."""
    first_mm = 1.0
    """Of the first over the root."""
    spacing_mm = 4.2
    """More than twice their reach."""
    level_mm = 1.6
    """Of each by wave, so that the spacing is uneven."""
    half_mm = Linear(9.5, -1.8)
    """Half the length, by number: the nose narrows downwards."""
    half_wave_mm = 2.0
    arch_per_mm = Linear(0.03, 0.012)
    """Fall of the ends over the distance squared, by wave: the skin wraps the bridge."""
    slope = 0.06
    """By wave, so that they are not level."""
    share = Linear(0.68, -0.2)
    """Of the glabella's depth, by number: the first is the deepest."""


@dataclass(frozen=True)
class _Line:
    """A vertical line: name of its waves, mm from the middle, +1 left, 0 middle, -1 right, share of the depth."""

    key: str
    s: float
    side: int
    share: float
    outer: bool = False


def glabella(marks: Marks, habit: Habit) -> list[Stroke]:
    """Return the glabella's lines and those at the root of the nose."""
    person = habit.waves("glabella", MOVED_BY, 4)
    single, lean, spread, sink = person
    layout = habit["glabella_layout"]
    pair = Plan.pair_mm[0] + Plan.pair_mm[1] * layout + Plan.pair_mm[2] * spread
    depth = shapes.GLABELLA.depth(habit)
    strokes = [
        _vertical(line, marks, habit, depth, lean, sink) for line in _plan(layout, single, pair)
    ]
    strokes += [_heap(marks, habit, depth, side, pair, lean) for side in (-1, 1)]
    return strokes + _root(marks, habit, depth)


def _plan(layout: float, single: float, pair: float) -> list[_Line]:
    """Return which vertical lines a person has."""
    begin, whole, most = Plan.middle_share
    middle = float(smoothstep(begin, whole, layout)) * most
    both = float(smoothstep(*Plan.pair_share, layout))
    least, more, low, high = Plan.outer_share
    outer = least + more * float(smoothstep(low, high, layout))
    far = pair + Plan.outer_mm
    # The names are parts of the seeds of the lines' waves.
    return [
        _Line("middl", Plan.middle_mm * single, 0, middle),
        _Line("left", pair, 1, both),
        _Line("right", -pair, -1, both),
        _Line("outer", far, 1, outer, outer=True),
        _Line("outer", -far, -1, outer, outer=True),
    ]


def _vertical(
    line: _Line, marks: Marks, habit: Habit, depth: float, lean: float, sink: float
) -> Stroke:
    """Return a vertical line; `lean` and `sink` are the person's waves."""
    shape = shapes.GLABELLA_OUTER if line.outer else shapes.GLABELLA
    up, down, size, turn, *rest = habit.sided(f"glabella {line.key}", MOVED_BY, 8, line.side)
    low = (marks["nose_root"][1] + Verticals.low_mm[line.outer]) + Verticals.low_wave_mm * down
    high = marks["brow_inner"][1] + Verticals.high_mm[line.outer]
    high = high + Verticals.high_wave_mm[0] * up + Verticals.high_wave_mm[1] * sink
    t = np.linspace(0, 1, SAMPLES)
    z = low + (high - low) * t
    slant = Verticals.slant[line.outer] if line.side else 0.0
    parting = Verticals.lean[0] + lean + Verticals.lean[1] * turn
    drift = line.side * slant * parting * t * Verticals.part_mm
    bow = Verticals.bend_mm * turn * np.sin(np.pi * t)
    foot = Verticals.foot_mm[0] * np.exp(-t / Verticals.foot_mm[1])
    s = line.s + drift + (line.side or 1) * (bow + foot) + shape.wander(z, rest)
    if line.outer:
        usual, follow = Verticals.outer_brow
        inner = max(float(marks["brow_inner"][0]), usual)
        s = s + line.side * (inner - usual) * follow
    return shape.stroke(
        np.stack([s, z], 1),
        habit,
        depth * line.share * shape.varies(size),
        strength=shape.swell(t, rest[:2]),
    )


def _heap(marks: Marks, habit: Habit, depth: float, side: int, pair: float, lean: float) -> Stroke:
    low = marks["nose_root"][1] + Heap.low_mm
    high = marks["brow_inner"][1] + Heap.high_mm
    z = np.linspace(low, high, HEAP_SAMPLES)
    s = np.full(HEAP_SAMPLES, side * (pair - Heap.aside_mm))
    s = s + side * Heap.lean_mm * lean * np.linspace(0, 1, HEAP_SAMPLES)
    shape = shapes.GLABELLA_HEAP
    return shape.stroke(np.stack([s, z], 1), habit, shape.share * depth, side=side)


def _root(marks: Marks, habit: Habit, depth: float) -> list[Stroke]:
    shape, strokes = shapes.PROCERUS, []
    for k in range(Root.count):
        level, size, slope, arch, *rest = habit.waves(f"procerus {k}", MOVED_BY, 8)
        s = np.linspace(-1, 1, PROCERUS_SAMPLES) * (Root.half_mm(k) + Root.half_wave_mm * slope)
        z = marks["nose_root"][1] + Root.first_mm - Root.spacing_mm * k + Root.level_mm * level
        z = z - Root.arch_per_mm(arch) * s * s + Root.slope * slope * s
        path = np.stack([s, z + shape.wander(s, rest)], 1)
        strokes.append(
            shape.stroke(path, habit, depth * Root.share(k) * shape.varies(size), order=k)
        )
    return strokes
