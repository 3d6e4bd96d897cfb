"""Our own teeth and gums: fourteen rounded crowns a jaw on a parabolic arch.

They replace the package's two bent strips and follow them by an affine fit a jaw, which is linear
in the package's vertices. Lengths are metres in the package's body space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .source import Source

HALF_WIDTH, DEPTH, FRONT = 0.0295, 0.042, -0.1400
"""Outer half width of the arch at the last molar, its depth, and y of its foremost point."""
OCCLUSAL = 0.6640
"""Height of the plane in which the molars meet."""
RINGS, SEGMENTS, STATIONS = 5, 8, 25

# From the middle to the last molar: width, height of the crown, depth at the neck and at the edge, mm.
_UPPER = np.array(
    [[8.6, 10.3, 6.8, 1.6], [6.8, 9.2, 6.0, 1.5], [7.7, 10.0, 7.6, 2.2], [7.0, 8.4, 8.6, 6.4],
     [6.8, 8.0, 8.8, 6.8], [10.0, 7.4, 10.4, 8.8], [9.6, 7.0, 10.4, 8.8]]
)  # fmt: skip
_LOWER = np.array(
    [[5.5, 8.8, 5.8, 1.4], [6.0, 9.2, 6.0, 1.5], [6.9, 10.2, 7.4, 2.2], [7.0, 8.4, 7.6, 5.8],
     [7.1, 8.0, 8.0, 6.4], [11.0, 7.4, 10.0, 8.4], [10.4, 7.0, 10.0, 8.4]]
)  # fmt: skip


@dataclass
class Jaw:
    """One jaw: points (n, 3) on the average, faces, which faces are gums, and the affine fit."""

    points: np.ndarray
    faces: np.ndarray
    is_gum: np.ndarray
    vertices: np.ndarray
    weights: np.ndarray

    def place(self, body: np.ndarray) -> np.ndarray:
        """Return the jaw's vertices (n, 3) in a body (19158, 3), or its offsets for offsets."""
        homogeneous = np.column_stack([np.ones(len(self.points)), self.points])
        return homogeneous @ (self.weights @ body[self.vertices])


def make_jaw(source: Source, person: np.ndarray, upper: bool) -> Jaw:
    """Build the upper or lower jaw on the average person (19158, 3)."""
    sizes = (_UPPER if upper else _LOWER) * 1e-3
    # The lower arch lies inside the upper one.
    inset = 0.0 if upper else 0.0022
    sign = 1.0 if upper else -1.0
    arch, tangent = _arch(inset)
    total = sizes[:, 0].sum()
    points, faces, is_gum, count = [], [], [], 0
    for side in (1.0, -1.0):
        start = 0.0
        for rank, (width, height, neck, edge) in enumerate(sizes):
            along = (start + 0.5 * width) / total
            start += width
            # Incisors overlap in the bite, molars meet.
            reach = -0.0020 if rank < 3 else 0.0
            bottom = OCCLUSAL + sign * reach * (1.0 if upper else 0.3)
            scale = _arch_length(inset) / total
            crown, crown_faces = _crown(0.5 * width * scale, height, neck, edge, rank)
            place, way = arch(along), tangent(along)
            way, place = way * [side, 1.0], place * [side, 1.0]
            inwards = np.array([-way[1], way[0]]) * side
            flat = place + crown[:, :1] * way + (crown[:, 1:2] + 0.5 * neck) * inwards
            points.append(np.column_stack([flat, bottom + sign * crown[:, 2]]))
            crown_faces = _outwards(points[-1], crown_faces)
            faces.append(np.where(crown_faces < 0, -1, crown_faces + count))
            is_gum.append(np.zeros(len(crown_faces), bool))
            count += len(crown)
    gum, gum_faces = _gum(arch, tangent, sizes, sign)
    points.append(gum)
    faces.append(_outwards(gum, gum_faces) + count)
    is_gum.append(np.ones(len(gum_faces), bool))
    vertices = np.unique(source.quads[f"helper-{'upper' if upper else 'lower'}-teeth"])
    weights = np.linalg.pinv(np.column_stack([np.ones(len(vertices)), person[vertices]]))
    return Jaw(
        np.concatenate(points), np.concatenate(faces), np.concatenate(is_gum), vertices, weights
    )


def _samples(inset: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) of half the arch, x and y, and arc length (n,)."""
    width = HALF_WIDTH - inset
    x = width * np.linspace(0, 1, 400)
    y = FRONT + inset + (DEPTH - inset) * (x / width) ** 2.3
    line = np.column_stack([x, y])
    return line, np.r_[0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))]


def _arch_length(inset: float) -> float:
    return float(_samples(inset)[1][-1])


def _arch(inset: float):
    """Half the arch as functions of the share of its length: place (2,) and unit tangent (2,)."""
    line, length = _samples(inset)
    share = length / length[-1]

    def place(s: float) -> np.ndarray:
        return np.array([np.interp(s, share, line[:, k]) for k in range(2)])

    def tangent(s: float) -> np.ndarray:
        step = place(min(s + 0.02, 1.0)) - place(max(s - 0.02, 0.0))
        return step / np.linalg.norm(step)

    return place, tangent


def _crown(
    half: float, height: float, neck: float, edge: float, rank: int
) -> tuple[np.ndarray, np.ndarray]:
    """A crown: (n, 3) along the arch, inwards, and from the edge (0) to the neck and beyond."""
    level = np.array([1.12, 0.72, 0.35, 0.08, 0.0])
    wide = (
        np.array([0.76, 0.93, 1.0, 0.97, 0.84])
        if rank < 3
        else np.array([0.80, 0.96, 1.0, 0.92, 0.66])
    )
    if rank == 2:
        wide = np.array([0.78, 0.98, 0.98, 0.66, 0.36])  # the canine's point
    thick = np.interp(
        level, [0, 0.35, 1.12], [0.75 * edge, 1.25 * edge if rank < 3 else 1.06 * edge, neck]
    )
    turn = 2 * np.pi * (np.arange(SEGMENTS) + 0.5) / SEGMENTS
    power = 0.62  # superellipse: rounded boxes
    across = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power
    depth = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power
    rings = []
    for k in range(RINGS):
        # The front stays nearly upright, so the thinning comes from behind.
        lean = -0.42 * (neck - thick[k]) + 0.0004 * level[k]
        rings.append(
            np.column_stack(
                [
                    half * wide[k] * across,
                    0.5 * thick[k] * depth + lean,
                    np.full(SEGMENTS, height * level[k]),
                ]
            )
        )
    tip = rings[-1].mean(0) - [0.0, 0.0, 0.0002]
    points = np.concatenate([*rings, tip[None]])
    faces = []
    for k in range(RINGS - 1):
        for i in range(SEGMENTS):
            j = (i + 1) % SEGMENTS
            faces.append(
                [k * SEGMENTS + i, k * SEGMENTS + j, (k + 1) * SEGMENTS + j, (k + 1) * SEGMENTS + i]
            )
    last = (RINGS - 1) * SEGMENTS
    faces += [[last + i, last + (i + 1) % SEGMENTS, len(points) - 1, -1] for i in range(SEGMENTS)]
    return points, np.array(faces)


def _gum(arch, tangent, sizes: np.ndarray, sign: float) -> tuple[np.ndarray, np.ndarray]:
    """The gum: a tube along the arch that the necks stand in."""
    share = np.r_[0, np.cumsum(sizes[:, 0])] / sizes[:, 0].sum()
    share = 0.5 * (share[:-1] + share[1:])
    turn = 2 * np.pi * np.arange(SEGMENTS) / SEGMENTS
    points = []
    for s in np.linspace(-1, 1, STATIONS):
        side, at = (1.0 if s >= 0 else -1.0), abs(s)
        place, way = arch(at) * [side, 1.0], tangent(at) * [side, 1.0]
        inwards = np.array([-way[1], way[0]]) * side
        height, neck = np.interp(at, share, sizes[:, 1]), np.interp(at, share, sizes[:, 2])
        middle = OCCLUSAL + sign * (height + 0.0032)
        flat = place + (0.46 * neck + (0.5 * neck + 0.0006) * np.cos(turn))[:, None] * inwards
        points.append(np.column_stack([flat, middle + sign * 0.0050 * np.sin(turn)]))
    start = SEGMENTS * np.arange(STATIONS - 1)[:, None] + np.arange(SEGMENTS)
    after = SEGMENTS * np.arange(STATIONS - 1)[:, None] + (np.arange(SEGMENTS) + 1) % SEGMENTS
    faces = np.stack([start, start + SEGMENTS, after + SEGMENTS, after], -1).reshape(-1, 4)
    return np.concatenate(points), faces


def _outwards(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Faces (n, 4) turned so that the volume that they enclose is positive."""
    a, b, c = (points[faces[:, k]] - points.mean(0) for k in range(3))
    if (np.cross(a, b) * c).sum() > 0:
        return faces
    flipped = faces[:, ::-1].copy()
    triangle = faces[:, 3] < 0
    flipped[triangle] = np.column_stack([faces[triangle][:, [0, 2, 1]], faces[triangle][:, 3]])
    return flipped
