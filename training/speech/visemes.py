"""Targets: from phones and their times to ARKit weights, as a speaking face moves.

Each phone has a pose (:data:`POSES`). Poses are blended by dominance functions (Cohen & Massaro,
"Modeling coarticulation in synthetic visual speech", 1993): a phone rules its own interval and
fades outside of it, each group of muscles at its own pace, so rounding spreads over neighbours
while the jaw follows every syllable. :func:`poses` gives that, for an ordinary speaker without
emotion. :func:`styled` makes it one speaker's in one mood, and then enforces what an eye notices:
lips meet through every m, b, p, and the lower lip reaches the teeth on f, v.
"""

# ruff: noqa: RUF001 (IPA letters look like Latin ones)
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d, shift

from ...backend.formats.audio import RATE
from ...backend.formats.expressions import EXPRESSIONS, INDEX
from ...backend.liveliness.performance import HABITS, Style
from ...backend.speech.lips import Closure, contact, meet
from .voices import SILENCE, Phone

CHANNELS: tuple[str, ...] = (
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthPress",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthUpperUp",
    "mouthLowerDown",
    "mouthStretch",
    "mouthSmile",
    "mouthDimple",
    "tongueOut",
)
"""What phones move. Names without a side mean both."""

_AT = {name: i for i, name in enumerate(CHANNELS)}

# Open vowels set the jaw; rounded ones funnel (open) or pucker (tight); front ones spread.
POSES: dict[str, dict[str, float]] = {
    SILENCE: {},
    "ɑ": {"jawOpen": 0.44, "mouthLowerDown": 0.20, "mouthUpperUp": 0.12},
    "a": {"jawOpen": 0.42, "mouthLowerDown": 0.22, "mouthUpperUp": 0.14, "mouthStretch": 0.06},
    "æ": {"jawOpen": 0.38, "mouthLowerDown": 0.26, "mouthUpperUp": 0.18, "mouthStretch": 0.16},
    "ʌ": {"jawOpen": 0.30, "mouthLowerDown": 0.18, "mouthUpperUp": 0.10},
    "ə": {"jawOpen": 0.20, "mouthLowerDown": 0.14, "mouthUpperUp": 0.08},
    "ɛ": {"jawOpen": 0.30, "mouthLowerDown": 0.24, "mouthUpperUp": 0.14, "mouthStretch": 0.12},
    "e": {"jawOpen": 0.22, "mouthLowerDown": 0.24, "mouthUpperUp": 0.14, "mouthStretch": 0.18, "mouthSmile": 0.10},
    "ɪ": {"jawOpen": 0.17, "mouthLowerDown": 0.20, "mouthUpperUp": 0.12, "mouthStretch": 0.14, "mouthSmile": 0.08},
    "i": {"jawOpen": 0.12, "mouthLowerDown": 0.22, "mouthUpperUp": 0.14, "mouthStretch": 0.22, "mouthSmile": 0.18, "mouthDimple": 0.08},
    "ɜ": {"jawOpen": 0.20, "mouthFunnel": 0.22, "mouthPucker": 0.08, "mouthLowerDown": 0.12, "mouthUpperUp": 0.08},
    "ɔ": {"jawOpen": 0.34, "mouthFunnel": 0.30, "mouthPucker": 0.12, "mouthLowerDown": 0.10},
    "o": {"jawOpen": 0.26, "mouthFunnel": 0.38, "mouthPucker": 0.30},
    "ʊ": {"jawOpen": 0.15, "mouthFunnel": 0.32, "mouthPucker": 0.34},
    "u": {"jawOpen": 0.10, "mouthFunnel": 0.26, "mouthPucker": 0.58},
    "w": {"jawOpen": 0.07, "mouthFunnel": 0.22, "mouthPucker": 0.66},
    "ɹ": {"jawOpen": 0.12, "mouthFunnel": 0.30, "mouthPucker": 0.18, "mouthLowerDown": 0.06},
    "j": {"jawOpen": 0.10, "mouthLowerDown": 0.18, "mouthUpperUp": 0.10, "mouthStretch": 0.16, "mouthSmile": 0.10},
    "l": {"jawOpen": 0.18, "mouthLowerDown": 0.16, "mouthUpperUp": 0.10},
    "t": {"jawOpen": 0.09, "mouthLowerDown": 0.16, "mouthUpperUp": 0.08, "mouthStretch": 0.06},
    "n": {"jawOpen": 0.10, "mouthLowerDown": 0.15, "mouthUpperUp": 0.08, "mouthStretch": 0.05},
    "s": {"jawOpen": 0.05, "mouthLowerDown": 0.24, "mouthUpperUp": 0.12, "mouthStretch": 0.16, "mouthSmile": 0.06},
    "ʃ": {"jawOpen": 0.06, "mouthFunnel": 0.50, "mouthPucker": 0.16, "mouthLowerDown": 0.10, "mouthUpperUp": 0.06},
    "θ": {"jawOpen": 0.14, "mouthLowerDown": 0.18, "mouthUpperUp": 0.10, "tongueOut": 0.12},
    "k": {"jawOpen": 0.16, "mouthLowerDown": 0.14, "mouthUpperUp": 0.08},
    "h": {"jawOpen": 0.20, "mouthLowerDown": 0.12, "mouthUpperUp": 0.08},
    "f": {"jawOpen": 0.06, "mouthRollLower": 0.42, "mouthUpperUp": 0.20, "mouthShrugUpper": 0.10},
    "p": {"jawOpen": 0.05, "mouthShrugLower": 0.04},
}  # fmt: skip
"""Weights at the middle of a long, stressed phone of normal loudness."""

_LIKE = {
    "b": "p", "m": "p", "v": "f", "ð": "θ", "d": "t", "ɾ": "t", "z": "s", "ʒ": "ʃ",
    "ɡ": "k", "ŋ": "k", "ʔ": "k", "x": "k", "ɐ": "ʌ", "ɚ": "ɜ", "ᵻ": "ɪ", "ɒ": "ɑ", "ɫ": "l",
    "y": "i",
}  # fmt: skip
BILABIAL = frozenset("mbp")
LABIODENTAL = frozenset("fv")
VOWELS = frozenset("ɑaæʌəɛeɪiɜɔoʊuɐɚᵻɒ")

PHONES: tuple[str, ...] = (*POSES, *_LIKE)
"""All sounds that are told apart while training; others count as k."""

_ROUND = [_AT[n] for n in ("mouthFunnel", "mouthPucker")]
_SPREAD = [_AT[n] for n in ("mouthStretch", "mouthSmile", "mouthDimple")]
_LIPS = [_AT[n] for n in ("mouthUpperUp", "mouthLowerDown", "mouthRollLower", "mouthShrugUpper")]
_OPENING = [
    _AT[n] for n in ("jawOpen", "mouthUpperUp", "mouthLowerDown", "mouthStretch", "mouthSmile")
]


class _Mood(NamedTuple):
    """What an emotion adds at intensity 1: a pose by ARKit's names, and a share of the jaw's travel."""

    pose: Mapping[str, float]
    jaw: float


def _both(**pose: float) -> dict[str, float]:
    """Return a pose by ARKit's names from one whose names mean both sides."""
    return {
        full: weight
        for name, weight in pose.items()
        for full in (name, f"{name}Left", f"{name}Right")
        if full in INDEX
    }


# Action units of the basic emotions (Ekman & Friesen, EMFACS), at strengths that leave room to speak.
_MOODS: dict[str, _Mood] = {
    "neutral": _Mood({}, 0.0),
    "happy": _Mood(  # AU 6 + 12
        _both(mouthSmile=0.42, cheekSquint=0.35, eyeSquint=0.18, mouthDimple=0.10), 0.05
    ),
    "sad": _Mood(  # AU 1 + 4 + 15 (+ 17)
        _both(browInnerUp=0.55, browDown=0.12, mouthFrown=0.38, mouthShrugLower=0.12), -0.18
    ),
    "angry": _Mood(  # AU 4 + 5 + 7 + 23, and the nose of disgust
        _both(browDown=0.65, eyeSquint=0.30, noseSneer=0.30, mouthPress=0.12, mouthStretch=0.10),
        0.10,
    ),
    "surprised": _Mood(  # AU 1 + 2 + 5 + 26
        _both(browInnerUp=0.50, browOuterUp=0.50, eyeWide=0.42, jawOpen=0.05), 0.18
    ),
}

_SMOOTHING = 0.012  # seconds, takes the cusps off the dominance functions


def poses(
    sound: np.ndarray, phones: Sequence[Phone], times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what phones ask of an ordinary mouth, before lips are made to meet.

    Parameters
    ----------
    sound
        float32 (n,) at 16 kHz; its loudness scales how far the mouth opens, so stressed vowels open
        the jaw further.
    times
        Seconds (T,), evenly spaced.

    Returns
    -------
    tuple
        Weights float32 (T, len(CHANNELS)) in [0, 1]; effort float32 (T,) in [0, 1], how loud the
        speech is here against its loudest, over about a word.
    """
    if not phones:
        return np.zeros((len(times), len(CHANNELS)), np.float32), np.zeros(len(times), np.float32)
    of_phones, strength, rate = _dominance_parameters(phones)
    starts = np.array([p.start for p in phones])
    lengths = np.array([p.end for p in phones]) - starts
    quiet = np.array([p.name == SILENCE for p in phones])
    # A phone holds its pose through its middle; a pause all but its first and last 60 ms.
    plateau = np.where(quiet, np.maximum(0.0, lengths / 2 - 0.06), 0.25 * lengths)
    away = np.abs(times[:, None] - (starts + lengths / 2)) - plateau
    away = np.maximum(0.0, away)[:, :, None]
    dominance = strength * np.exp(-rate * away)
    weights = (dominance * of_phones).sum(1) / np.maximum(dominance.sum(1), 1e-9)
    level = _level(sound, times, 0.06)
    weights[:, _OPENING] *= np.clip(1.05 + 0.022 * level, 0.7, 1.1)[:, None]
    step = float(times[1] - times[0])
    weights = gaussian_filter1d(weights, _SMOOTHING / step, axis=0, mode="nearest")
    effort = np.clip(1 + _level(sound, times, 0.15) / 30, 0.0, 1.0)
    return np.clip(weights, 0.0, 1.0).astype(np.float32), effort.astype(np.float32)


def contacts(closures: Sequence[Closure], times: np.ndarray) -> np.ndarray:
    """Return how far lips have met, float32 (T, 2) in [0, 1]: lips to lips, lip to teeth."""
    met = np.zeros((len(times), 2), np.float32)
    for closure in closures:
        column = met[:, 0 if closure.bilabial else 1]
        np.maximum(column, contact(times, closure), out=column)
    return met


def styled(
    ordinary: np.ndarray, effort: np.ndarray, met: np.ndarray, step: float, style: Style
) -> np.ndarray:
    """Return ARKit weights float32 (T, 52) of a speaker with these habits in this mood.

    Jaw and lips are scaled apart, as JALI does (Edwards et al. 2016): `articulation` scales both,
    habits each. An emotion adds its pose (:data:`_MOODS`), more on louder words; what it asks of
    the mouth yields where lips round.

    Parameters
    ----------
    ordinary, effort
        Of :func:`poses`.
    met
        (T, 2), of :func:`contacts`.
    step
        Seconds between rows.
    """
    habits = dict(zip(HABITS, style.speaker, strict=True))
    mood = _MOODS[style.emotion]
    lead = 0.024 * habits["lead"] / step  # rows
    mouth = ordinary if lead == 0 else shift(ordinary, (-lead, 0), order=1, mode="nearest")
    scale = np.full(len(CHANNELS), style.articulation)
    for name, habit, part in (
        ("jawOpen", "jaw", 0.30),
        ("mouthFunnel", "rounding", 0.35),
        ("mouthPucker", "rounding", 0.35),
        ("mouthStretch", "spreading", 0.5),
        ("mouthSmile", "spreading", 0.5),
        ("mouthUpperUp", "upper_lip", 0.6),
        ("mouthLowerDown", "lower_lip", 0.5),
    ):
        scale[_AT[name]] *= 1 + part * habits[habit]
    scale[_AT["jawOpen"]] *= 1 + mood.jaw * style.intensity
    mouth = mouth * scale
    weights = np.zeros((len(mouth), len(EXPRESSIONS)))
    for name, column in _AT.items():
        for side, sign in (("", 0.0), ("Left", 1.0), ("Right", -1.0)):
            if name + side in INDEX:
                weights[:, INDEX[name + side]] = mouth[:, column] * (
                    1 + 0.3 * sign * habits["side"]
                )
    rounded = np.clip(2 * mouth[:, _ROUND].sum(1), 0.0, 1.0)
    strength = style.intensity * (0.75 + 0.25 * effort)
    mouthless = strength * (1 - 0.6 * rounded)
    for name, weight in mood.pose.items():
        weights[:, INDEX[name]] += weight * (mouthless if name.startswith("mouth") else strength)
    for name in ("mouthSmileLeft", "mouthSmileRight"):
        weights[:, INDEX[name]] += 0.12 * max(0.0, habits["smile"]) * (1 - 0.6 * rounded)
    for name in ("mouthFrownLeft", "mouthFrownRight"):
        weights[:, INDEX[name]] += 0.12 * max(0.0, -habits["smile"]) * (1 - 0.6 * rounded)
    np.clip(weights, 0.0, 1.0, out=weights)
    meet(weights, met)
    return np.clip(weights, 0.0, 1.0).astype(np.float32)


def targets(
    sound: np.ndarray,
    phones: Sequence[Phone],
    closures: Sequence[Closure],
    times: np.ndarray,
    style: Style | None = None,
) -> np.ndarray:
    """Return the ARKit weights float32 (T, 52) of a face that says these phones; see above."""
    ordinary, effort = poses(sound, phones, times)
    step = float(times[1] - times[0])
    return styled(ordinary, effort, contacts(closures, times), step, style or Style())


def pose(phone: str) -> np.ndarray:
    """Return the pose of a phone, float (len(CHANNELS),); an unknown sound moves like k."""
    values = np.zeros(len(CHANNELS))
    name = phone if phone in POSES else _LIKE.get(phone, "k")
    for channel, weight in POSES[name].items():
        values[_AT[channel]] = weight
    return values


def labels(phones: Sequence[Phone], times: np.ndarray) -> np.ndarray:
    """Return which of :data:`PHONES` is said at each time, int (T,); ``sil`` outside of all."""
    numbers = [PHONES.index(p.name if p.name in PHONES else "k") for p in phones]
    at = np.searchsorted([p.start for p in phones], times, side="right") - 1
    said = np.array([*numbers, PHONES.index(SILENCE)])[np.maximum(at, -1)]
    return np.where(times < (phones[-1].end if phones else 0.0), said, PHONES.index(SILENCE))


def _dominance_parameters(phones: Sequence[Phone]) -> tuple[np.ndarray, ...]:
    """Return poses (P, C), strengths (P, C) and rates per second (P, C) of the dominance functions."""
    poses = np.stack([pose(p.name) for p in phones])
    strength = np.full_like(poses, 0.5)
    rate = np.full_like(poses, 40.0)
    rate[:, _ROUND] = 24.0  # lips start to round one or two phones ahead
    rate[:, _SPREAD] = 26.0
    for i, phone in enumerate(phones):
        if phone.name in VOWELS or phone.name in "wj":
            strength[i] = 1.0
        elif phone.name == SILENCE:
            strength[i] = min(1.0, phone.end - phone.start) ** 0.5
            rate[i] = 20.0
        elif phone.name in "ʃʒɹ":
            strength[i, _ROUND] = 0.8
        elif phone.name in BILABIAL | LABIODENTAL:
            strength[i, _AT["jawOpen"]] = 1.0
            strength[i, _LIPS] = 1.0
            strength[i, _ROUND] = 0.1  # rounding passes through: "boot" has a rounded b
        elif phone.name in "sz":
            strength[i, _AT["jawOpen"]] = 1.2  # teeth together, or it is no s
        else:
            strength[i, _ROUND + _SPREAD] = 0.15
            if phone.name in "kɡŋhʔ":
                strength[i] = 0.2
    return poses, strength, rate


def _level(sound: np.ndarray, times: np.ndarray, smooth: float) -> np.ndarray:
    """Return the level (T,) in dB against the loudest syllables, smoothed over `smooth` seconds."""
    power = np.add.reduceat(sound.astype(np.float64) ** 2, np.arange(0, len(sound), RATE // 100))
    level = 10 * np.log10(gaussian_filter1d(power / (RATE // 100), 100 * smooth) + 1e-8)
    level -= np.percentile(level, 95)
    at = (np.arange(len(level)) + 0.5) / 100
    return np.asarray(np.interp(times, at, level))
