"""How a head moves while its owner speaks and breathes.

- Heads move all the time in speech and come to rest in pauses (Hadar et al. 1983, Lang. Speech 26);
  the movement follows pitch and loudness (Munhall et al. 2004, Psychol. Sci. 15) and nods on accents
  (Graf et al. 2002, "Visual prosody", Automatic Face and Gesture Recognition).
- The head takes part in turns of the gaze, with a share that grows with their size (Freedman and
  Sparks 1997, J. Neurophysiol. 77).
- Speech is breathed in groups of about 3.5 s (Rochet-Capellan and Fuchs 2013, Interspeech), with a
  quick breath in at the end of a phrase, deeper before more speech (Winkworth et al. 1995, J. Speech
  Hear. Res. 38); at rest people breathe 12 to 18 times a minute, out longer than in.

Angles are degrees: yaw to the character's left, pitch up, roll towards the character's left shoulder.
"""

from __future__ import annotations

import numpy as np

from .motion import Drift, Follower, Path, Pulses
from .pitch import STEP
from .prosody import Moment

_POSTURE = (1.8, 0.9, 1.1)  # degrees: how far apart postures usually are
_STAYS = 0.4  # share of the last posture in the next one
_NEW_POSTURE, _POSTURE_TAKES = 0.6, (0.7, 1.5)  # probability as phrases begin, seconds
_RESTLESS = (0.7, 1.0)  # seconds of speech in one posture: the least, and the mean of what is added
_TILT, _TILTS, _TILT_TAKES = 0.5, 1.6, (0.6, 0.9)  # at phrase ends: probability, degrees, seconds
_SETTLES, _SETTLE_TAKES = (
    0.9,
    (0.9, 1.4),
)  # seconds of silence after which it comes to rest, seconds
_NOD, _NODS, _UPWARD = 0.75, (0.7, 2.4), 0.2  # on accents: probability, degrees, share that go up
_DOWN, _UP_AGAIN, _BETWEEN_NODS = (0.14, 0.2), (0.28, 0.45), 0.5  # seconds
_DRIFT = (0.55, 0.4, 0.4)  # degrees
_PER_SEMITONE, _PER_LOUDNESS = 0.35, -0.6  # degrees of pitch that follow the voice
_FOLLOWS = 0.16  # seconds
_WITH_GAZE, _GAZE_TAKES = (
    (0.25, 0.15),
    (0.35, 0.5),
)  # share of the gaze's turn to the side, up; seconds


class HeadMotion:
    """Posture, nods and drift of a head, row by row.

    Parameters
    ----------
    back
        How many rows after its own moment a frame is asked for.
    """

    def __init__(self, rng: np.random.Generator, back: int) -> None:
        self._rng = rng
        self._voice = Follower(_FOLLOWS, STEP, back)
        self._posture, self._gaze, self._nods = Path(3), Path(2), Pulses(3)
        self._drifts = [Drift(rng, size) for size in _DRIFT]
        self._last_nod = -_BETWEEN_NODS
        self._next = 0.0  # when the posture changes amid speech
        self._quiet: float | None = None  # since when nobody has spoken

    def step(self, moment: Moment, earliest: float, aversion: list[float]) -> None:
        """Take a row: what is heard, when a movement can begin, and where the gaze is averted to."""
        rng = self._rng
        self._voice.step(_PER_SEMITONE * moment.height + _PER_LOUDNESS * moment.loudness)
        if moment.pause is not None:
            self._quiet = None
            if rng.random() < _NEW_POSTURE:
                self._take_posture(earliest)
        elif moment.phrase is not None:
            self._quiet = moment.time
            if rng.random() < _TILT:
                yaw, pitch, roll = self._posture.target
                roll = 0.3 * roll + float(rng.normal(0, _TILTS))
                self._move(earliest, _TILT_TAKES, [yaw, pitch - 0.3, roll])
        elif moment.speaking and earliest > self._next:
            self._take_posture(earliest)
        elif self._quiet is not None and moment.time - self._quiet > _SETTLES:
            self._quiet = None
            self._move(earliest, _SETTLE_TAKES, [float(rng.normal(0, 0.5)) for _ in range(3)])
        if moment.accent and earliest - self._last_nod > _BETWEEN_NODS:
            self._nod(moment.accent, earliest)
        turn = [share * angle for share, angle in zip(_WITH_GAZE, aversion, strict=True)]
        if turn != self._gaze.target:
            self._gaze.move(earliest, float(rng.uniform(*_GAZE_TAKES)), turn)

    def _take_posture(self, begin: float) -> None:
        parts = zip(self._posture.target, _POSTURE, strict=True)
        target = [_STAYS * last + float(self._rng.normal(0, spread)) for last, spread in parts]
        self._move(begin, _POSTURE_TAKES, target)

    def _move(self, begin: float, takes: tuple[float, float], target: list[float]) -> None:
        self._posture.move(begin, float(self._rng.uniform(*takes)), target)
        least, mean = _RESTLESS
        self._next = begin + least + float(self._rng.exponential(mean))

    def _nod(self, accent: float, begin: float) -> None:
        rng = self._rng
        if rng.random() >= _NOD * accent:
            return
        low, high = _NODS
        size = low + (high - low) * accent * float(rng.uniform(0.3, 1.0))
        way = 0.6 if rng.random() < _UPWARD else -1.0
        aside = [size * float(rng.normal(0, 0.15)) for _ in range(2)]
        down, again = (float(rng.uniform(*span)) for span in (_DOWN, _UP_AGAIN))
        self._nods.add(begin, down, 0.02, again, [aside[0], way * size, aside[1]])
        self._last_nod = begin

    def at(self, time: float, earlier: float) -> list[float]:
        """Return yaw, pitch and roll in degrees at a time, a share of a row before `back` rows ago."""
        posture, nod = self._posture.at(time), self._nods.at(time)
        side, up = self._gaze.at(time)
        drift = [one.at(time) for one in self._drifts]
        others = (side, up + self._voice.at(earlier), 0.0)
        parts = zip(posture, nod, drift, others, strict=True)
        return [sum(part) for part in parts]


_GROUP = 2.0  # seconds of speech on one breath from which on the next pause is used to breathe
_SHORT_PAUSE = 0.3  # probability that an earlier one is
_GASP, _GASP_OUT = (0.3, 0.5), (1.6, 2.4)  # seconds in and out, in speech
_REST_IN, _REST_OUT = (1.2, 1.6), (2.0, 2.8)  # seconds in and out, at rest
_DEEPEST = 5.0  # seconds of speech after which a breath is deepest
_NOSTRILS, _LIFT = 0.05, 0.9  # weight of noseSneer and degrees of pitch of the deepest breath
_AT_REST = 0.4  # depth of a breath at rest


class Breath:
    """Breath as nostrils and the head's pitch show it, row by row; the mouth has no part in it."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._nostrils, self._lift = Pulses(1), Pulses(1)
        self._spoken = 0.0  # seconds of speech since the last breath
        self._next = float(rng.uniform(0.5, 3.0))

    def step(self, moment: Moment, earliest: float) -> None:
        """Take a row: what is heard, and the earliest time that a breath can begin."""
        if moment.phrase is not None:
            self._spoken += moment.phrase
            chance = float(self._rng.random())
            if self._spoken > _GROUP or chance < _SHORT_PAUSE:
                depth = 0.5 + 0.5 * min(1.0, self._spoken / _DEEPEST)
                self._breathe(earliest, depth, _GASP, _GASP_OUT)
        if moment.speaking:
            self._next = max(self._next, moment.time + 1.0)  # nobody breathes in amid a word
        elif earliest >= self._next:
            self._breathe(earliest, _AT_REST, _REST_IN, _REST_OUT)

    def _breathe(
        self, begin: float, depth: float, within: tuple[float, float], out: tuple[float, float]
    ) -> None:
        rises, falls = (float(self._rng.uniform(*span)) for span in (within, out))
        self._nostrils.add(begin, 0.8 * rises, 0.1, rises, [depth * _NOSTRILS])
        self._lift.add(begin, rises, 0.05, falls, [depth * _LIFT])
        self._next = begin + rises + falls + float(self._rng.uniform(0.1, 0.8))
        self._spoken = 0.0

    def at(self, time: float) -> list[float]:
        """Return the weight of noseSneer, and the head's pitch in degrees."""
        return self._nostrils.at(time) + self._lift.at(time)
