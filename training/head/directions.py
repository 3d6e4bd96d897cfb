"""Named changes of identity, fitted in the basis from the package's own targets."""

from __future__ import annotations

import numpy as np

from ...backend.formats.identity import SKIN
from .anatomy import Anatomy
from .bodies import ScanBodies
from .core import project
from .people import AVERAGE_AGE, HEAVY, LEAN, average_body
from .source import Source

TRAVEL = 0.0022
"""How far one slider unit moves what it moves most, metres: two units are a strong, possible face."""
HEAD_TRAVEL = 0.0040
STRETCH = 2.5
"""A unit adds at most this many times half a target, and no coefficient beyond LARGEST."""
LARGEST = 1.7

# name, group, targets at the positive end, targets at the negative end; L stands for both sides.
_TARGETS: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("Face Length", "Head", ("head/head-scale-vert-incr",), ("head/head-scale-vert-decr",)),
    ("Face Width", "Head", ("head/head-scale-horiz-incr",), ("head/head-scale-horiz-decr",)),
    ("Head Depth", "Head", ("head/head-scale-depth-incr",), ("head/head-scale-depth-decr",)),
    ("Forehead Height", "Head", ("forehead/forehead-scale-vert-incr",), ("forehead/forehead-scale-vert-decr",)),
    ("Forehead Bulge", "Head", ("forehead/forehead-nubian-incr",), ("forehead/forehead-nubian-decr",)),
    ("Temples", "Head", ("forehead/forehead-temple-incr",), ("forehead/forehead-temple-decr",)),
    ("Brow Height", "Brows", ("eyebrows/eyebrows-trans-up",), ("eyebrows/eyebrows-trans-down",)),
    ("Brow Ridge", "Brows", ("eyebrows/eyebrows-trans-forward",), ("eyebrows/eyebrows-trans-backward",)),
    ("Brow Angle", "Brows", ("eyebrows/eyebrows-angle-up",), ("eyebrows/eyebrows-angle-down",)),
    ("Eye Size", "Eyes", ("eyes/L-eye-scale-incr",), ("eyes/L-eye-scale-decr",)),
    ("Eye Spacing", "Eyes", ("eyes/L-eye-trans-out",), ("eyes/L-eye-trans-in",)),
    ("Eye Opening", "Eyes", ("eyes/L-eye-height2-incr",), ("eyes/L-eye-height2-decr",)),
    ("Eye Tilt", "Eyes", ("eyes/L-eye-corner2-up", "eyes/L-eye-corner1-down"), ("eyes/L-eye-corner2-down", "eyes/L-eye-corner1-up")),
    ("Nose Length", "Nose", ("nose/nose-scale-vert-incr",), ("nose/nose-scale-vert-decr",)),
    ("Nose Width", "Nose", ("nose/nose-width3-incr", "nose/nose-width2-incr"), ("nose/nose-width3-decr", "nose/nose-width2-decr")),
    ("Nose Projection", "Nose", ("nose/nose-scale-depth-incr",), ("nose/nose-scale-depth-decr",)),
    ("Nose Bridge", "Nose", ("nose/nose-hump-incr",), ("nose/nose-hump-decr",)),
    ("Nose Tip", "Nose", ("nose/nose-point-up",), ("nose/nose-point-down",)),
    ("Nostrils", "Nose", ("nose/nose-flaring-incr",), ("nose/nose-flaring-decr",)),
    ("Mouth Width", "Mouth", ("mouth/mouth-scale-horiz-incr",), ("mouth/mouth-scale-horiz-decr",)),
    ("Mouth Height", "Mouth", ("mouth/mouth-trans-up",), ("mouth/mouth-trans-down",)),
    ("Upper Lip", "Mouth", ("mouth/mouth-upperlip-volume-incr", "mouth/mouth-upperlip-height-incr"), ("mouth/mouth-upperlip-volume-decr", "mouth/mouth-upperlip-height-decr")),
    ("Lower Lip", "Mouth", ("mouth/mouth-lowerlip-volume-incr", "mouth/mouth-lowerlip-height-incr"), ("mouth/mouth-lowerlip-volume-decr", "mouth/mouth-lowerlip-height-decr")),
    ("Cheekbones", "Cheeks", ("cheek/L-cheek-bones-incr",), ("cheek/L-cheek-bones-decr",)),
    ("Cheek Fullness", "Cheeks", ("cheek/L-cheek-volume-incr",), ("cheek/L-cheek-volume-decr",)),
    ("Jaw Width", "Jaw", ("chin/chin-bones-incr",), ("chin/chin-bones-decr",)),
    ("Chin Height", "Jaw", ("chin/chin-height-incr",), ("chin/chin-height-decr",)),
    ("Chin Width", "Jaw", ("chin/chin-width-incr",), ("chin/chin-width-decr",)),
    ("Chin Forward", "Jaw", ("chin/chin-prominent-incr",), ("chin/chin-prominent-decr",)),
    ("Ear Size", "Ears", ("ears/L-ear-scale-incr",), ("ears/L-ear-scale-decr",)),
    ("Ear Flare", "Ears", ("ears/L-ear-wing-incr",), ("ears/L-ear-wing-decr",)),
    ("Neck Width", "Neck", ("neck/neck-scale-horiz-incr",), ("neck/neck-scale-horiz-decr",)),
    ("Double Chin", "Neck", ("neck/neck-double-incr",), ("neck/neck-double-decr",)),
)  # fmt: skip
_ASYMMETRY = (
    "asym-jaw-1",
    "asym-mouth-1",
    "asym-nose-1",
    "asym-eye-1",
    "asym-brown-1",
    "asym-cheek-1",
)

# Macro directions: name, the two ends as arguments of Source.macro, share of the way for one unit.
_MACRO: tuple[tuple[str, dict, dict, float], ...] = (
    ("Age", {"age": 0.0}, {"age": 0.75}, 0.31),
    ("Sex", {"male": 0.0}, {"male": 1.0}, 0.33),
    ("Muscle", {"muscle": 0.1}, {"muscle": 0.9}, 0.6),
    ("African", {"ethnicity": (0, 1, 1)}, {"ethnicity": (1, 0, 0)}, 0.4),
    ("Asian", {"ethnicity": (1, 0, 1)}, {"ethnicity": (0, 1, 0)}, 0.4),
    ("European", {"ethnicity": (1, 1, 0)}, {"ethnicity": (0, 0, 1)}, 0.4),
)


def directions(
    source: Source,
    anatomy: Anatomy,
    bodies: ScanBodies,
    mean: np.ndarray,
    basis: np.ndarray,
    weight: np.ndarray,
) -> list[tuple[str, str, np.ndarray]]:
    """Fit every named direction: (name, group, vector (K + 16,)), one slider unit each."""
    middle = average_body(source)
    at_mean = np.zeros(len(bodies.fit.modes))

    def fit(minus: np.ndarray, plus: np.ndarray) -> np.ndarray:
        """The way from one of the package's bodies to another, made on the scans' average."""
        faces = [anatomy.face(bodies.body(at_mean, b - middle), False) for b in (minus, plus)]
        ends = [face.rest.ravel() for face in faces]
        shape = project(mean + (ends[1] - ends[0]), mean, basis, weight)
        return np.concatenate([shape, np.zeros(len(SKIN))])

    fitted = []
    for name, low, high, share in _MACRO:
        usual = {"age": AVERAGE_AGE, "male": 0.5, "ethnicity": (1, 1, 1)}
        vector = limited(share * fit(source.macro(**usual | low), source.macro(**usual | high)))
        if name == "Age":
            vector[len(basis) + SKIN.index("age")] = 0.25
        fitted.append((name, "Person", vector))
    thin, thick = (
        source.macro(AVERAGE_AGE, 0.5, (1, 1, 1), weight)
        + sum(amount * source.target(name) for name, amount in targets)
        for weight, targets in ((0.1, LEAN), (0.9, HEAVY))
    )
    fitted.append(("Weight", "Person", limited(0.3 * fit(thin, thick))))
    for name, group, plus, minus in _TARGETS:
        ends = []
        for targets in (minus, plus):
            sides = {t.replace("/L-", f"/{side}-") for t in targets for side in "lr"}
            ends.append(middle + sum(source.target(t) for t in sorted(sides)) * 0.5)
        travel = HEAD_TRAVEL if group == "Head" else TRAVEL
        fitted.append((name, group, scale(0.5 * fit(*ends), basis, travel)))
    pushed = [sum(source.target(f"asym/{t}-{s}") for t in _ASYMMETRY) * 0.5 for s in "rl"]
    vector = scale(0.3 * fit(middle + pushed[0], middle + pushed[1]), basis, TRAVEL)
    vector[len(basis) + SKIN.index("asymmetry")] = 0.2
    fitted.append(("Asymmetry", "Person", vector))
    order = ("Person", "Head", "Brows", "Eyes", "Nose", "Mouth", "Cheeks", "Jaw", "Ears", "Neck")
    return sorted(fitted, key=lambda one: order.index(one[1]))


def scale(vector: np.ndarray, basis: np.ndarray, travel: float) -> np.ndarray:
    """Scale a direction so that one unit moves its most moved vertex by `travel` metres or less."""
    shape = vector[: len(basis)]
    moved = np.linalg.norm((shape @ basis).reshape(-1, 3), axis=1).max()
    return vector * min(travel / moved, STRETCH, LARGEST / np.abs(shape).max())


def limited(vector: np.ndarray) -> np.ndarray:
    """The direction, shortened so that no coefficient goes beyond LARGEST."""
    return vector * min(1.0, LARGEST / np.abs(vector).max())
