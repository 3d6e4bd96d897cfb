"""Our own eyeballs: sclera with an inset iris, and a cornea that bulges over it.

They replace the package's coarse ones; centre and size come from the package's eye vertices by a
linear fit, so that the eyes stay linear in the shape.
UV of material `eye` is radial: the pupil's centre at (0.5, 0.5), the rim of the iris at radius
0.25, the back of the eye at radius 0.5. The cornea's UV is radial too, its rim at radius 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...backend.head.contact import CORNEA_RADIUS, CORNEA_RIM
from .source import Source

SEGMENTS = 28
RADIUS_SHARE = 0.88
"""Our eyeball's radius over that of the package, whose eye is too large for its lids: 12.5 mm."""
LIMBUS = np.deg2rad(28.0)
"""Polar angle of the iris' rim: 5.9 mm from the axis."""


@dataclass
class EyePart:
    """A unit eye part looking along -Y: points (n, 3), faces (m, 4), uv (m, 4, 2)."""

    points: np.ndarray
    faces: np.ndarray
    uv: np.ndarray


def eyeball() -> EyePart:
    """Unit eyeball: pupil pole, concave iris, sclera to the back pole."""
    iris = np.array([0.16, 0.33, 0.36, 0.6, 0.85, 1.0])
    rim = np.cos(LIMBUS)
    profile = [(s * np.sin(LIMBUS), rim - 0.020 - 0.030 * (1 - s * s), 0.25 * s) for s in iris]
    angles = np.deg2rad([28.5, 31, 35, 41, 49, 60, 75, 92, 110, 130, 152])
    back = 0.25 + 0.25 * (angles - LIMBUS) / (np.pi - LIMBUS)
    profile += [(np.sin(a), np.cos(a), r) for a, r in zip(angles, back, strict=True)]
    return _lathe(profile, front=rim - 0.052, rear=-1.0)


def cornea() -> EyePart:
    """Clear cap over the iris, closing on the sclera just outside the limbus."""
    rim = np.sin(CORNEA_RIM)
    centre = np.cos(CORNEA_RIM) - np.sqrt(CORNEA_RADIUS**2 - rim**2)
    widest = np.arcsin(rim / CORNEA_RADIUS)
    angles = widest * np.array([0.18, 0.36, 0.54, 0.72, 0.88, 1.0])
    profile = [
        (CORNEA_RADIUS * np.sin(a), centre + CORNEA_RADIUS * np.cos(a), 0.5 * a / widest)
        for a in angles
    ]
    return _lathe(profile, front=centre + CORNEA_RADIUS, rear=None)


def _lathe(profile: list[tuple[float, float, float]], front: float, rear: float | None) -> EyePart:
    """Turn a profile of (radius, forward, uv radius) about the axis of view."""
    turn = 2 * np.pi * np.arange(SEGMENTS) / SEGMENTS
    points, radial = [np.array([[0.0, -front, 0.0]])], [0.0]
    for radius, forward, uv_radius in profile:
        ring = np.stack(
            [radius * np.cos(turn), np.full(SEGMENTS, -forward), radius * np.sin(turn)], 1
        )
        points.append(ring)
        radial.append(uv_radius)
    faces, uv = [], []
    around = np.stack([np.cos(turn), np.sin(turn)], 1)
    for i in range(SEGMENTS):
        j = (i + 1) % SEGMENTS
        faces.append([0, 1 + i, 1 + j, -1])
        uv.append([[0.5, 0.5], 0.5 + radial[1] * around[i], 0.5 + radial[1] * around[j], [0, 0]])
    for k in range(len(profile) - 1):
        near, far = 1 + k * SEGMENTS, 1 + (k + 1) * SEGMENTS
        for i in range(SEGMENTS):
            j = (i + 1) % SEGMENTS
            faces.append([near + i, far + i, far + j, near + j])
            r, s = radial[k + 1], radial[k + 2]
            uv.append([0.5 + q * around[n] for q, n in ((r, i), (s, i), (s, j), (r, j))])
    if rear is not None:
        last, pole = 1 + (len(profile) - 1) * SEGMENTS, 1 + len(profile) * SEGMENTS
        points.append(np.array([[0.0, -rear, 0.0]]))
        for i in range(SEGMENTS):
            j = (i + 1) % SEGMENTS
            faces.append([last + i, pole, last + j, -1])
            r = radial[-1]
            middle = around[i] + around[j]
            pole_uv = 0.5 + 0.5 * middle / np.linalg.norm(middle)
            uv.append([0.5 + r * around[i], pole_uv, 0.5 + r * around[j], [0, 0]])
    return EyePart(np.concatenate(points), np.array(faces), np.array(uv, np.float64))


class EyeFit:
    """Centre and radius of an eyeball as linear functions of the package's eye vertices."""

    def __init__(self, source: Source, person: np.ndarray, side: str) -> None:
        self.vertices = np.unique(source.quads[f"helper-{side}-eye"])
        points = person[self.vertices]
        # The package's eye carries a bulge in front: its width and height give the sphere.
        low, high = points.min(0), points.max(0)
        self.radius = float(0.25 * (high - low)[[0, 2]].sum())
        centre = np.array([0.5 * (low + high)[0], high[1] - self.radius, 0.5 * (low + high)[2]])
        self.weights = np.linalg.pinv(
            np.column_stack([np.ones(len(points)), (points - centre) / self.radius])
        )

    def __call__(self, person: np.ndarray) -> tuple[np.ndarray, float]:
        """Return centre (3,) and radius of the eye of a body (19158, 3)."""
        solved = self.weights @ person[self.vertices]
        return solved[0], float(np.trace(solved[1:]) / 3)


def rotate(points: np.ndarray, centre: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Turn points about a centre: yaw > 0 towards +X, pitch > 0 upwards, radians."""
    cy, sy, cp, sp_ = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    about_x = np.array([[1, 0, 0], [0, cp, sp_], [0, -sp_, cp]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return (points - centre) @ (about_z @ about_x).T + centre
