"""Random people and expressions: what sets, and training in memory, are drawn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...backend.formats.expressions import EXPRESSIONS, FACESCAPE_PRESETS, INDEX, mirrored, vector
from ...backend.formats.identity import SKIN, Identity

_PRESETS = [vector(weights) for name, weights in FACESCAPE_PRESETS.items() if name != "neutral"]

_KINDS = {"neutral": 0.07, "preset": 0.36, "single": 0.2, "mixture": 0.25, "two presets": 0.12}
"""Shares of the kinds of expression."""

_SIDED = 0.3
"""Chance that a shape with a partner on the other side acts alone or unevenly."""


def sample_identity(head: Any, rng: np.random.Generator) -> Identity:
    """Return a random person: shape within the head's covariance, skin coefficients uniform in [0, 1]."""
    seed = int(rng.integers(2**31))
    person = head.random(seed)
    skin = rng.uniform(0.0, 1.0, len(SKIN)).astype(np.float32)
    return dataclasses.replace(person, skin=skin, detail_seed=seed)


def sample_expression(rng: np.random.Generator) -> np.ndarray:
    """Return random ARKit weights, float32 (52,) in [0, 1]: presets, single muscles and mixtures, at any strength."""
    kind = rng.choice(list(_KINDS), p=list(_KINDS.values()))
    if kind == "neutral":
        return np.zeros(len(EXPRESSIONS), np.float32)
    if kind == "preset":
        weights = _PRESETS[rng.integers(len(_PRESETS))] * rng.uniform(0.25, 1.0)
        return np.clip(weights, 0.0, 1.0).astype(np.float32)
    if kind == "two presets":
        return _blend(rng.integers(len(_PRESETS), size=2), rng)
    count = 1 if kind == "single" else int(rng.integers(2, 6))
    return _muscles((rng.integers(len(EXPRESSIONS)) for _ in range(count)), rng)


def sample_mixture(rng: np.random.Generator) -> np.ndarray:
    """Return random ARKit weights, float32 (52,) in [0, 1], of two presets or two to five muscles, never of one."""
    if rng.random() < 0.5:
        return _blend(rng.choice(len(_PRESETS), 2, replace=False), rng)
    while True:
        numbers = rng.choice(len(EXPRESSIONS), rng.integers(2, 6), replace=False)
        names = [EXPRESSIONS[k] for k in numbers]
        if len({min(name, mirrored(name)) for name in names}) > 1:
            return _muscles(numbers, rng)


def _blend(presets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return two presets (2,) by number, each at a random strength, added."""
    first, second = (_PRESETS[k] for k in presets)
    weights = first * rng.uniform(0.2, 1.0) + second * rng.uniform(0.2, 1.0)
    return np.clip(weights, 0.0, 1.0).astype(np.float32)


def _muscles(numbers: Iterable[int], rng: np.random.Generator) -> np.ndarray:
    """Return expressions by number at random strengths; one that has a partner mostly takes it along."""
    weights = np.zeros(len(EXPRESSIONS), np.float32)
    for number in numbers:
        name = EXPRESSIONS[number]
        strength = rng.uniform(0.2, 1.0)
        weights[INDEX[name]] = strength
        other = strength if rng.random() > _SIDED else strength * rng.uniform(0.0, 0.6)
        if mirrored(name) != name:
            weights[INDEX[mirrored(name)]] = other
    return weights
