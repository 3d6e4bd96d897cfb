"""Where somebody looks who talks to somebody else: at the listener, away, and back.

- Darts: sizes, directions, and how long eyes rest on the listener and elsewhere, are those that Lee,
  Badler and Badler measured (2002, "Eyes alive", ACM Trans. Graph. 21).
- A saccade of A degrees takes 21 + 2.2 A ms (Bahill, Clark and Stark 1975, Math. Biosci. 24).
- Who begins to speak looks away, who ends looks back (Kendon 1967, Acta Psychol. 26; Andrist, Mutlu
  and Gleicher 2013, "Conversational gaze aversion for virtual agents", IVA).
- Eyes at rest make one or two microsaccades a second, well under a degree (Engbert and Kliegl 2003,
  Vision Res. 43; Martinez-Conde et al. 2004, Nat. Rev. Neurosci. 5).
"""

from __future__ import annotations

import math

import numpy as np

from .motion import Path
from .pitch import STEP
from .prosody import Moment

# Directions of darts and their shares, anticlockwise from the character's left.
_DIRECTIONS = (15.54, 6.46, 17.69, 7.44, 16.80, 7.89, 20.38, 7.79)
_SIZE, _SMALLEST, _LARGEST = 6.9, 3.0, 14.0  # degrees: the mean of Lee's distribution, and its ends
# Mean seconds on the listener and away from them, while speaking and while not.
_ON_LISTENER, _AWAY = {True: 3.1, False: 7.9}, {True: 0.93, False: 0.45}
_STAYS, _LEAST_REST = 0.25, 0.12  # seconds that the gaze stays at least, and between two turns
_AT_FIRST, _AT_FIRST_LASTS = (
    0.7,
    (0.7, 2.6),
)  # probability, seconds of looking away as speech begins
_UTTERANCE = 0.7  # seconds of silence after which a phrase is a new utterance
_BACK = 0.8  # probability that the end of a phrase brings the gaze back
_ON_FACE, _ELSEWHERE = (
    (1.2, 0.9),
    (2.2, 1.2),
)  # degrees to the side and up: from eye to eye to mouth
_RESTS = (0.35, 0.55)  # seconds between two darts: the least, and the mean of what is added to it
_MICRO_PER_SECOND, _MICRO = 1.3, 0.22  # degrees


class Gaze:
    """The direction of the gaze against the listener's eyes, row by row.

    Attributes
    ----------
    aversion
        Degrees to the character's left and up to where the gaze is averted; zeros on the listener.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._path = Path(2)
        self._fixation = [0.0, 0.0]
        self._until = 0.0  # until when the gaze stays for sure
        self._rest = self._next_rest(0.0)
        self._settled = 0.0  # when the eyes have come to rest and may turn again
        self.aversion = [0.0, 0.0]

    def step(self, moment: Moment, earliest: float) -> float:
        """Take a row: what is heard, and the earliest time that a dart can begin.

        Returns
        -------
        float
            Degrees by which the gaze begins to turn now, else 0.
        """
        away = any(self.aversion)
        new_utterance = moment.pause is not None and moment.pause > _UTTERANCE
        if new_utterance and not away and self._rng.random() < _AT_FIRST:
            seconds = float(self._rng.uniform(*_AT_FIRST_LASTS))
            return self._avert(earliest, seconds)
        if earliest < self._settled:
            return 0.0
        if moment.phrase is not None and away and self._rng.random() < _BACK:
            return self._look_back(earliest)
        mean = (_AWAY if away else _ON_LISTENER)[moment.speaking]
        if earliest >= self._until and self._rng.random() < STEP / (mean - _STAYS):
            return self._look_back(earliest) if away else self._avert(earliest, _STAYS)
        if earliest >= self._rest:
            spread = _ELSEWHERE if away else _ON_FACE
            return self._dart(earliest, self._near(self.aversion, spread))
        if self._rng.random() < _MICRO_PER_SECOND * STEP:
            self._turn(earliest, self._near(self._fixation, (_MICRO, _MICRO)))
        return 0.0

    def _avert(self, begin: float, seconds: float) -> float:
        """Look away for so many seconds at least."""
        rng = self._rng
        shares = np.array(_DIRECTIONS) / sum(_DIRECTIONS)
        direction = rng.choice(len(shares), p=shares) * math.pi / 4 + rng.uniform(-0.35, 0.35)
        size = min(_LARGEST, max(_SMALLEST, float(rng.exponential(_SIZE))))
        # Eyes turn less far up and down than to the sides.
        self.aversion = [size * math.cos(direction), 0.7 * size * math.sin(direction)]
        self._until = begin + seconds
        return self._dart(begin, self.aversion)

    def _look_back(self, begin: float) -> float:
        self.aversion = [0.0, 0.0]
        self._until = begin + _STAYS
        return self._dart(begin, self._near(self.aversion, _ON_FACE))

    def _dart(self, begin: float, target: list[float]) -> float:
        """Fix another place; returns how far away it is in degrees."""
        self._fixation = target
        self._rest = self._next_rest(begin)
        return self._turn(begin, target)

    def _next_rest(self, begin: float) -> float:
        least, mean = _RESTS
        return begin + least + float(self._rng.exponential(mean))

    def _turn(self, begin: float, target: list[float]) -> float:
        size = math.dist(target, self._path.target)
        duration = 0.021 + 0.0022 * size
        self._path.move(begin, duration, target)
        self._settled = begin + duration + _LEAST_REST
        return size

    def _near(self, place: list[float], spread: tuple[float, float]) -> list[float]:
        return [at + float(self._rng.normal(0, s)) for at, s in zip(place, spread, strict=True)]

    def at(self, time: float) -> list[float]:
        """Return the gaze in degrees to the character's left and up."""
        return self._path.at(time)
