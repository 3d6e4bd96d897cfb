"""Blinks of somebody who talks: when, how fast, how far.

- Rate: 17 a minute at rest, 26 in conversation (Bentivoglio et al. 1997, Mov. Disord. 12); 19 in
  silence, 25 in speech (Karson et al. 1981, Psychiatry Res. 5). Intervals are log-normal.
- Where: at the ends of phrases and in pauses rather than amid a word (Nakano and Kitazawa 2010,
  Exp. Brain Res. 205); with gaze shifts, the more the larger (Evinger et al. 1994, Exp. Brain Res.
  100: with 97 % of those beyond 33 degrees).
- Shape: closing takes 75 to 120 ms, opening about twice that, fast at first (Evinger et al. 1991,
  Invest. Ophthalmol. Vis. Sci. 32; VanderWerf et al. 2003, J. Neurophysiol. 89). Many are not
  complete (Sforza et al. 2008, Ophthalmic Physiol. Opt. 28: 44 % of young men's are).
"""

from __future__ import annotations

import math

import numpy as np

from .motion import Pulses, least_jerk
from .pitch import STEP
from .prosody import Moment

_PER_MINUTE = {True: 17.0, False: 16.0}  # speaking or not, beside those that phrases and gaze bring
_SPREAD = 0.55  # of the logarithm of an interval
_CLOSES, _OPENS, _SHUT = (0.075, 0.12), (0.15, 0.25), (0.02, 0.05)  # seconds
_PARTIAL, _PARTIAL_CLOSURE = 0.2, (0.5, 0.85)  # share of them, and how far they close
_DOUBLE = 0.06  # share of blinks after which the lids close once more
_AT_PHRASE_END = 0.45  # probability
_WITH_GAZE = (5.0, 33.0)  # degrees from which on shifts bring blinks, and from which on all do
_LEAST = 0.45  # seconds between the beginnings of two blinks


def _opening(share: float) -> float:
    """Return how far lids have opened after a share of the time: fast at first, slow at last."""
    return least_jerk(1 - (1 - min(1.0, max(0.0, share))) ** 1.6)


class Blinks:
    """Lids that blink, row by row.

    Parameters
    ----------
    rate
        Factor on how often, 0 for never.
    fps
        Frames per second of the result. A blink closes the eye on a frame, or it would not show.
    """

    def __init__(self, rng: np.random.Generator, rate: float, fps: float) -> None:
        self._rng = rng
        self._rate = rate
        self._fps = fps
        self._left = float(rng.uniform(0.2, 1.0))  # intervals until the next blink
        self._last = -_LEAST
        self._pulses = Pulses(2, _opening)

    def step(self, moment: Moment, earliest: float, shift: float) -> None:
        """Take a row: what is heard, the earliest time that a blink can begin, and the gaze's shift.

        Parameters
        ----------
        shift
            Degrees by which the gaze begins to turn now, else 0.
        """
        self._left -= self._rate * _PER_MINUTE[moment.speaking] / 60 * STEP
        is_due = self._left <= 0
        begin = earliest
        if moment.phrase is not None:
            is_due |= self._rng.random() < _AT_PHRASE_END * self._rate
            begin += float(self._rng.uniform(0.0, 0.15))
        if shift > _WITH_GAZE[0]:
            share = (shift - _WITH_GAZE[0]) / (_WITH_GAZE[1] - _WITH_GAZE[0])
            is_due |= self._rng.random() < share * self._rate
        if is_due and begin - self._last >= _LEAST:
            self._blink(begin)

    def _blink(self, begin: float) -> None:
        rng = self._rng
        self._left = float(rng.lognormal(-0.5 * _SPREAD**2, _SPREAD))  # 1 in the mean
        whole = rng.random() >= _PARTIAL
        closes, opens, shut = (float(rng.uniform(*span)) for span in (_CLOSES, _OPENS, _SHUT))
        closure = 1.0 if whole else float(rng.uniform(*_PARTIAL_CLOSURE))
        # The lids of both eyes move together; in blinks that are not complete one is ahead.
        sides = [closure * (1.0 if whole else float(rng.uniform(0.9, 1.0))) for _ in range(2)]
        begin = self._on_a_frame(begin, closes + shut / 2)
        self._pulses.add(begin, closes, shut, opens, sides)
        self._last = begin
        if rng.random() < _DOUBLE:
            begin = self._on_a_frame(begin + closes + shut + 0.9 * opens, 0.9 * closes + shut / 2)
            self._pulses.add(begin, 0.9 * closes, shut, opens, [0.9 * side for side in sides])
            self._last = begin

    def _on_a_frame(self, begin: float, to_middle: float) -> float:
        """Return when to begin, at most a frame later, for the lids to be shut on a frame."""
        return math.ceil((begin + to_middle) * self._fps) / self._fps - to_middle

    def at(self, time: float) -> list[float]:
        """Return how far the left and the right eye are closed, 0 to 1."""
        return [min(1.0, side) for side in self._pulses.at(time)]
