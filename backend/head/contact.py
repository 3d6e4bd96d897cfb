"""Lips that touch, lids that close, and lids that stay outside the eye, for every identity.

A linear core leaves gaps of some tenths of a millimetre where two surfaces should meet. These
corrections remove them; their results are plain shape keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..formats.expressions import EXPRESSIONS, INDEX

GAZE = np.deg2rad(27.0)
"""Turn of the eye at eyeLook* = 1."""
CORNEA_RIM = np.deg2rad(30.5)
"""Polar angle at which the cornea meets the sclera."""
CORNEA_RADIUS = 0.65
"""Radius of the cornea's sphere over the eyeball's."""
BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")
"""Expressions with a corrective, in the order of :meth:`Contacts.half_blinks`."""
BLINK_SPREAD = 0.004
"""How far what frees a lid from the cornea reaches along the lid, metres."""
VIEW = np.array([0.0, -1.0, 0.0])
"""Direction of view at rest."""

_LOOK = {"Down": (0, -1), "Up": (0, 1), "Out": (1, 0), "In": (-1, 0)}


@dataclass
class Closing:
    """Draws the rims of an opening together: a linear map of the rims' vertices.

    Attributes
    ----------
    rims
        int (H,): vertices of the rims.
    moved
        int (M,): vertices that move, the rims and the skin around them.
    matrix
        (M, H): offsets of `moved` from the places of `rims`; rows sum to zero.
    lift
        (M,) metres upwards; negative values let the upper rim overlap the lower one a little, so
        that no slit opens when subdivision rounds the rims off.
    """

    rims: np.ndarray
    moved: np.ndarray
    matrix: np.ndarray
    lift: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the face (V, 3) with its rims meeting."""
        result = points.copy()
        # Relative to one rim vertex, since float32 would lose micrometres on absolute places.
        result[self.moved] += self.matrix @ (points[self.rims] - points[self.rims[0]])
        result[self.moved, 2] += self.lift
        return result


@dataclass
class Eye:
    """One eyeball: centre (3,) and radius in metres, unit direction of view (3,)."""

    centre: np.ndarray
    radius: float
    view: np.ndarray


@dataclass
class Lids:
    """What belongs to one eye.

    Attributes
    ----------
    closing
        Draws upper and lower lid together.
    near, clearance
        int (n,) vertices that stay outside the eye, and by how much, (n,) metres.
    ball
        int (m,): vertices of the eyeball, in the order of the unit eyeball `template` (m, 3).
    """

    closing: Closing
    near: np.ndarray
    clearance: np.ndarray
    ball: np.ndarray
    template: np.ndarray

    def eye(self, points: np.ndarray) -> Eye:
        """Return the eye of a head at rest (V, 3), fitted to its eyeball's vertices."""
        ball = points[self.ball]
        unit = self.template - self.template.mean(0)
        radius = float(((ball - ball.mean(0)) * unit).sum() / (unit**2).sum())
        return Eye(ball.mean(0) - radius * self.template.mean(0), radius, VIEW)


@dataclass
class Corrective:
    """What a face needs beyond its linear expressions: ``4 w (1 - w)`` of it, w the expression's weight.

    Attributes
    ----------
    expression
        Name of the ARKit shape.
    moved
        int (n,) vertices.
    offsets
        (n, 3) metres at half the expression, where it is strongest.
    """

    expression: str
    moved: np.ndarray
    offsets: np.ndarray


@dataclass
class Contacts:
    """All contacts of the head: lips, and (left, right) lids."""

    lips: Closing
    lids: tuple[Lids, Lids]

    def at_rest(self, points: np.ndarray) -> np.ndarray:
        """Return the face at rest (V, 3) with lips touching and lids outside the eyes."""
        points = self.lips(points)
        for lids in self.lids:
            points = outside(points, lids.near, lids.clearance, lids.eye(points))
        return points

    def in_motion(self, rest: np.ndarray, offsets: np.ndarray) -> None:
        """Correct the expressions' offsets (52, V, 3) in place, for a corrected face at rest.

        eyeBlink closes the lids, mouthClose closes the lips over jawOpen, and no expression of
        the eyes takes a lid into the eye.
        """
        for lids, side in zip(self.lids, ("Left", "Right"), strict=True):
            blink = INDEX[f"eyeBlink{side}"]
            offsets[blink] = lids.closing(rest + offsets[blink]) - rest
            eye = lids.eye(rest)
            for name in EXPRESSIONS:
                if name.startswith(("eye", "cheekSquint")) and name.endswith(side):
                    one = offsets[INDEX[name]]
                    turned = Eye(eye.centre, eye.radius, gaze_direction(name, side))
                    moved = rest[lids.near] + one[lids.near]
                    freed = outside(moved, np.arange(len(moved)), lids.clearance, turned)
                    one[lids.near] += freed - moved
        jaw, close = INDEX["jawOpen"], INDEX["mouthClose"]
        shut = rest + offsets[jaw] + offsets[close]
        offsets[close] += self.lips(shut) - shut

    def half_blinks(self, rest: np.ndarray, offsets: np.ndarray) -> list[Corrective]:
        """Lids that go around the eye: what half a blink lacks of the way along a circle.

        On a straight line from open to shut a lid would cut the eye. Each vertex turns about the
        eye's centre instead; where it then still lies in the eye (the cornea bulges) it and its
        neighbours by distance are drawn out together, so that no step shows.

        Parameters
        ----------
        rest, offsets
            (V, 3) and (52, V, 3) metres, as left by :meth:`at_rest` and :meth:`in_motion`.
        """
        result = []
        for lids, name in zip(self.lids, BLINKS, strict=True):
            eye = lids.eye(rest)
            start = rest[lids.near] - eye.centre
            end = start + offsets[INDEX[name]][lids.near]
            size = [np.linalg.norm(ends, axis=1, keepdims=True) for ends in (start, end)]
            middle = start / size[0] + end / size[1]
            length = np.maximum(np.linalg.norm(middle, axis=1, keepdims=True), 1e-9)
            along = middle / length * (0.5 * (size[0] + size[1]))
            depth, way = depth_in_eye(along + eye.centre, eye)
            lack = np.maximum(depth + lids.clearance, 0.0)
            away = np.linalg.norm(along[:, None] - along[None], axis=2)
            near = np.exp(-((away / BLINK_SPREAD) ** 2))
            lift = np.maximum((near * lack).max(1), 0.0)
            along = along + lift[:, None] * way
            result.append(Corrective(name, lids.near, along - 0.5 * (start + end)))
        return result


def gaze_of(name: str, side: str) -> tuple[float, float]:
    """Yaw (towards +X) and pitch (up) in radians of one eye ("Left" or "Right") in an expression."""
    if not name.startswith("eyeLook") or not name.endswith(side):
        return 0.0, 0.0
    out, up = _LOOK[name.removeprefix("eyeLook").removesuffix(side)]
    return float(GAZE * out * (1 if side == "Left" else -1)), float(GAZE * up)


def gaze_direction(name: str, side: str) -> np.ndarray:
    """Unit direction of view (3,) of one eye in an expression."""
    yaw, pitch = gaze_of(name, side)
    return np.array([np.sin(yaw) * np.cos(pitch), -np.cos(yaw) * np.cos(pitch), np.sin(pitch)])


def depth_in_eye(points: np.ndarray, eye: Eye) -> tuple[np.ndarray, np.ndarray]:
    """How deep points lie in the eye (sclera or cornea), and the direction out of it.

    Returns depth (n,) in metres, negative outside, and unit directions (n, 3).
    """
    rim = np.sin(CORNEA_RIM)
    forward = np.cos(CORNEA_RIM) - np.sqrt(CORNEA_RADIUS**2 - rim**2)
    bulge = eye.centre + eye.radius * forward * eye.view
    depths, ways = [], []
    for middle, size in ((eye.centre, eye.radius), (bulge, CORNEA_RADIUS * eye.radius)):
        away = points - middle
        length = np.maximum(np.linalg.norm(away, axis=1), 1e-9)
        depths.append(size - length)
        ways.append(away / length[:, None])
    in_bulge = depths[1] > depths[0]
    return np.maximum(*depths), np.where(in_bulge[:, None], ways[1], ways[0])


def outside(
    points: np.ndarray, vertices: np.ndarray, clearance: np.ndarray, eye: Eye
) -> np.ndarray:
    """Return the face with chosen vertices at least `clearance` (n,) metres outside the eye."""
    result = points.copy()
    for _ in range(4):  # leaving the sclera can end in the cornea
        depth, way = depth_in_eye(result[vertices], eye)
        deep = depth + clearance > 1e-9
        if not deep.any():
            break
        vertices, clearance = vertices[deep], clearance[deep]
        result[vertices] += (depth[deep] + clearance)[:, None] * way[deep]
    return result


def to_arrays(contacts: Contacts) -> dict[str, np.ndarray]:
    """The contacts as arrays of a head file."""
    closings = {"lips": contacts.lips}
    arrays: dict[str, np.ndarray] = {}
    for side, lids in zip(("left", "right"), contacts.lids, strict=True):
        closings[f"lids_{side}"] = lids.closing
        arrays[f"lids_{side}_near"] = lids.near.astype(np.int32)
        arrays[f"lids_{side}_clearance"] = lids.clearance.astype(np.float32)
        arrays[f"lids_{side}_ball"] = lids.ball.astype(np.int32)
        arrays["eye_template"] = lids.template.astype(np.float32)
    for name, closing in closings.items():
        arrays[f"{name}_rims"] = closing.rims.astype(np.int32)
        arrays[f"{name}_moved"] = closing.moved.astype(np.int32)
        arrays[f"{name}_matrix"] = closing.matrix.astype(np.float32)
        arrays[f"{name}_lift"] = closing.lift.astype(np.float32)
    return arrays


def from_arrays(arrays: dict[str, np.ndarray]) -> Contacts:
    """The contacts of a head file; raises KeyError."""

    def closing(name: str) -> Closing:
        return Closing(*(arrays[f"{name}_{part}"] for part in ("rims", "moved", "matrix", "lift")))

    def lids(side: str) -> Lids:
        near, clearance, ball = (
            arrays[f"lids_{side}_{part}"] for part in ("near", "clearance", "ball")
        )
        return Lids(closing(f"lids_{side}"), near, clearance, ball, arrays["eye_template"])

    return Contacts(closing("lips"), (lids("left"), lids("right")))
