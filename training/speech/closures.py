"""When lips touch: the times of m, b, p and f, v, refined by the sound itself.

An aligner places the label of an initial stop at its release, and gives the silent closure before
it to the pause or the vowel. So the closure is searched for near the label: the interval whose
edges are the sharpest fall and rise of energy above 500 Hz, which closed lips take away.
"""

# ruff: noqa: RUF001 (IPA letters look like Latin ones)
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, sosfiltfilt

from ...backend.formats.audio import RATE
from ...backend.speech.lips import Closure
from .voices import SILENCE, Phone

_STEP = 0.005  # seconds
_REACH = 4  # steps on both sides of an edge over which its height is measured
_BILABIAL = frozenset("mbp")
_LABIODENTAL = frozenset("fv")
_SHORTEST, _LONGEST = 0.03, 0.15  # seconds, of one closure
_EARLY, _LATE = 0.10, 0.035  # how far before its label a closure may begin, after it end


def tidy(phones: Sequence[Phone]) -> list[Phone]:
    """Return phones without the gaps between words: pauses shorter than 120 ms go to their neighbours."""
    pieces: list[Phone] = []
    for i, phone in enumerate(phones):
        short = phone.name == SILENCE and phone.end - phone.start < 0.12
        if short and pieces and i + 1 < len(phones):
            pieces.append(Phone("", phone.start, phone.end))
        else:
            pieces.append(phone)
    result: list[Phone] = []
    for i, phone in enumerate(pieces):
        if phone.name:
            start = phone.start
            if i and pieces[i - 1].name == "":
                gap = pieces[i - 1]
                start = gap.start if phone.name in "pbmtdkɡnfvsz" else (gap.start + gap.end) / 2
                result[-1] = result[-1]._replace(end=start)
            result.append(phone._replace(start=start))
    return result


def find(sound: np.ndarray, phones: Sequence[Phone]) -> list[Closure]:
    """Return the closures of all m, b, p (neighbours merged) and f, v in order of time.

    Parameters
    ----------
    sound
        float32 (n,) at 16 kHz.
    phones
        Tidied phones with times as an aligner gives them.
    """
    level = _level(sound)
    height = _edges(level)
    touches: list[Closure] = []
    i = 0
    while i < len(phones):
        if phones[i].name in _LABIODENTAL:
            touches.append(Closure(phones[i].start, phones[i].end, False))
        if phones[i].name not in _BILABIAL:
            i += 1
            continue
        last = i
        while last + 1 < len(phones) and phones[last + 1].name in _BILABIAL:
            last += 1
        before = phones[i - 1] if i else None
        touches.append(_search(height, phones[i].start, phones[last].end, last - i + 1, before))
        i = last + 1
    return touches


def _level(sound: np.ndarray) -> np.ndarray:
    """Return the level in dB above 500 Hz every 5 ms, no lower than 45 dB under its loudest."""
    high = sosfiltfilt(butter(2, (500, 5000), "bandpass", fs=RATE, output="sos"), sound)
    step = round(_STEP * RATE)
    power = np.add.reduceat(high**2, np.arange(0, len(high), step)) / step
    # A window of 10 ms spans a pitch period of low voices.
    power = np.convolve(power, [0.25, 0.5, 0.25], "same")
    level = 10 * np.log10(power + 1e-10)
    return np.asarray(np.maximum(level, level.max() - 45))


def _edges(level: np.ndarray) -> np.ndarray:
    """Return how much louder (dB) the 20 ms after each step boundary are than the 20 ms before it."""
    padded = np.pad(level, _REACH, mode="edge")
    total = np.concatenate([[0.0], np.cumsum(padded)])
    at = np.arange(len(level)) + _REACH
    after = total[at + _REACH] - total[at]
    before = total[at] - total[at - _REACH]
    return np.asarray((after - before) / _REACH)


def _search(
    height: np.ndarray, start: float, end: float, count: int, before: Phone | None
) -> Closure:
    """Return the interval with the best fall and rise near a label of `count` bilabial phones."""
    label = range(round((start - _EARLY) / _STEP), round((end + _LATE) / _STEP) + 1)
    first = label[0]
    if before is not None and before.name != SILENCE:
        # Not before the middle of the sound ahead of it.
        first = max(first, round((before.start + before.end) / 2 / _STEP))
    best, best_score = Closure(start, end, True), -np.inf
    for a in range(max(0, first), label[-1]):
        for b in range(a + round(_SHORTEST / _STEP), min(label[-1], len(height) - 1) + 1):
            length = (b - a) * _STEP
            if length > _LONGEST * max(1.0, 0.75 * count) and length > end - start:
                break
            # Edges in dB; straying from the label costs 20 dB each 100 ms at either end.
            stray = abs(a * _STEP - start) + abs(b * _STEP - end)
            score = height[b] - height[a] - 200 * stray
            if score > best_score:
                best, best_score = Closure(a * _STEP, b * _STEP, True), score
    return _until_burst(height, best)


def _until_burst(height: np.ndarray, closure: Closure) -> Closure:
    """Return the closure up to its first sharp rise: a burst, if breath comes between it and the vowel."""
    a, b = round(closure.start / _STEP), round(closure.end / _STEP)
    for k in range(a + round(_SHORTEST / _STEP), b - round(_SHORTEST / _STEP)):
        if height[k] >= max(9.0, 0.45 * height[b], height[k - 1], height[k + 1]):
            return closure._replace(end=k * _STEP)
    return closure
