"""The 52 ARKit expressions: names, order, regions, mirroring, presets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import FurrowError

_EYE = ("eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide")

EXPRESSIONS: tuple[str, ...] = (
    *(f"{name}Left" for name in _EYE),
    *(f"{name}Right" for name in _EYE),
    "jawForward", "jawRight", "jawLeft", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthRight", "mouthLeft",
    "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)  # fmt: skip
"""Names in lower camel case, in the order of Live Link Face."""

ROUNDING = 1e-6
"""How far beyond [0, 1] a weight may lie and still count as its end: some units of float32."""

INDEX: dict[str, int] = {name: i for i, name in enumerate(EXPRESSIONS)}

REGIONS: dict[str, tuple[str, ...]] = {
    "Brows": tuple(n for n in EXPRESSIONS if n.startswith("brow")),
    "Eyes": tuple(n for n in EXPRESSIONS if n.startswith("eye")),
    "Cheeks and Nose": tuple(n for n in EXPRESSIONS if n.startswith(("cheek", "nose"))),
    "Jaw": tuple(n for n in EXPRESSIONS if n.startswith("jaw")),
    "Mouth": tuple(n for n in EXPRESSIONS if n.startswith("mouth")),
    "Tongue": ("tongueOut",),
}
"""The expressions by region of the face, as the panel groups them."""


def _both(**weights: float) -> dict[str, float]:
    """Expand names that have Left and Right partners to both sides."""
    expanded: dict[str, float] = {}
    for name, weight in weights.items():
        if name in INDEX:
            expanded[name] = weight
        else:
            expanded[f"{name}Left"] = weight
            expanded[f"{name}Right"] = weight
    return expanded


FACESCAPE_PRESETS: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": _both(mouthSmile=0.9, cheekSquint=0.4, eyeSquint=0.2),
    "mouth-stretch": _both(jawOpen=0.9, mouthStretch=0.5, mouthLowerDown=0.4, browInnerUp=0.2),
    "anger": _both(browDown=1.0, eyeSquint=0.4, noseSneer=0.5, mouthPress=0.5, mouthFrown=0.3),
    "jaw-left": {"jawLeft": 1.0},
    "jaw-right": {"jawRight": 1.0},
    "jaw-forward": {"jawForward": 1.0},
    "mouth-left": {"mouthLeft": 1.0},
    "mouth-right": {"mouthRight": 1.0},
    "dimpler": _both(mouthDimple=1.0, mouthPress=0.3),
    "chin-raiser": _both(mouthShrugLower=1.0, mouthShrugUpper=0.4, mouthFrown=0.2),
    "lip-puckerer": {"mouthPucker": 1.0},
    "lip-funneler": {"mouthFunnel": 1.0, "jawOpen": 0.15},
    "sadness": _both(browInnerUp=0.8, mouthFrown=0.8, mouthShrugLower=0.4, eyeSquint=0.15),
    "lip-roll": {"mouthRollLower": 0.9, "mouthRollUpper": 0.9},
    "grin": _both(mouthSmile=0.7, mouthUpperUp=0.6, mouthLowerDown=0.5, mouthStretch=0.3),
    "cheek-blowing": _both(cheekPuff=1.0, mouthPress=0.4),
    "eye-closed": _both(eyeBlink=1.0, eyeSquint=0.3, cheekSquint=0.2),
    "brow-raiser": _both(browInnerUp=1.0, browOuterUp=1.0, eyeWide=0.3),
    "brow-lower": _both(browDown=1.0),
}
"""The 20 expressions of FaceScape as mixtures of ARKit weights."""


def mirrored(name: str) -> str:
    """Return the expression's partner on the other side, or the name itself if it has none."""
    for one, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(one) and name[: -len(one)] + other in INDEX:
            return name[: -len(one)] + other
    return name


def nearest(name: str, names: Sequence[str]) -> str:
    """Return the known name that is most like a misspelled one."""
    import difflib  # only for an error: it would add 20 ms to Blender's start

    return difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]


def canonical(name: str) -> str:
    """Return the ARKit name in lower camel case; a capital first letter is accepted.

    Raises
    ------
    FurrowError
        If no expression has that name; the message says the nearest one.
    """
    lowered = name[:1].lower() + name[1:]
    if lowered in INDEX:
        return lowered
    near = nearest(lowered, EXPRESSIONS)
    raise FurrowError(f'There is no expression "{name}". Did you mean "{near}"?')


def check_expression(expression: np.ndarray) -> np.ndarray:
    """Return an expression as float32 (52,) within [0, 1].

    What rounding puts beyond the ends becomes the ends; anything further is refused, for it is an
    error of whoever asks. Keys that an artist lets overshoot are clipped where they are read, by the
    add-on's ``expression_of``.

    Raises
    ------
    FurrowError
        For another number of weights, or one that is not a number in [0, 1].
    """
    expression = np.asarray(expression, np.float32)
    if expression.shape != (len(EXPRESSIONS),):
        raise FurrowError(f"An expression has 52 weights, this one has {expression.size}.")
    wrong = ~((expression >= -ROUNDING) & (expression <= 1 + ROUNDING))  # true for NaN too
    if wrong.any():
        first = int(np.argmax(wrong))
        raise FurrowError(
            f"The weight of {EXPRESSIONS[first]} is {expression[first]:g}; "
            "it must lie between 0 and 1."
        )
    return np.clip(expression, 0.0, 1.0)


def vector(weights: Mapping[str, float]) -> np.ndarray:
    """Return weights by name as a float32 vector (52,), absent names being 0.

    Raises
    ------
    FurrowError
        For an unknown name, or a weight that is not a number in [0, 1].
    """
    expression = np.zeros(len(EXPRESSIONS), np.float32)
    for name, weight in weights.items():
        if not 0.0 <= weight <= 1.0:  # false for NaN too
            raise FurrowError(f"The weight of {name} is {weight}; it must lie between 0 and 1.")
        expression[INDEX[canonical(name)]] = weight
    return expression


def parse_weights(text: str) -> np.ndarray:
    """Read ``jawOpen=0.7,browInnerUp=1`` as a float32 vector (52,); raises FurrowError."""
    return vector(parse_pairs(text, "jawOpen=0.7"))


def parse_pairs(text: str, example: str) -> dict[str, float]:
    """Read ``name=0.7,other=1`` as numbers by name; raises FurrowError, which shows the example."""
    pairs: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = part.partition("=")
        try:
            pairs[name.strip()] = float(value)
        except ValueError:
            raise FurrowError(
                f'"{part}" is no weight; write NAME=NUMBER, as in {example}.'
            ) from None
    return pairs
