"""The 52 face units on the average bust: the package's own, with weak ones made stronger.

Coordinates and lengths are metres in the package's body space.
"""

from __future__ import annotations

import numpy as np

from ...backend.formats.expressions import EXPRESSIONS, INDEX
from .atlas import smoothstep
from .source import Source

BROW_TOP, HAIRLINE = 0.750, 0.806
"""Heights between which the forehead's skin is pushed together by a raised brow."""


def average_units(source: Source, rows, body: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return the units' offsets (52, V, 3) on the bust.

    Parameters
    ----------
    rows
        Sparse (V, 19158) of the bust.
    body, normals
        (V, 3) the average bust in body space.
    """
    units = np.stack([rows @ source.unit(name) for name in EXPRESSIONS])
    left, right = body[:, 0], -body[:, 0]
    side = np.abs(body[:, 0])
    units[INDEX["browInnerUp"]] *= 1.25
    _slide_forehead(
        units[INDEX["browInnerUp"]], body, normals, 0.0065, 1 - 0.75 * smoothstep(side, 0.02, 0.05)
    )
    for suffix, across in (("Left", left), ("Right", right)):
        window = smoothstep(across, 0.004, 0.034)
        _slide_forehead(units[INDEX[f"browOuterUp{suffix}"]], body, normals, 0.0066, window)
        smile = units[INDEX[f"mouthSmile{suffix}"]]
        smile *= 0.85
        for name, amount in (("mouthSmile", 1.0), ("cheekSquint", 0.4)):
            _lift_cheek(units[INDEX[f"{name}{suffix}"]], body, across, amount)
        _squeeze_eye(units[INDEX[f"eyeSquint{suffix}"]], body, across)
    return units


def _slide_forehead(
    offsets: np.ndarray, body: np.ndarray, normals: np.ndarray, amount: float, window: np.ndarray
) -> None:
    """Push the forehead's skin up, from `amount` at the brow to nothing at the hairline.

    The package moves the brow alone; the frontalis shortens the whole forehead.
    """
    y, z = body[:, 1], body[:, 2]
    rise = np.clip((HAIRLINE - z) / (HAIRLINE - BROW_TOP), 0.0, 1.0) ** 1.15
    front = smoothstep(-y, 0.045, 0.085) * smoothstep(z, BROW_TOP - 0.012, BROW_TOP + 0.002)
    push = amount * window * rise * front
    up = np.array([0.0, 0.0, 1.0]) - normals * normals[:, 2:3]
    up /= np.maximum(np.linalg.norm(up, axis=1, keepdims=True), 0.3)
    present = (offsets * up).sum(1)
    offsets += np.maximum(push - np.maximum(present, 0.0), 0.0)[:, None] * up


def _lift_cheek(offsets: np.ndarray, body: np.ndarray, across: np.ndarray, amount: float) -> None:
    """Raise and swell the cheek beside the nose: zygomaticus under the malar fat."""
    distance = np.hypot((across - 0.042) / 0.020, (body[:, 2] - 0.703) / 0.018)
    bump = amount * np.exp(-(distance**2)) * smoothstep(-body[:, 1], 0.07, 0.10)
    offsets += bump[:, None] * np.array([0.0, -0.0026, 0.0022])


def _squeeze_eye(offsets: np.ndarray, body: np.ndarray, across: np.ndarray) -> None:
    """Draw the skin below and outside the eye towards it: orbicularis oculi."""
    x, z = across - 0.030, body[:, 2] - 0.7290
    distance = np.hypot(x / 0.026, (z + 0.008) / 0.018)
    around = np.exp(-(distance**2) * 1.2) * smoothstep(-body[:, 1], 0.06, 0.10)
    below = smoothstep(-z, 0.003, 0.012)
    outside = smoothstep(x, 0.008, 0.018)
    lift = 0.0010 * around * below
    pull = -0.0014 * around * outside * np.sign(body[:, 0])
    offsets += np.stack([pull, np.zeros_like(lift), lift], 1)
