"""An analytic stand-in for the corpus: lines that the skin places and the expression deepens."""

from __future__ import annotations

import numpy as np
from furrow.backend.formats.expressions import INDEX
from furrow.backend.formats.identity import SKIN

SHAPE_COUNT = 10


def random_identity(rng: np.random.Generator) -> np.ndarray:
    """(SHAPE_COUNT + 16,): shape, which moves no line here, then skin in [0, 1]."""
    return np.concatenate([rng.standard_normal(SHAPE_COUNT), rng.uniform(0, 1, len(SKIN))]).astype(
        np.float32
    )


def random_expression(rng: np.random.Generator) -> np.ndarray:
    """A few of the 52 weights at random strengths."""
    expression = np.zeros(52, np.float32)
    chosen = rng.choice(52, rng.integers(1, 10), replace=False)
    expression[chosen] = rng.uniform(0, 1, chosen.size)
    for name in ("browInnerUp", "eyeSquintLeft", "eyeSquintRight", "browDownLeft"):
        if rng.random() < 0.4:
            expression[INDEX[name]] = rng.uniform(0, 1)
    return expression


def stand_in_map(identity: np.ndarray, expression: np.ndarray, resolution: int) -> np.ndarray:
    """Forehead lines, glabellar lines and crow's feet in mm, (R, R) float32."""
    skin = dict(zip(SKIN, identity[SHAPE_COUNT:], strict=True))
    u, v = np.meshgrid(*[(np.arange(resolution) + 0.5) / resolution] * 2)
    image = np.zeros((resolution, resolution))

    def excite(name: str, threshold: float, rest: float) -> float:
        a = expression[INDEX[name]]
        return float(max(rest, 1 - np.exp(-2.2 * max(0.0, a - threshold) / (1 - 0.8 * threshold))))

    def valley(distance: np.ndarray, width: float) -> np.ndarray:
        s = (distance / width) ** 2
        return -np.exp(-s) + 0.5 * np.exp(-s / 4)

    rest = 0.3 * skin["age"] ** 2
    for i in range(5):
        y = 0.3 - i * (0.03 + 0.02 * skin["forehead_spacing"])
        curve = y + 0.25 * (skin["forehead_bow"] - 0.5) * (u - 0.5) ** 2 * 4
        curve = curve + 0.006 * np.sin(2 * np.pi * (u * 3 + i * 0.37 + skin["asymmetry"]))
        side = np.exp(-(((u - 0.5) / 0.2) ** 4))
        depth = (0.4 + 0.6 * skin["forehead_depth"]) * excite("browInnerUp", 0.05 + 0.08 * i, rest)
        image += depth * side * valley(v - curve, 0.008 + 0.004 * skin["thickness"])
    for i in (-1, 1):
        x = 0.5 + i * (0.02 + 0.02 * skin["glabella_layout"])
        depth = (0.3 + 0.8 * skin["glabella_depth"]) * excite("browDownLeft", 0.2, rest * 0.5)
        image += depth * np.exp(-(((v - 0.36) / 0.04) ** 4)) * valley(u - x, 0.009)
    for side, name in ((-1, "eyeSquintRight"), (1, "eyeSquintLeft")):
        x, y = (u - 0.5) * side - 0.2, v - 0.45
        radius, angle = np.hypot(x, y) + 1e-9, np.arctan2(y, x)
        fade = np.exp(-(((radius - 0.08) / 0.045) ** 4)) * (x > 0)
        for i in range(-2, 3):
            ray = angle - i * (0.2 + 0.2 * skin["crows_feet_spread"])
            depth = (0.2 + 0.4 * skin["crows_feet_depth"]) * excite(name, 0.1, rest)
            image += depth * fade * valley(radius * np.sin(ray), 0.006) * (np.abs(ray) < 1)
    return image.astype(np.float32)
