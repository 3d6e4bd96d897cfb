"""Which expressions fold which furrows, and where along them.

Every family of furrows lies across the fibres of one muscle. The gains say how hard an ARKit shape
at full weight drives that muscle; the base mesh's own compression is added where it can be trusted
(it cannot on the forehead, whose upper half the mesh never moves, nor beside the nose and on the chin).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...backend.formats.expressions import EXPRESSIONS, INDEX
from .arrays import exp
from .chart import smoothstep


@dataclass(frozen=True)
class Muscle:
    """What folds one family.

    Attributes
    ----------
    pull
        {expression: gain}; a name without Left or Right drives both sides, each on its own half.
    slack
        {expression: gain} of the expressions that stretch the skin here and so flatten its furrows.
    mesh
        Gain on the mesh's compression across the furrow.
    blend_mm
        Half-width of the strip over the middle of the face in which left and right mix.
    """

    pull: dict[str, float]
    slack: dict[str, float] = field(default_factory=dict)
    mesh: float = 0.0
    blend_mm: float = 10.0


MUSCLES: dict[str, Muscle] = {
    "forehead": Muscle(  # frontalis
        {"browInnerUp": 1.0, "browOuterUp": 0.95, "eyeWide": 0.12},
        {"browDown": 0.7},
        blend_mm=16.0,
    ),
    "glabella": Muscle(  # corrugator, depressor supercilii
        {"browDown": 0.95, "browInnerUp": 0.28, "noseSneer": 0.3, "eyeSquint": 0.2},
        {"browOuterUp": 0.4},
        mesh=0.8,
        blend_mm=9.0,
    ),
    "procerus": Muscle(
        {"browDown": 0.7, "noseSneer": 0.8, "eyeSquint": 0.2}, {"browInnerUp": 0.5}, blend_mm=9.0
    ),
    "crows": Muscle(  # orbicularis oculi, outer part
        {"eyeSquint": 1.0, "cheekSquint": 0.6, "mouthSmile": 0.5, "eyeBlink": 0.18},
        {"eyeWide": 0.5, "browOuterUp": 0.3},
        mesh=0.8,
    ),
    "upper_lid": Muscle(  # orbicularis oculi under the brow; the levator deepens the lid's crease
        {"eyeSquint": 0.8, "browDown": 0.4, "noseSneer": 0.3, "cheekSquint": 0.25, "eyeWide": 0.3},
        {"eyeBlink": 0.7, "eyeLookDown": 0.5, "browOuterUp": 0.2},
    ),
    "under_eye": Muscle(  # orbicularis oculi, lower part
        {"eyeSquint": 0.9, "cheekSquint": 0.8, "mouthSmile": 0.4, "eyeBlink": 0.1},
        {"eyeWide": 0.4, "eyeLookUp": 0.3},
        mesh=0.8,
    ),
    "bunny": Muscle(  # levator labii superioris alaeque nasi, nasalis
        {"noseSneer": 1.0, "cheekSquint": 0.25, "browDown": 0.22, "mouthUpperUp": 0.2},
        mesh=1.0,
        blend_mm=5.0,
    ),
    "nasolabial": Muscle(  # zygomaticus, risorius, levators
        {
            "mouthSmile": 0.9,
            "mouthUpperUp": 0.6,
            "mouthDimple": 0.5,
            "mouthStretch": 0.4,
            "cheekSquint": 0.3,
            "mouthFrown": 0.2,
            "mouthLeft": 0.4,
            "mouthRight": 0.4,
        },
        {"mouthPucker": 0.6, "mouthFunnel": 0.5, "cheekPuff": 0.7, "jawOpen": 0.2},
    ),
    "nostril": Muscle({"noseSneer": 0.95, "mouthUpperUp": 0.45, "mouthSmile": 0.35}),
    "cheek": Muscle(
        {"mouthSmile": 0.95, "mouthDimple": 0.6, "mouthStretch": 0.4, "cheekSquint": 0.25},
        {"cheekPuff": 0.8, "mouthPucker": 0.5},
    ),
    "marionette": Muscle(  # depressor anguli oris
        {
            "mouthFrown": 0.95,
            "mouthShrugLower": 0.35,
            "mouthPress": 0.3,
            "mouthLowerDown": 0.2,
            "mouthDimple": 0.2,
        },
        {"mouthSmile": 0.4, "cheekPuff": 0.7, "jawOpen": 0.3},
    ),
    "chin": Muscle(  # mentalis
        {
            "mouthShrugLower": 1.0,
            "mouthRollLower": 0.5,
            "mouthFrown": 0.35,
            "mouthPucker": 0.35,
            "mouthPress": 0.3,
        },
        {"jawOpen": 0.6},
    ),
    "lips_upper": Muscle(  # orbicularis oris
        {
            "mouthPucker": 1.0,
            "mouthFunnel": 0.35,
            "mouthPress": 0.4,
            "mouthShrugUpper": 0.4,
            "mouthRollUpper": 0.5,
            "mouthClose": 0.15,
        },
        {"mouthSmile": 0.5, "jawOpen": 0.5, "mouthStretch": 0.5, "cheekPuff": 0.4},
        mesh=0.6,
    ),
    "lips_lower": Muscle(
        {
            "mouthPucker": 0.9,
            "mouthFunnel": 0.3,
            "mouthPress": 0.35,
            "mouthRollLower": 0.5,
            "mouthShrugLower": 0.2,
        },
        {"mouthSmile": 0.5, "jawOpen": 0.4, "mouthStretch": 0.5, "cheekPuff": 0.4},
        mesh=0.6,
    ),
    "vermilion": Muscle(
        {"mouthPucker": 0.9, "mouthFunnel": 0.3, "mouthPress": 0.3},
        {"mouthSmile": 0.6, "mouthStretch": 0.6, "jawOpen": 0.3},
    ),
    "neck": Muscle(
        {"jawOpen": 0.3, "mouthFrown": 0.15, "mouthStretch": 0.15}, {"jawForward": 0.4}, mesh=1.2
    ),
    "scar": Muscle({}),  # nothing folds it: its depth is there at rest
    "platysma": Muscle({"mouthStretch": 0.9, "mouthFrown": 0.45, "mouthLowerDown": 0.25}),
}
"""By family of furrows."""

_ON_HALF = {"mouthLeft": 1, "mouthRight": -1}
"""Shapes that move the whole mouth and so fold the cheek they move it into."""


def _brow_part(name: str, s: np.ndarray) -> np.ndarray | float:
    """Return how much of the forehead each shape raises: the inner or the outer part of frontalis."""
    middle = np.exp(-((s / 30.0) ** 2))
    if name == "browInnerUp":
        return 0.25 + 0.75 * middle
    if name.startswith("browOuterUp"):
        return 1.0 - 0.6 * np.exp(-((s / 22.0) ** 2))
    return 1.0


def _gains(family: str, gains: dict[str, float], s: np.ndarray, blend_mm: float) -> np.ndarray:
    """Spread gains by name over the columns of the expressions: (n, 52)."""
    left = smoothstep(-blend_mm, blend_mm, s)
    out = np.zeros((len(s), len(EXPRESSIONS)), np.float32)
    for name, gain in gains.items():
        columns = (
            [(name, 1.0)] if name in INDEX else [(name + "Left", left), (name + "Right", 1 - left)]
        )
        for column, share in columns:
            if column in _ON_HALF:
                share = left if _ON_HALF[column] > 0 else 1 - left
            part = _brow_part(column, s) if family == "forehead" else 1.0
            out[:, INDEX[column]] = gain * share * part
    return out


def pull(family: str, s: np.ndarray) -> np.ndarray:
    """Return the activation of a family's muscle by each expression at full weight: (n, 52) in [0, 1]."""
    muscle = MUSCLES[family]
    return _gains(family, muscle.pull, s, muscle.blend_mm)


def slack(family: str, s: np.ndarray) -> np.ndarray:
    """Return how much each expression at full weight flattens a family's furrows: (n, 52) in [0, 1]."""
    muscle = MUSCLES[family]
    return _gains(family, muscle.slack, s, muscle.blend_mm)


def excitation(activation: np.ndarray, threshold: np.ndarray | float) -> np.ndarray:
    """Return how far a furrow has formed, 0 to about 0.9: none below its threshold, then saturating."""
    above = (activation - threshold).clip(0.0)
    return 1.0 - exp(-2.2 * above / (1.0 - 0.8 * threshold))
