"""Brows that follow the voice: raised on accents, at the start of what is said, and in questions.

Brow raises go with accents of the voice and begin a little before them (Flecha-Garcia 2010, Speech
Commun. 52); most come where the pitch rises (Cave et al. 1996, ICSLP), yet few accents bring one.
They are stronger as something new begins, and in questions.
"""

from __future__ import annotations

import numpy as np

from .motion import Drift, Pulses
from .prosody import Moment

_SIZE = (0.10, 0.30)  # weight
_RISES, _STAYS, _FALLS = (0.14, 0.24), (0.0, 0.08), (0.35, 0.8)  # seconds
_BETWEEN = 1.3  # seconds at least between two movements
_ON_ACCENT = 0.33  # probability on the strongest
_AT_FIRST, _IN_QUESTION = 0.4, 0.5  # probability
_UTTERANCE = 0.7  # seconds of silence after which a phrase is a new utterance
_UNEVEN = 0.12  # spread of each side's share
_DRIFT = 0.012  # weight
# Inner brows, left and right outer, left and right lowered; and how often each is the one that moves.
_SHAPES = (
    ((1.0, 0.65, 0.65, 0.0, 0.0), 0.66),
    ((1.0, 0.0, 0.0, 0.0, 0.0), 0.14),
    ((0.3, 1.0, 0.1, 0.0, 0.0), 0.06),
    ((0.3, 0.1, 1.0, 0.0, 0.0), 0.06),
    ((0.0, 0.0, 0.0, 0.6, 0.6), 0.08),
)


class Brows:
    """Brows row by row."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._pulses = Pulses(5)
        self._drift = Drift(rng, _DRIFT)
        self._last = -_BETWEEN

    def step(self, moment: Moment, earliest: float) -> None:
        """Take a row: what is heard, and the earliest time that a movement can begin."""
        rng = self._rng
        new_utterance = moment.pause is not None and moment.pause > _UTTERANCE
        chance, longer, strength = 0.0, 0.0, 0.0
        if new_utterance:
            chance, longer, strength = _AT_FIRST, 0.2, 1.0
        elif moment.rising:
            chance, longer, strength = _IN_QUESTION, 0.4, 1.0
        elif moment.accent:
            chance, longer, strength = _ON_ACCENT * moment.accent, 0.0, moment.accent
        if earliest - self._last < _BETWEEN or rng.random() >= chance:
            return
        kind = rng.choice(len(_SHAPES), p=[share for _, share in _SHAPES])
        low, high = _SIZE
        size = low + (high - low) * strength * float(rng.uniform(0.2, 1.0))
        self._raise(earliest, size, longer, _SHAPES[kind if moment.accent else 0][0])

    def _raise(self, begin: float, size: float, longer: float, shape: tuple[float, ...]) -> None:
        rises, stays, falls = (float(self._rng.uniform(*span)) for span in (_RISES, _STAYS, _FALLS))
        sides = [size * share * float(self._rng.normal(1, _UNEVEN)) for share in shape]
        self._pulses.add(begin, rises, stays + longer, falls, [max(0.0, side) for side in sides])
        self._last = begin

    def at(self, time: float) -> list[float]:
        """Return weights: inner brows, left and right outer brow, left and right lowered."""
        inner, *others = self._pulses.at(time)
        return [inner + _DRIFT + self._drift.at(time), *others]
