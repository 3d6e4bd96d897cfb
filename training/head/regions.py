"""Where things are on the average face: landmarks and soft regions, from its symmetric geometry.

All coordinates are metres in the package's body space (Z up, the face looking along -Y), measured
on the average person.
"""

from __future__ import annotations

import itertools

import numpy as np

from .atlas import smoothstep

# Front view (x, z) of landmarks; those with x > 0 get a partner on the other side.
_FRONT = {
    "eye_inner": (0.0185, 0.7285),
    "eye_outer": (0.0415, 0.7290),
    "upper_lid": (0.0300, 0.7335),
    "lower_lid": (0.0300, 0.7252),
    "brow_inner": (0.0120, 0.7440),
    "brow_mid": (0.0300, 0.7500),
    "brow_outer": (0.0470, 0.7450),
    "nose_ala": (0.0170, 0.6930),
    "mouth_corner": (0.0228, 0.6622),
    "cheekbone": (0.0500, 0.7100),
    "cheek": (0.0400, 0.6900),
    "jaw_angle": (0.0560, 0.6560),
    "temple": (0.0640, 0.7500),
    "nose_root": (0.0, 0.7330),
    "nose_bridge": (0.0, 0.7150),
    "nose_tip": (0.0, 0.6930),
    "nose_base": (0.0, 0.6840),
    "upper_lip_top": (0.0, 0.6735),
    "upper_lip_centre": (0.0, 0.6640),
    "lower_lip_centre": (0.0, 0.6625),
    "lower_lip_bottom": (0.0, 0.6510),
    "chin": (0.0, 0.6380),
    "glabella": (0.0, 0.7450),
    "forehead": (0.0, 0.7700),
    "hairline": (0.0, 0.8000),
    "throat": (0.0, 0.5950),
}
_BROW_LINE = np.array(
    [[0.010, 0.7435], [0.020, 0.7478], [0.032, 0.7505], [0.043, 0.7480], [0.052, 0.7420]]
)


def landmarks(points: np.ndarray, normals: np.ndarray, skin: np.ndarray) -> dict[str, int]:
    """Name vertices of the average bust.

    Parameters
    ----------
    points, normals
        (V, 3) of the bust.
    skin
        bool (V,): vertices of visible skin.
    """
    facing = skin & (normals[:, 1] < -0.02)
    vertices: dict[str, int] = {}
    for name, (x, z) in _FRONT.items():
        sides = (("_left", 1.0), ("_right", -1.0)) if x > 0 else (("", 1.0),)
        for suffix, sign in sides:
            distance = np.hypot(points[:, 0] - sign * x, points[:, 2] - z)
            if x == 0:
                distance = distance + 10.0 * np.abs(points[:, 0])
            vertices[name + suffix] = int(np.where(facing, distance, np.inf).argmin())
    for suffix, sign in (("_left", 1.0), ("_right", -1.0)):
        ear = np.where(
            skin & (points[:, 0] * sign > 0.07) & (points[:, 2] > 0.675), points[:, 2], np.nan
        )
        vertices["ear_top" + suffix] = int(
            np.nanargmax(np.where(points[:, 2] < 0.745, ear, np.nan))
        )
        vertices["ear_lobe" + suffix] = int(np.nanargmin(ear))
    vertices["crown"] = int(points[:, 2].argmax())
    vertices["nape"] = int(
        np.where(skin & (np.abs(points[:, 2] - 0.65) < 0.01), points[:, 1], -1).argmax()
    )
    return vertices


def soft_regions(points: np.ndarray) -> dict[str, np.ndarray]:
    """Soft regions of the bust, {name: (V,) in [0, 1]}."""
    x, y, z = points.T
    side = np.abs(x)
    front = smoothstep(-y, 0.06, 0.09)

    def blob(cx: float, cz: float, rx: float, rz: float, soft: float = 0.35) -> np.ndarray:
        distance = np.hypot((side - cx) / rx, (z - cz) / rz)
        return front * (1 - smoothstep(distance, 1 - soft, 1 + soft))

    brow_distance = _distance_to_line(np.stack([side, z], 1), _BROW_LINE)
    ears = (
        smoothstep(side, 0.062, 0.070)
        * smoothstep(y, -0.072, -0.058)
        * (1 - smoothstep(y, -0.025, -0.015))
    )
    ears = ears * smoothstep(z, 0.672, 0.682) * (1 - smoothstep(z, 0.738, 0.746))
    below_jaw = 0.628 + 0.55 * np.clip(y + 0.105, 0.0, 0.08)
    neck = 1 - smoothstep(z, below_jaw - 0.012, below_jaw + 0.004)
    hairline = 0.805 - 1.1 * np.clip(y + 0.105, 0.0, 0.075)
    scalp = smoothstep(z, hairline - 0.010, hairline + 0.010) * (1 - ears) * (1 - neck)
    nose_width = np.interp(z, [0.68, 0.69, 0.70, 0.73], [0.017, 0.020, 0.019, 0.010])
    nose = front * (1 - smoothstep(side, nose_width - 0.003, nose_width + 0.004))
    nose = nose * smoothstep(z, 0.680, 0.685) * (1 - smoothstep(z, 0.728, 0.740))
    return {
        "lips": blob(0.0, 0.663, 0.0245, 0.0112, 0.12),
        "nose": nose,
        "cheeks": blob(0.042, 0.694, 0.024, 0.026),
        "eyelids": blob(0.030, 0.7295, 0.0195, 0.0125),
        "forehead": blob(0.0, 0.778, 0.062, 0.027, 0.25),
        "chin": blob(0.0, 0.638, 0.024, 0.014),
        "ears": ears,
        "neck": neck,
        "scalp": scalp,
        "brow": front * (1 - smoothstep(brow_distance, 0.0035, 0.0075)),
    }


def _distance_to_line(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Distance (n,) of points (n, 2) to a polyline (m, 2)."""
    best = np.full(len(points), np.inf)
    for a, b in itertools.pairwise(line):
        share = np.clip(((points - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
        best = np.minimum(best, np.linalg.norm(points - a - share[:, None] * (b - a), axis=1))
    return best
