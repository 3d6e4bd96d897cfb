"""Plausible people: the scans' distribution, with age, build and local shapes of the package on top.

The scans say how faces differ, but not how old, how heavy or of what sex their owners were; the
package's targets have names. What the scans' modes already hold of a target is taken off it, so
that nothing is counted twice; age stays whole, since it has to be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bodies import ScanBodies
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

MODES = 100
"""Of the scans."""
AVERAGE_AGE = 0.2
"""Of the average adult, as `Source.macro` takes it: 38 years."""
SHARE = 0.25
"""Of the package's variation, which artists made, beside that of the scans."""
HEAVY = (
    ("cheek/l-cheek-volume-incr", 0.7),
    ("cheek/r-cheek-volume-incr", 0.7),
    ("neck/neck-double-incr", 0.8),
    ("neck/neck-scale-horiz-incr", 0.5),
    ("head/head-fat-incr", 0.5),
)
LEAN = (
    ("cheek/l-cheek-volume-decr", 0.7),
    ("cheek/r-cheek-volume-decr", 0.7),
    ("neck/neck-double-decr", 0.5),
    ("neck/neck-scale-horiz-decr", 0.5),
    ("head/head-fat-decr", 0.5),
)
"""What weight does to a face, at its ends: the package's own weight hardly touches it."""

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
    """One sampled person: macro values, local slider values by name, the scans' modes (100,)."""

    age: float
    male: float
    ethnicity: tuple[float, float, float]
    weight: float
    muscle: float
    local: dict[str, float]
    modes: np.ndarray

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


def sample(rng: np.random.Generator, all_sliders: list[Slider], modes: int = MODES) -> Person:
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
        modes=rng.standard_normal(modes),
    )


def package_offsets(source: Source, person: Person, all_sliders: list[Slider]) -> np.ndarray:
    """What the package's targets make of a person beside age, from its average, (19158, 3) metres."""
    body = source.macro(AVERAGE_AGE, person.male, person.ethnicity, person.weight, person.muscle)
    body -= average_body(source)
    heavy = 2.0 * person.weight - 1.0
    for name, amount in HEAVY if heavy > 0 else LEAN:
        body += abs(heavy) * amount * source.target(name)
    for slider in all_sliders:
        value = person.local.get(slider.name, 0.0)
        target = slider.positive if value > 0 else slider.negative
        if target and abs(value) > 1e-4:
            body += abs(value) * source.target(target)
    return body


def age_offsets(source: Source, age: float) -> np.ndarray:
    """What age does to the average face, (19158, 3) metres; `age` as the skin coefficient."""
    return source.macro(_package_age(age), 0.5, (1.0, 1.0, 1.0)) - average_body(source)


def average_body(source: Source) -> np.ndarray:
    """The package's average adult (19158, 3), metres."""
    return source.macro(AVERAGE_AGE, 0.5, (1.0, 1.0, 1.0))


def _package_age(age: float) -> float:
    """Age as `Source.macro` takes it: 0 at 25 years, 1 at 90."""
    return float(np.clip((years_of(age) - 25.0) / 65.0, 0.0, 1.0))


def scan_body(
    source: Source, bodies: ScanBodies, person: Person, all_sliders: list[Slider]
) -> np.ndarray:
    """The person by the scans' modes and the package's targets, (19158, 3) metres in real size."""
    offsets = SHARE * package_offsets(source, person, all_sliders)
    modes = person.modes - bodies.explained(offsets)
    return bodies.body(modes, offsets + age_offsets(source, person.age))
