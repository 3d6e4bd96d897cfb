"""Eyebrows and lashes: thin tapered cards bound to triangles of the skin.

Every card is rooted in one triangle and keeps its shape in that triangle's frame, so it follows
each identity and each expression, and its length stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BROW_LINE = np.array(
    [
        [0.0095, 0.7425],
        [0.017, 0.7455],
        [0.028, 0.7485],
        [0.038, 0.7488],
        [0.047, 0.7455],
        [0.054, 0.7405],
    ]
)
"""Middle line of the left brow in the front view (x, z), inner to outer end, metres."""
BROW_HEIGHT = np.array([0.0085, 0.0095, 0.0085, 0.0070, 0.0048, 0.0015])
BROW_HAIRS = 240
LASHES = {"upper": 56, "lower": 34}
LASH_LENGTH = {"upper": 0.0078, "lower": 0.0045}


@dataclass
class Hair:
    """Cards of five vertices: root pair, middle pair, tip.

    Attributes
    ----------
    triangle
        int (n, 3): the skin vertices each card is rooted in.
    root
        (n, 3) barycentric coordinates of the root.
    local
        (n, 5, 3) card vertices from the root in the triangle's frame, metres.
    """

    triangle: np.ndarray
    root: np.ndarray
    local: np.ndarray

    def place(self, points: np.ndarray) -> np.ndarray:
        """Return card vertices (..., 5 n, 3) on skin vertices (..., V, 3)."""
        a, b, c = (points[..., self.triangle[:, k], :] for k in range(3))
        root = sum(self.root[:, k, None] * p for k, p in enumerate((a, b, c)))
        axes = triangle_frames(a, b, c)
        cards = root[..., None, :] + np.einsum("...nij,nkj->...nki", axes, self.local)
        return cards.reshape(*points.shape[:-2], -1, 3)

    @property
    def count(self) -> int:
        return 5 * len(self.triangle)

    def faces(self) -> np.ndarray:
        """(2 n, 4): a quad and a triangle a card."""
        start = 5 * np.arange(len(self.triangle))[:, None]
        quads = start + np.array([0, 1, 3, 2])
        tips = np.concatenate([start + np.array([2, 3, 4]), np.full_like(start, -1)], axis=1)
        return np.stack([quads, tips], axis=1).reshape(-1, 4)

    def uv(self) -> np.ndarray:
        """(2 n, 4, 2): u across, v from root (0) to tip (1)."""
        quad = [[0.0, 0.0], [1.0, 0.0], [0.9, 0.6], [0.1, 0.6]]
        tip = [[0.1, 0.6], [0.9, 0.6], [0.5, 1.0], [0.0, 0.0]]
        return np.tile(np.array([quad, tip]), (len(self.triangle), 1, 1))


LASH_TILT = 1.2
"""How much further than the lid's edge the lashes tip when the lid turns about the eye."""


@dataclass
class Lashes(Hair):
    """Cards in a frame that turns with the lid about the eye, rather than in a triangle's.

    Attributes
    ----------
    side
        int (n,): 0 for the left eye, 1 for the right one.
    pitch
        (n,) angle of the root above the eye's equator on the average face at rest, radians.
    along
        (n,) share of the way from the root vertex to `neighbour`.
    neighbour
        int (n,).
    """

    side: np.ndarray
    pitch: np.ndarray
    along: np.ndarray
    neighbour: np.ndarray

    def place_about(self, points: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Return card vertices (..., 5 n, 3) on skin (..., V, 3) about eye centres (2, 3)."""
        near = points[..., self.triangle[:, 0], :]
        root = near + self.along[:, None] * (points[..., self.neighbour, :] - near)
        axes = lash_frames(root, centres[self.side], self.pitch)
        cards = root[..., None, :] + np.einsum("...nij,nkj->...nki", axes, self.local)
        return cards.reshape(*points.shape[:-2], -1, 3)


def lash_frames(root: np.ndarray, centre: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Frames (..., n, 3, 3), columns: sideways, up, out of the eye, tipped by the lid's turn."""
    out = root - centre
    out = out / np.linalg.norm(out, axis=-1, keepdims=True)
    turn = LASH_TILT * (np.arctan2(out[..., 2], -out[..., 1]) - pitch)
    cos, sin = np.cos(turn), np.sin(turn)
    x, y, z = np.moveaxis(out, -1, 0)
    out = np.stack([x, cos * y + sin * z, cos * z - sin * y], axis=-1)  # positive turns go up
    side = np.cross(out, np.array([0.0, 0.0, 1.0]))
    side = side / np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-9)
    return np.stack([side, np.cross(side, out), out], axis=-1)


def triangle_frames(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Orthonormal frames (..., 3, 3), columns: first edge, in-plane normal to it, normal."""
    first = b - a
    first = first / np.maximum(np.linalg.norm(first, axis=-1, keepdims=True), 1e-12)
    normal = np.cross(b - a, c - a)
    normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-14)
    return np.stack([first, np.cross(normal, first), normal], axis=-1)


def _bind(points: np.ndarray, triangles: np.ndarray, root: np.ndarray, cards: np.ndarray) -> Hair:
    """Express card vertices (n, 5, 3) in the frames of their triangles (n, 3)."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    origin = sum(root[:, k, None] * p for k, p in enumerate((a, b, c)))
    local = np.einsum("nij,nki->nkj", triangle_frames(a, b, c), cards - origin[:, None])
    return Hair(triangles, root, local)


def _card(
    root: np.ndarray, way: np.ndarray, normal: np.ndarray, length: float, width: float, curl: float
) -> np.ndarray:
    """Five vertices (5, 3) of a card that leaves along `way` and curls by `curl` towards normal."""
    across = np.cross(way, normal)
    across /= np.linalg.norm(across)
    middle = root + 0.55 * length * way + 0.3 * curl * length * normal
    tip = root + length * way + curl * length * normal
    half = 0.5 * width * across
    return np.stack([root - half, root + half, middle - 0.7 * half, middle + 0.7 * half, tip])


def make_brows(points: np.ndarray, normals: np.ndarray, triangles: np.ndarray) -> Hair:
    """Brows on the average bust (body space), left and right mirrored with small differences."""
    rng = np.random.default_rng(7)
    front = points[triangles][:, :, 1].mean(1) < -0.09
    near = front & (np.abs(points[triangles][:, :, 2].mean(1) - 0.746) < 0.02)
    pool = triangles[near]
    length_along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(BROW_LINE, axis=0), axis=1))]
    length_along /= length_along[-1]
    corners, roots, cards = [], [], []
    for sign in (1.0, -1.0):
        for i in range(BROW_HAIRS):
            s = np.clip((i + rng.uniform()) / BROW_HAIRS, 0.0, 0.995) ** 0.92
            middle = np.array([np.interp(s, length_along, BROW_LINE[:, k]) for k in range(2)])
            t = rng.uniform(-0.5, 0.5)
            place = middle + np.array([0.0, t * np.interp(s, length_along, BROW_HEIGHT) - 0.0015])
            # Inner hairs rise, middle ones lean outwards, outer ones fall; upper ones lie flatter.
            lean = np.interp(s, [0, 0.12, 0.4, 0.75, 1.0], [80, 62, 36, 6, -24]) - 30 * t
            lean = np.deg2rad(lean + rng.normal(0, 6))
            hit = _under(points, pool, place * [sign, 1.0])
            if hit is None:
                continue
            triangle, root = hit
            origin = root @ points[triangle]
            normal = root @ normals[triangle]
            normal /= np.linalg.norm(normal)
            way = np.array([sign * np.cos(lean), 0.0, np.sin(lean)])
            way -= normal * (way @ normal)
            way /= np.linalg.norm(way)
            length = float(np.interp(s, [0, 0.3, 0.8, 1], [0.0065, 0.0082, 0.0072, 0.0045]))
            length *= rng.uniform(0.75, 1.1)
            origin = origin + 0.0001 * normal
            cards.append(_card(origin, way, normal, length, rng.uniform(0.00022, 0.00034), 0.14))
            corners.append(triangle)
            roots.append(root)
    return _bind(points, np.array(corners), np.array(roots), np.array(cards))


def _under(points: np.ndarray, pool: np.ndarray, place: np.ndarray) -> tuple | None:
    """The foremost triangle behind a place of the front view (x, z), and the place's barycentrics."""
    corner = points[pool][:, :, [0, 2]]
    a, b, c = corner[:, 0], corner[:, 1], corner[:, 2]
    det = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    p = place - a
    det = np.where(np.abs(det) < 1e-12, 1e-12, det)
    v = (p[:, 0] * (c - a)[:, 1] - p[:, 1] * (c - a)[:, 0]) / det
    w = ((b - a)[:, 0] * p[:, 1] - (b - a)[:, 1] * p[:, 0]) / det
    hit = np.flatnonzero((v >= -1e-6) & (w >= -1e-6) & (v + w <= 1 + 1e-6))
    if not len(hit):
        return None
    best = hit[points[pool[hit]][:, :, 1].mean(1).argmin()]
    return pool[best], np.array([1 - v[best] - w[best], v[best], w[best]])


def make_lashes(
    points: np.ndarray,
    margins: list[tuple[str, np.ndarray]],
    sides: list[int],
    centres: np.ndarray,
) -> Lashes:
    """Lashes along the front edges of the lids.

    Parameters
    ----------
    margins
        ("upper" or "lower", vertices from the inner to the outer corner), one a lid.
    sides
        0 left, 1 right, one a lid.
    centres
        (2, 3) of the eyes.
    """
    rng = np.random.default_rng(11)
    roots, others, shares, owners, cards = [], [], [], [], []
    for (lid, chain), side in zip(margins, sides, strict=True):
        along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points[chain], axis=0), axis=1))]
        along /= along[-1]
        outwards = 1.0 if side == 0 else -1.0
        rise = 1.0 if lid == "upper" else -1.0
        for i in range(LASHES[lid]):
            s = 0.10 + 0.88 * (i + rng.uniform(0.2, 0.8)) / LASHES[lid]
            k = int(np.clip(np.searchsorted(along, s) - 1, 0, len(chain) - 2))
            roots.append(chain[k])
            others.append(chain[k + 1])
            shares.append((s - along[k]) / (along[k + 1] - along[k]))
            owners.append(side)
            # In the lash's own frame: sideways (to the character's right), up, out.
            fan = -outwards * (0.75 * (s - 0.42) + rng.normal(0, 0.06))
            way = np.array([fan, 0.42 * rise, 1.0])
            way /= np.linalg.norm(way)
            curl = np.array([0.0, rise, 0.0]) - way * way[1] * rise
            curl /= np.linalg.norm(curl)
            length = LASH_LENGTH[lid] * float(np.interp(s, [0, 0.3, 0.75, 1], [0.55, 0.9, 1, 0.7]))
            length *= rng.uniform(0.85, 1.1)
            cards.append(_card(np.zeros(3), way, curl, length, 0.00020, 0.35))
    root, other, share = np.array(roots), np.array(others), np.array(shares)
    start = points[root] + share[:, None] * (points[other] - points[root])
    out = start - centres[owners]
    return Lashes(
        np.repeat(root[:, None], 3, axis=1),
        np.tile([1.0, 0.0, 0.0], (len(root), 1)),
        np.array(cards),
        np.array(owners),
        np.arctan2(out[:, 2], -out[:, 1]),
        share,
        other,
    )
