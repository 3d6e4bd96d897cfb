"""Lines of relaxed skin tension: how skin's own lines and pores lie where no muscle pulls."""

from __future__ import annotations

import functools

import numpy as np

from .chart import Chart, smoothstep


def tension(face: np.ndarray, marks: dict[str, np.ndarray]) -> np.ndarray:
    """Return the direction of the tension lines as an angle in radians, modulo pi.

    They run across the forehead and the neck, around the mouth on the lower face, and fan out from
    the eye's outer corner at the temple (Borges 1984).

    Parameters
    ----------
    face
        (n, 2) face coordinates (s, z) in mm. An angle is measured from s towards z.
    marks
        Landmarks in face coordinates, :attr:`chart.Chart.marks`.
    """
    s, z = np.abs(face[:, 0]), face[:, 1]
    eye, corner = marks["eye_outer"], marks["mouth_corner"]
    around = np.arctan2(s, -(z - corner[1]))
    fan = np.arctan2(z - eye[1], s - eye[0])
    upper = smoothstep(eye[1] - 24, eye[1] - 2, z)
    temple = upper * smoothstep(0.75 * eye[0], 1.1 * eye[0], s)
    across = np.maximum(upper - temple, smoothstep(marks["chin"][1], marks["chin"][1] - 22, z))
    # Directions without sense are averaged by their doubled angles.
    rest = np.clip(1.0 - temple - across, 0.0, 1.0)
    mean = 0.5 * np.angle(rest * np.exp(2j * around) + temple * np.exp(2j * fan) + across)
    return np.where(face[:, 0] < 0, -mean, mean)


@functools.lru_cache(maxsize=6)
def skin_tension(skin: Chart) -> np.ndarray:
    """Return :func:`tension` at every texel of the skin, float32 (N,)."""
    return tension(skin.face, skin.marks).astype(np.float32)
