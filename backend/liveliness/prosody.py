"""What a voice does that a face answers to: phrases that begin and end, and accents.

Works row by row on what :mod:`.pitch` gives, knowing the past alone, so that a stream and a file
are heard alike. Loudness counts against the loud syllables heard so far: the volume of a recording
makes no difference.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from .pitch import STEP

_QUIETEST = -50.0  # dB of full scale that loud syllables are taken to reach before any is heard
_RANGE = 28.0  # dB under loud syllables within which sound counts as speech
_ABOVE_NOISE = 8.0  # dB that speech stands out from what is always there
_NOISE_RISES = 3.0  # dB a second: how fast sound that stays is taken for noise
_FORGETS = 0.4  # dB a second of speech: how fast a loud syllable is forgotten
_BEGINS = 3  # voiced rows, 36 ms, after which somebody speaks
_ENDS = round(0.2 / STEP)  # rows without speech after which a phrase has ended
_VOICE_MEMORY = 2.5  # seconds of voice over which its usual pitch is found
_SMOOTHING = 5  # rows either side over which loudness and pitch are smoothed: 60 ms
_RISE = round(0.25 / STEP)  # rows within which an accent rises
_FULL_RISE = 0.45, 3.5  # of loudness (1 is the whole range) and in semitones: a strong accent
_ACCENT = 0.42  # strength from which a rise is an accent
_BETWEEN = round(0.2 / STEP)  # rows at least between two accents: a short syllable
_GROWS = 4  # rows after the threshold within which the accent shows its strength
_LEAP = 8.0  # semitones: a change from row to row that is an error of an octave, not a voice


@dataclass(slots=True)
class Moment:
    """What is heard in one row.

    Attributes
    ----------
    time
        Seconds from the start of the sound.
    speaking
        Whether somebody speaks; stays true for 0.2 s after the last sound.
    loudness
        0 to about 1, of loud syllables.
    pause
        Seconds of silence that end now, as a phrase begins; else None.
    phrase
        Seconds that a phrase lasted which ended 0.2 s ago; else None.
    rising
        Whether that phrase ended high and rising, as many questions do.
    height
        Semitones of the voice above its usual pitch; wanes to 0 where there is no voice.
    accent
        Strength of an accent, 0 to 1, whose rise is recognised now; else 0.
    """

    time: float
    speaking: bool = False
    loudness: float = 0.0
    pause: float | None = None
    phrase: float | None = None
    rising: bool = False
    height: float = 0.0
    accent: float = 0.0


class Prosody:
    """Phrases and accents of a voice, row by row."""

    def __init__(self) -> None:
        self._row = 0
        self._loud, self._noise = _QUIETEST, -60.0
        self._voiced_rows, self._quiet_rows = 0, 0
        self._speaking = False
        self._changed = -60.0  # seconds: when speech last began or ended
        self._usual = 0.0  # log2 of the voice's usual pitch in Hz
        self._voice_s = 0.0  # seconds of voice heard
        self._height = 0.0  # semitones above the usual pitch, held where there is no voice
        self._leaps = 0
        self._loudness: deque[float] = deque([0.0] * _SMOOTHING, maxlen=_SMOOTHING)
        self._heights: deque[float] = deque([0.0] * _SMOOTHING, maxlen=_SMOOTHING)
        self._smooth: deque[tuple[float, float]] = deque([(0.0, 0.0)] * _RISE, maxlen=_RISE)
        self._since_accent = 0
        self._fallen = True  # an accent has to rise anew after the last one
        self._growing = 0
        self._strength = 0.0
        self._end_heights: deque[float] = deque(maxlen=round(0.3 / STEP))

    def step(self, level: float, frequency: float) -> Moment:
        """Take the next row: level in dB of full scale, fundamental frequency in Hz or 0."""
        moment = Moment(self._row * STEP)
        self._row += 1
        active = self._follow_level(level, frequency > 0)
        self._follow_phrases(moment, active, frequency > 0)
        self._follow_pitch(frequency if active else 0.0)
        loudness = min(1.2, max(0.0, 1 + (level - self._loud) / _RANGE)) if active else 0.0
        self._loudness.append(loudness)
        self._heights.append(self._height)
        moment.speaking = self._speaking
        moment.loudness = sum(self._loudness) / _SMOOTHING
        moment.height = sum(self._heights) / _SMOOTHING
        moment.accent = self._accent(moment.loudness, moment.height)
        return moment

    def _follow_level(self, level: float, voiced: bool) -> bool:
        """Follow how loud speech and noise are; return whether this row may be speech."""
        self._noise = min(level, self._noise + _NOISE_RISES * STEP)
        if voiced and level > self._loud:
            self._loud += (level - self._loud) * STEP / 0.05
        elif self._speaking and self._loud > _QUIETEST:
            self._loud -= _FORGETS * STEP
        return level > self._loud - _RANGE and level > self._noise + _ABOVE_NOISE

    def _follow_phrases(self, moment: Moment, active: bool, voiced: bool) -> None:
        self._voiced_rows = self._voiced_rows + 1 if active and voiced else 0
        self._quiet_rows = 0 if active else self._quiet_rows + 1
        if not self._speaking and self._voiced_rows >= _BEGINS:
            self._speaking = True
            moment.pause = moment.time - self._changed
            self._changed = moment.time
            self._end_heights.clear()
        elif self._speaking and self._quiet_rows >= _ENDS:
            self._speaking = False
            moment.phrase = moment.time - _ENDS * STEP - self._changed
            self._changed = moment.time - _ENDS * STEP
            ends = list(self._end_heights)
            moment.rising = len(ends) > 8 and ends[-1] > 2.5 and ends[-1] - ends[0] > 2.0

    def _follow_pitch(self, frequency: float) -> None:
        """Follow the voice's usual pitch, and the height of this row above it in semitones."""
        if not frequency:
            self._height *= 1 - STEP / 0.6  # what is not voiced forgets where the voice was
            return
        octaves = math.log2(frequency)
        if self._voice_s and abs(12 * (octaves - self._usual) - self._height) > _LEAP:
            self._leaps += 1
            if self._leaps < 10:  # 0.12 s; what lasts longer is another voice
                return
        self._leaps = 0
        self._voice_s += STEP
        self._usual += (octaves - self._usual) * STEP / min(self._voice_s, _VOICE_MEMORY)
        self._height = 12 * (octaves - self._usual)
        self._end_heights.append(self._height)

    def _accent(self, loudness: float, height: float) -> float:
        """Return the strength of an accent recognised now: loudness and pitch rise together."""
        self._smooth.append((loudness, height))
        louder = loudness - min(old for old, _ in self._smooth)
        higher = height - min(old for _, old in self._smooth)
        full_loudness, full_height = _FULL_RISE
        rise = math.sqrt(min(1.0, louder / full_loudness) * min(1.0, higher / full_height))
        self._since_accent += 1
        self._fallen = self._fallen or rise < 0.6 * _ACCENT
        if self._growing:
            self._growing -= 1
            self._strength = max(self._strength, rise)
            return 0.0 if self._growing else self._strength
        if rise > _ACCENT and self._speaking and self._fallen and self._since_accent > _BETWEEN:
            self._growing, self._since_accent, self._strength = _GROWS, 0, rise
            self._fallen = False
        return 0.0
