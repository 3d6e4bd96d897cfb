"""What a speaking face does besides speaking: blinks, gaze, brows, breath, motion of the head.

Works on a stream as on a file: frames follow the sound by :data:`DELAY`, in time that grows with the
length of the sound and in memory that does not. The rates and shapes, and where they come from, are
in :mod:`.blinks`, :mod:`.gaze`, :mod:`.brows` and :mod:`.head_motion`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..formats.audio import RATE
from ..formats.expressions import EXPRESSIONS, INDEX
from .blinks import Blinks
from .brows import Brows
from .gaze import Gaze
from .head_motion import Breath, HeadMotion
from .motion import Follower
from .performance import STILL, Life
from .pitch import AHEAD, STEP, PitchTracker, Rows
from .prosody import Moment, Prosody

_ROWS_AHEAD = 9
DELAY = AHEAD + (_ROWS_AHEAD + 1) * STEP
"""Seconds of sound after a frame's own moment that the frame waits for: at most 0.14."""

_EYE_TURNS = 27.0  # degrees by which eyeLook* of weight 1 turns the eyes of Furrow's head
_MOST = 0.8  # weight of eyeLook*: nobody looks further aside without turning the head
# Upper lids go along with the gaze; these add to what eyeLookDown and eyeLookUp themselves move.
_LID_DOWN, _LID_UP = 0.2, 0.5
_HEAD_MOST = 6.0  # degrees that the head turns at most from where it rests
_LIVE_LINK = (1.0, -1.0, -1.0)  # its pitch is positive down, its roll to the right shoulder
_EFFORT = 0.57, 0.15  # loudness from which on eyes narrow; seconds over which it is smoothed
_NARROWS = {"eyeSquint": 0.06, "cheekSquint": 0.04}  # weights in loud speech


class Moved(NamedTuple):
    """Frames of what moves around the mouth.

    Attributes
    ----------
    values
        Weights float32 (n, 52) in [0, 1]; those of jaw, mouth and tongue are 0.
    head
        Turn of the head float32 (n, 3) in radians: yaw, pitch, roll as :class:`~.weights.Weights`
        has them.
    """

    values: np.ndarray
    head: np.ndarray


def perform(blocks: Iterable[np.ndarray], fps: float, count: int, life: Life) -> Iterator[Moved]:
    """Yield what is added to a speaking mouth, and how the head turns, as a sound is worked off.

    Parameters
    ----------
    blocks
        The sound, float32 (n,) mono at 16 kHz; how loud it is makes no difference.
    fps
        Frames per second.
    count
        How many frames there are in all.
    life
        How strongly each part moves; nothing comes where every strength is 0.
    """
    if life == replace(STILL, seed=life.seed):
        return
    liveliness = Liveliness(fps, life)
    for block in blocks:
        yield liveliness.push(block)
    yield liveliness.finish(count)


class Liveliness:
    """The life around a mouth, as the sound comes. However it is cut into pieces, the frames are the same.

    Every part draws from its own random numbers, and listens to the voice and to where the gaze
    goes, never to strengths: one strength changed leaves the other parts as they are.

    Parameters
    ----------
    fps
        Frames per second; frame k is at k / fps.
    life
        How strongly each part moves, and the seed.
    """

    def __init__(self, fps: float, life: Life) -> None:
        self._fps, self._life = fps, life
        self._tracker, self._prosody = PitchTracker(), Prosody()
        self._samples, self._row, self._frame = 0, 0, 0
        streams = [np.random.default_rng([life.seed, part]) for part in range(5)]
        self._blinks = Blinks(streams[0], life.blinks, fps)
        self._gaze = Gaze(streams[1])
        self._brows = Brows(streams[2])
        self._breath = Breath(streams[3])
        self._head = HeadMotion(streams[4], _ROWS_AHEAD)
        self._effort = Follower(_EFFORT[1], STEP, _ROWS_AHEAD)

    def push(self, samples: np.ndarray) -> Moved:
        """Take the next mono samples float32 (n,) at 16 kHz; return the frames that they complete."""
        self._samples += len(samples)
        return self._moved(self._tracker.push(samples))

    def finish(self, count: int | None = None) -> Moved:
        """Return the frames that are left, as if silence followed.

        Parameters
        ----------
        count
            How many frames there are in all; by default as many as the sound lasts, at least 1.
        """
        if count is None:
            count = max(1, round(self._samples / RATE * self._fps))
        parts = [self._moved(self._tracker.finish())]
        rows = round((count / self._fps) / STEP) + _ROWS_AHEAD + 2 - self._row
        if rows > 0:
            parts.append(self._moved(Rows(np.full(rows, -100.0), np.zeros(rows))))
        values, head = (np.concatenate(part) for part in zip(*parts, strict=True))
        left = count - (self._frame - len(values))
        return Moved(values[:left], head[:left])

    def _moved(self, rows: Rows) -> Moved:
        frames: list[list[float]] = []
        for level, frequency in zip(rows.level.tolist(), rows.frequency.tolist(), strict=True):
            self._hear(self._prosody.step(level, frequency))
            shown = (self._row - _ROWS_AHEAD) * STEP
            self._row += 1
            while (time := self._frame / self._fps) <= shown:
                frames.append(self._at(time, shown))
                self._frame += 1
        return _composed(np.array(frames).reshape(len(frames), 15), self._life)

    def _hear(self, moment: Moment) -> None:
        """Let every part answer to a row; frames before `earliest` are shown already."""
        earliest = moment.time - _ROWS_AHEAD * STEP
        shift = self._gaze.step(moment, earliest)
        self._blinks.step(moment, earliest, shift)
        self._brows.step(moment, earliest)
        self._breath.step(moment, earliest)
        self._head.step(moment, earliest, self._gaze.aversion)
        least = _EFFORT[0]
        self._effort.step(min(1.0, max(0.0, (moment.loudness - least) / (1 - least))))

    def _at(self, time: float, shown: float) -> list[float]:
        """Return the state of every part at a time at most a row before `shown`."""
        earlier = (shown - time) / STEP
        return [
            *self._blinks.at(time),
            *self._gaze.at(time),
            *self._brows.at(time),
            *self._breath.at(time),
            *self._head.at(time, earlier),
            self._effort.at(earlier),
        ]


def _composed(frames: np.ndarray, life: Life) -> Moved:
    """Turn the parts' states (n, 15) into weights and the turn of the head, by their strengths."""
    lids, gaze, brows, breath, head, effort = np.split(frames, [2, 4, 9, 11, 14], axis=1)
    values = np.zeros((len(frames), len(EXPRESSIONS)))
    turned = life.head * _HEAD_MOST * np.tanh(head / _HEAD_MOST)
    turned[:, 1] += life.breath * breath[:, 1]
    # Eyes stay on what they look at while the head turns (the vestibulo-ocular reflex).
    eyes = life.gaze * gaze - min(1.0, life.gaze) * turned[:, :2]
    _put_gaze(values, np.clip(eyes / _EYE_TURNS, -_MOST, _MOST), lids)
    inner, *others = (life.brows * brows).T
    values[:, INDEX["browInnerUp"]] = inner
    for name, column in zip(("browOuterUp", "browDown"), (others[:2], others[2:]), strict=True):
        _put(values, name, *column)
    for name, weight in _NARROWS.items():
        _put(values, name, *[life.brows * weight * effort[:, 0]] * 2)
    _put(values, "noseSneer", *[life.breath * breath[:, 0]] * 2)
    # Adding zero turns -0.0, which strengths of zero leave, into 0.0.
    angles = np.radians(turned * _LIVE_LINK) + 0.0
    return Moved(np.clip(values, 0.0, 1.0).astype(np.float32), angles.astype(np.float32))


def _put_gaze(values: np.ndarray, eyes: np.ndarray, lids: np.ndarray) -> None:
    """Write eyes (n, 2) to the character's left and up as weights, and lids (n, 2) that blink."""
    side, up = eyes.T
    down, up = np.maximum(0.0, -up), np.maximum(0.0, up)
    left, right = np.maximum(0.0, side), np.maximum(0.0, -side)
    _put(values, "eyeLookDown", down, down)
    _put(values, "eyeLookUp", up, up)
    _put(values, "eyeLookOut", left, right)
    _put(values, "eyeLookIn", right, left)
    open_lids = 1 - lids
    _put(values, "eyeBlink", *(lids + open_lids * _LID_DOWN * down[:, None]).T)
    _put(values, "eyeWide", *(open_lids * _LID_UP * up[:, None]).T)


def _put(values: np.ndarray, name: str, left: np.ndarray, right: np.ndarray) -> None:
    values[:, INDEX[f"{name}Left"]] = left
    values[:, INDEX[f"{name}Right"]] = right
