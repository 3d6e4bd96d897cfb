"""Plausible people: macro mixtures of age, sex, ancestry and build with local face targets on top."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .source import Source

FOLDERS = ("head", "forehead", "eyebrows", "eyes", "nose", "cheek", "mouth", "chin", "ears", "neck")
_OPPOSITES = (
    ("decr", "incr"),
    ("down", "up"),
    ("in", "out"),
    ("backward", "forward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
)
_LEFT_OUT = (
    "head-trans",
    "neck-trans",
    "ear-shape",
    "ear-trans",
    "measure",
    "neck-scale-vert",
    "head-age",
)
"""Targets that move the head as a whole, belong to fantasy, or are covered by the macro targets."""

_SPREAD = {"head": 0.16, "neck": 0.15, "eyes": 0.22, "mouth": 0.22, "nose": 0.24, "ears": 0.3}
_SPREAD_ELSE = 0.22
ASYMMETRY_SPREAD = 0.13
SIDE_SPREAD = 0.06
"""Difference between left and right of a local target."""


@dataclass(frozen=True)
class Slider:
    """One local direction: the targets of its negative and positive end ("" where there is none)."""

    name: str
    negative: str
    positive: str
    spread: float
    side: str = ""


@dataclass(frozen=True)
class Person:
    """One sampled person: macro values and local slider values by name."""

    age: float
    male: float
    ethnicity: tuple[float, float, float]
    weight: float
    muscle: float
    local: dict[str, float]

    @property
    def years(self) -> float:
        return years_of(self.age)


def years_of(skin_age: float) -> float:
    """Years of the skin coefficient `age`: 20 at 0, 80 at 1."""
    return 20.0 + 60.0 * skin_age


def sliders(source: Source) -> list[Slider]:
    """The local directions of the package that move the face, left and right apart."""
    out = []
    for folder in FOLDERS:
        names = [n for n in source.names(folder) if not any(part in n for part in _LEFT_OUT)]
        paired: set[str] = set()
        for name in names:
            if name in paired:
                continue
            stem, _, end = name.rpartition("-")
            pair = next(
                (
                    p
                    for p in _OPPOSITES
                    if end in p and f"{stem}-{p[0]}" in names and f"{stem}-{p[1]}" in names
                ),
                None,
            )
            side = next((s for s in "lr" if f"/{s}-" in name), "")
            spread = _SPREAD.get(folder, _SPREAD_ELSE)
            if pair:
                ends = (f"{stem}-{pair[0]}", f"{stem}-{pair[1]}")
                paired.update(ends)
                out.append(Slider(stem, *ends, spread, side))
            else:
                paired.add(name)
                out.append(Slider(name, "", name, 0.5 * spread, side))
    for name in source.names("asym"):
        if "asymm" in name or name.endswith("-r"):
            continue
        out.append(Slider(name[:-2], name[:-1] + "r", name, ASYMMETRY_SPREAD))
    return out


def sample(rng: np.random.Generator, all_sliders: list[Slider]) -> Person:
    """Draw one plausible adult."""
    local = {}
    for slider in all_sliders:
        if slider.side == "r":
            continue
        value = float(
            np.clip(rng.normal(0, slider.spread), -2.2 * slider.spread, 2.2 * slider.spread)
        )
        local[slider.name] = value
        if slider.side == "l":
            local[slider.name.replace("/l-", "/r-")] = value + float(rng.normal(0, SIDE_SPREAD))
    african, asian, caucasian = (float(x) for x in rng.dirichlet((0.7, 0.7, 0.7)))
    male = float(np.clip(rng.choice([0.1, 0.9]) + rng.normal(0, 0.12), 0, 1))
    return Person(
        age=float(rng.uniform(0, 1)),
        male=male,
        ethnicity=(african, asian, caucasian),
        weight=float(np.clip(rng.normal(0.5, 0.15), 0.05, 0.95)),
        muscle=float(np.clip(rng.normal(0.5, 0.12), 0.05, 0.95)),
        local=local,
    )


def body_of(source: Source, person: Person, all_sliders: list[Slider]) -> np.ndarray:
    """The person's body, (19158, 3) metres."""
    old = float(np.clip((person.years - 25.0) / 65.0, 0.0, 1.0))
    body = source.macro(old, person.male, person.ethnicity, person.weight, person.muscle)
    for slider in all_sliders:
        value = person.local.get(slider.name, 0.0)
        target = slider.positive if value > 0 else slider.negative
        if target and abs(value) > 1e-4:
            body += abs(value) * source.target(target)
    return body
