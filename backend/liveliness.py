"""What a speaking face does besides speaking: blinks, glances, brows. All of it seeded.

Rates and shapes follow the literature on spontaneous eye movement: about 20 blinks a minute in
conversation, a lid that closes in 75 to 120 ms and opens in about twice that; glances of a few
degrees every one to three seconds that end within 60 ms; upper lids that follow the gaze down.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from . import audio
from .expressions import EXPRESSIONS, INDEX
from .performance import Life

_BLINK_INTERVAL = (1.2, 2.2)  # seconds: the least, and the mean of what is added to it
_CLOSE, _HELD, _OPEN = (0.075, 0.12), 0.03, (0.15, 0.22)  # seconds
_GLANCE_INTERVAL = (0.7, 1.1)  # seconds: the least, and the mean of what is added to it
_SACCADE = 0.045  # seconds
_GAZE = 0.09  # weight: the usual size of a glance, about 3 degrees
_UNREST = 0.015  # weight
_BROW = 0.22  # weight of an accented syllable's brow


def perform(
    blocks: Iterable[np.ndarray], fps: float, count: int, life: Life
) -> tuple[np.ndarray, np.ndarray]:
    """Return what is added to a speaking mouth, and how the head turns.

    Parameters
    ----------
    blocks
        The sound, float32 (n,) mono at 16 kHz; how loud it is makes no difference.
    fps
        Frames per second.
    count
        N, how many frames there are.
    life
        How strongly each part moves; the same seed moves the same way.

    Returns
    -------
    tuple
        Weights float32 (N, 52), in which jaw, mouth and tongue are 0, and the turn of the head
        float32 (N, 3) in radians: yaw, pitch, roll. Zeros where every strength is 0.
    """
    values = np.zeros((count, len(EXPRESSIONS)), np.float32)
    head = np.zeros((count, 3), np.float32)
    if not (life.blinks or life.gaze or life.brows):
        return values, head
    times = np.arange(count) / fps
    level = _level(np.concatenate([np.zeros(1, np.float32), *blocks]), times)
    blinks, glances, brows = (np.random.default_rng([life.seed, k]) for k in range(3))
    speaking = level > -30.0
    side, up = _gaze(times, glances, life.gaze)
    if life.blinks:
        _both(values, "eyeBlink", _blink(times, blinks, speaking))
    # Lids follow the gaze: a little down with it, wider when it goes up.
    lids = 0.35 * np.maximum(0.0, -up)
    _both(values, "eyeBlink", np.maximum(values[:, INDEX["eyeBlinkLeft"]], lids))
    _both(values, "eyeLookDown", np.maximum(0.0, -up))
    _both(values, "eyeLookUp", np.maximum(0.0, up))
    _both(values, "eyeWide", 0.15 * np.maximum(0.0, up))
    for left, right, way in (("In", "Out", -1.0), ("Out", "In", 1.0)):
        turned = np.maximum(0.0, way * side)
        values[:, INDEX[f"eyeLook{left}Left"]] = turned
        values[:, INDEX[f"eyeLook{right}Right"]] = turned
    raised = _brows(level, times, fps, brows) * life.brows
    values[:, INDEX["browInnerUp"]] = raised
    _both(values, "browOuterUp", 0.6 * raised)
    # Loud syllables narrow the eyes a touch.
    effort = _smooth(np.clip((level + 12) / 12, 0, 1), 0.15 * fps)
    _both(values, "eyeSquint", 0.06 * life.brows * effort)
    _both(values, "cheekSquint", 0.04 * life.brows * effort)
    return np.clip(values, 0.0, 1.0), head


def _level(sound: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the level (N,) in dB against the loud syllables of a sound, at the times in seconds."""
    hop = audio.RATE // 100
    starts = np.arange(0, len(sound), hop)
    power = np.add.reduceat(sound.astype(np.float64) ** 2, starts) / hop
    loud = max(float(np.percentile(power, 97)), 1e-5)
    return np.interp(times, starts / audio.RATE, 10 * np.log10(power / loud + 1e-8))


def _both(values: np.ndarray, name: str, column: np.ndarray) -> None:
    for side in ("Left", "Right"):
        values[:, INDEX[name + side]] = column


def _smooth(track: np.ndarray, sigma: float) -> np.ndarray:
    """Return the track (N,) under a Gaussian of `sigma` frames, its ends held."""
    reach = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2)
    return np.convolve(np.pad(track, reach, mode="edge"), kernel / kernel.sum(), "valid")


def _blink(times: np.ndarray, rng: np.random.Generator, speaking: np.ndarray) -> np.ndarray:
    """Return lids (N,): 0 open, 1 closed. Blinks fall into pauses of the speech where one is near."""
    lids = np.zeros(len(times))
    least, mean = _BLINK_INTERVAL
    starts = np.flatnonzero(speaking[:-1] & ~speaking[1:])
    pauses = times[starts] + 0.05
    at = rng.uniform(0.3, 1.8)
    while at < times[-1]:
        near = pauses[np.abs(pauses - at) < 0.5]
        if len(near):
            at = float(near[np.argmin(np.abs(near - at))])
        close, reopen = rng.uniform(*_CLOSE), rng.uniform(*_OPEN)
        down = np.clip((times - at) / close, 0, 1)
        up = np.clip((times - at - close - _HELD) / reopen, 0, 1)
        lid = (0.5 - 0.5 * np.cos(np.pi * down)) * (1 - up) ** 2
        if lid.max(initial=0) > 0:
            # At slow frame rates the closed moment may fall between frames; show it.
            lid = lid / lid.max()
        lids = np.maximum(lids, lid)
        at += close + reopen + least + min(3 * mean, rng.exponential(mean))
    return lids


def _gaze(
    times: np.ndarray, rng: np.random.Generator, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gaze to the character's left and up, (N,) each, in weights of eyeLook*."""
    moments, sides, ups = [0.0], [0.0], [0.0]
    least, mean = _GLANCE_INTERVAL
    while moments[-1] < times[-1]:
        moments.append(moments[-1] + least + rng.exponential(mean))
        # Every other glance returns to the listener, within the eyes' own small unrest.
        reach = _UNREST if rng.random() < 0.55 else _GAZE
        sides.append(rng.normal(0, reach))
        ups.append(rng.normal(-0.2 * reach, 0.6 * reach))
    knots = np.array(moments)
    at = np.searchsorted(knots, times, side="right") - 1
    part = np.clip((times - knots[at]) / _SACCADE, 0, 1)
    part = part * part * (3 - 2 * part)
    before = np.maximum(at - 1, 0)
    tracks = []
    for places in (np.array(sides), np.array(ups)):
        track = places[before] + part * (places[at] - places[before])
        tracks.append(np.clip(track, -0.35, 0.35) * strength)
    return tracks[0], tracks[1]


def _brows(
    level: np.ndarray, times: np.ndarray, fps: float, rng: np.random.Generator
) -> np.ndarray:
    """Return how far the brows are raised, (N,): some accented syllables, and a slow drift."""
    energy = _smooth(np.clip((level + 30) / 30, 0, 1), 0.06 * fps)
    slow = _smooth(energy, 0.6 * fps)
    accent = energy - slow
    inner = slice(1, -1)
    peaks = np.flatnonzero((accent[inner] > accent[:-2]) & (accent[inner] >= accent[2:])) + 1
    peaks = peaks[accent[peaks] > 0.12]
    raised = np.zeros(len(times))
    last = -9.0
    for peak in peaks:
        # Not every accent, and not twice in a breath.
        if times[peak] - last < 0.8 or rng.random() > 0.5:
            continue
        last = times[peak]
        size = _BROW * rng.uniform(0.5, 1.0) * min(1.0, accent[peak] / 0.35)
        width = rng.uniform(0.13, 0.24)
        raised += size * np.exp(-0.5 * ((times - last + 0.03) / width) ** 2)
    phase = rng.uniform(0, 2 * np.pi, 2)
    drift = np.sin(2 * np.pi * 0.11 * times + phase[0]) + np.sin(
        2 * np.pi * 0.07 * times + phase[1]
    )
    return np.clip(raised + 0.012 * (drift + 2) / 2, 0.0, 0.5)
