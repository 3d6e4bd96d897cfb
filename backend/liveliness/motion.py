"""Movements that people make: smooth ways from one place to another, and pulses there and back.

A limb, a head or a lid that moves freely does so with the least jerk (Flash and Hogan 1985, J.
Neurosci. 5); movements that overlap add up (Flash and Henis 1991, J. Cogn. Neurosci. 3).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import numpy as np

Curve = Callable[[float], float]
"""How far a movement has come, 0 to 1, after a share 0 to 1 of its time."""


def least_jerk(share: float) -> float:
    """Return how far a movement of least jerk has come, 0 to 1, after a share of its time."""
    if share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    return share**3 * (10 - 15 * share + 6 * share**2)


class Path:
    """A place in several dimensions that moves from target to target. Asked for in order of time."""

    def __init__(self, dimensions: int) -> None:
        self._start = [0.0] * dimensions
        self._moves: deque[tuple[float, float, list[float]]] = deque()
        self.target = [0.0] * dimensions

    def move(self, begin: float, duration: float, target: list[float]) -> None:
        """Move to a target from `begin` on, in seconds; what moves already goes on meanwhile."""
        way = [new - old for new, old in zip(target, self.target, strict=True)]
        self._moves.append((begin, duration, way))
        self.target = list(target)

    def at(self, time: float) -> list[float]:
        """Return the place at a time in seconds."""
        while self._moves and sum(self._moves[0][:2]) <= time:
            way = self._moves.popleft()[2]
            self._start = [a + b for a, b in zip(self._start, way, strict=True)]
        place = list(self._start)
        for begin, duration, way in self._moves:
            share = least_jerk((time - begin) / duration)
            place = [a + share * b for a, b in zip(place, way, strict=True)]
        return place


class Pulses:
    """Movements there and back that add up. Asked for in order of time."""

    def __init__(self, dimensions: int, back: Curve = least_jerk) -> None:
        self._dimensions = dimensions
        self._back = back
        self._pulses: list[tuple[float, float, float, float, list[float]]] = []

    def add(self, begin: float, rise: float, hold: float, fall: float, size: list[float]) -> None:
        """Add a pulse that begins at a time, rises, holds and falls, all in seconds."""
        self._pulses.append((begin, rise, hold, fall, size))

    def at(self, time: float) -> list[float]:
        """Return the sum of all pulses at a time in seconds."""
        total = [0.0] * self._dimensions
        ended = False
        for begin, rise, hold, fall, size in self._pulses:
            since = time - begin
            ended = ended or since >= rise + hold + fall
            share = least_jerk(since / rise) - self._back((since - rise - hold) / fall)
            total = [a + share * b for a, b in zip(total, size, strict=True)]
        if ended:
            self._pulses = [p for p in self._pulses if time - p[0] < p[1] + p[2] + p[3]]
        return total


class Follower:
    """A value that follows a row of values smoothly, and can be asked for some rows back.

    Parameters
    ----------
    smoothing
        Seconds by which it lags behind; two equal low passes, so that it starts to move softly.
    step
        Seconds between two rows.
    back
        How many rows back it is asked for.
    """

    def __init__(self, smoothing: float, step: float, back: int) -> None:
        self._share = step / (0.5 * smoothing + step)
        self._half = self._value = 0.0
        self._past: deque[float] = deque([0.0] * (back + 2), maxlen=back + 2)

    def step(self, value: float) -> None:
        """Take the next row."""
        self._half += (value - self._half) * self._share
        self._value += (self._half - self._value) * self._share
        self._past.append(self._value)

    def at(self, earlier: float) -> float:
        """Return the value `back` rows ago and a share 0 to 1 of a row earlier."""
        return self._past[1] + (self._past[0] - self._past[1]) * earlier


class Drift:
    """Slow wandering about zero, about as far as `size` either way: sines of periods that never meet."""

    _PERIODS = (13.7, 7.9, 4.7, 2.9)  # seconds

    def __init__(self, rng: np.random.Generator, size: float) -> None:
        self._size = size
        self._phases = [float(p) for p in rng.uniform(0, 2 * math.pi, len(self._PERIODS))]

    def at(self, time: float) -> float:
        """Return the place at a time in seconds."""
        waves = zip(self._PERIODS, self._phases, strict=True)
        total = sum(math.sin(2 * math.pi * time / period + phase) for period, phase in waves)
        return self._size * total / len(self._PERIODS) ** 0.5
