"""How a recording is performed: the manner of speaking, and the life around the mouth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..errors import FurrowError

EMOTIONS: tuple[str, ...] = ("neutral", "happy", "sad", "angry", "surprised")
"""What the network can colour speech with, in the order of its one-hot input."""

HABITS: tuple[str, ...] = (
    "jaw",
    "rounding",
    "spreading",
    "upper_lip",
    "lower_lip",
    "lead",
    "side",
    "smile",
)
"""What tells one speaker's mouth from another's, each in [-1, 1], 0 for the average: how far the jaw
travels, how much lips round and spread, how much of the upper and of the lower teeth shows, how
early the mouth moves ahead of the sound, which side leads (1: left), how much the mouth smiles."""


def _within(name: str, value: float, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and low <= value <= high):  # false for NaN too
        raise FurrowError(f"{name} is {value}; it must lie between {low:g} and {high:g}.")


@dataclass(frozen=True)
class Style:
    """The manner in which a face speaks.

    Attributes
    ----------
    emotion
        One of :data:`EMOTIONS`.
    intensity
        How strongly the emotion shows, 0 to 1.5; no effect on neutral speech.
    articulation
        How far jaw and lips travel: 0.5 mumbles, 1 is ordinary, 1.5 over-articulates. Lips meet on
        m, b, p whatever it is.
    speaker
        Habits of the speaker, one number in [-1, 1] for each of :data:`HABITS`.
    """

    emotion: str = "neutral"
    intensity: float = 1.0
    articulation: float = 1.0
    speaker: tuple[float, ...] = (0.0,) * len(HABITS)

    def __post_init__(self) -> None:
        if self.emotion not in EMOTIONS:
            raise FurrowError(
                f'There is no emotion "{self.emotion}"; there are {", ".join(EMOTIONS)}.'
            )
        _within("intensity", self.intensity, 0.0, 1.5)
        _within("articulation", self.articulation, 0.5, 1.5)
        if len(self.speaker) != len(HABITS):
            raise FurrowError(
                f"A speaker has {len(HABITS)} habits ({', '.join(HABITS)}), not {len(self.speaker)}."
            )
        for name, value in zip(HABITS, self.speaker, strict=True):
            _within(f"habit {name}", value, -1.0, 1.0)

    def vector(self) -> np.ndarray:
        """Return the network's style input, float32 (STYLE_SIZE,): emotion x intensity, articulation - 1, habits."""
        emotion = [self.intensity * (name == self.emotion) for name in EMOTIONS[1:]]
        return np.array([*emotion, self.articulation - 1.0, *self.speaker], np.float32)


STYLE_SIZE = len(EMOTIONS) - 1 + 1 + len(HABITS)


@dataclass(frozen=True)
class Life:
    """What a face does besides speaking: a strength for each, 0 for none, 1 ordinary, at most 2.

    All five at 0 leave the mouth alone. The same seed and the same sound move the same way.
    """

    blinks: float = 1.0
    gaze: float = 1.0
    brows: float = 1.0
    breath: float = 1.0
    head: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "seed":
                _within(field.name, getattr(self, field.name), 0.0, 2.0)
        if not isinstance(self.seed, int) or self.seed < 0:
            raise FurrowError(f"The seed is {self.seed}; it must be a whole number from 0 on.")


STILL = Life(0.0, 0.0, 0.0, 0.0, 0.0)
"""The mouth alone."""


def random_speaker(seed: int) -> tuple[float, ...]:
    """Return the habits of a random speaker, the same for the same seed; raises FurrowError below 0."""
    if seed < 0:
        raise FurrowError(f"The speaker is {seed}; it must be a whole number from 0 on.")
    habits = np.random.default_rng(seed).normal(0.0, 0.45, len(HABITS))
    return tuple(float(x) for x in np.clip(habits, -1.0, 1.0))


def from_values(
    *,
    emotion: str = "neutral",
    intensity: float = 1.0,
    articulation: float = 1.0,
    speaker: int = 0,
    blinks: float = 1.0,
    gaze: float = 1.0,
    brows: float = 1.0,
    breath: float = 1.0,
    head: float = 1.0,
    seed: int = 0,
) -> tuple[Style, Life]:
    """Return style and life of values as flags and sliders have them.

    Parameters
    ----------
    speaker
        Seed of a random speaker; 0 is the average.

    The others are those of :class:`Style` and :class:`Life`.

    Raises
    ------
    FurrowError
        For values out of range.
    """
    habits = {"speaker": random_speaker(speaker)} if speaker else {}
    style = Style(emotion, intensity, articulation, **habits)
    return style, Life(blinks, gaze, brows, breath, head, seed)


def from_request(params: Mapping[str, Any]) -> tuple[Style, Life]:
    """Return style and life from a request's objects `style` and `life`; what is left out is ordinary.

    Raises
    ------
    FurrowError
        For unknown names and values out of range.
    """
    return _made(Style, params.get("style") or {}), _made(Life, params.get("life") or {})


def _made(kind: Any, values: Any) -> Any:
    if not isinstance(values, Mapping):
        raise FurrowError(f"The {kind.__name__.lower()} must be an object of names and values.")
    names = {field.name for field in fields(kind)}
    for name in values:
        if name not in names:
            raise FurrowError(
                f'The {kind.__name__.lower()} has no "{name}"; it has {", ".join(sorted(names))}.'
            )
    try:
        speaker = {"speaker": tuple(values["speaker"])} if "speaker" in values else {}
        return kind(**{**values, **speaker})
    except TypeError as error:
        raise FurrowError(f"The {kind.__name__.lower()} is not understood: {error}.") from None
