"""Whether furrows lie across what compresses the skin: muscles' fibres, and the mesh's own strain.

Fibres follow the courses that anatomy gives (Standring, Gray's Anatomy, "Muscles of the face";
Freilinger et al. 1987, Knize 2000), between landmarks of the average head. Whoever placed the furrows read the
same books, so agreement with fibres shows that the maps are what was meant, and no more. The mesh's
compression was sculpted by others, and gives some furrows a part of their depth but none its course.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ...backend.formats.expressions import FACESCAPE_PRESETS, INDEX, vector
from ...backend.formats.identity import Identity
from ...backend.head.bilinear import Head
from .chart import Chart, chart
from .compose import Skin
from .muscles import MUSCLES
from .strain import Strain, strain

ENERGY = 0.02
"""Texels whose furrows have a smaller part of their muscle's largest energy are left out."""

FOLD_MM = 26.0
"""The nasolabial fold, with the cheek that bulges over it, crosses the course of zygomaticus major within
this distance of the mouth's corner."""

COMPRESSED = 0.1
"""Principal compression above which the mesh says where a furrow should lie."""

SNEER = {"noseSneerLeft": 1.0, "noseSneerRight": 1.0}
SQUINT = {"eyeSquintLeft": 1.0, "eyeSquintRight": 1.0}
SMILE = {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}
FROWN = {"mouthFrownLeft": 1.0, "mouthFrownRight": 1.0}


@dataclass(frozen=True)
class Field:
    """A muscle on one chart.

    Attributes
    ----------
    name
        Of the muscle, as in the figures.
    weights
        {expression: weight} that contract it.
    where
        (N,) bool, the texels of the skin that it folds.
    fibres
        (N, 3) directions in space, of any length and sign.
    crossed
        Whether its lines lie across the fibres. The nasolabial fold and the marionette line do not:
        they mark where muscles end in the skin.
    """

    name: str
    weights: dict[str, float]
    where: np.ndarray
    fibres: np.ndarray
    crossed: bool = True


def fields(skin: Chart) -> list[Field]:
    """Return the muscles whose course the texts give, left and right together."""
    return [
        *_upper_face(skin),
        *_around_openings(skin),
        *_middle_and_lower_face(skin),
    ]


def _upper_face(skin: Chart) -> list[Field]:
    s, z = skin.face.T
    marks = skin.marks
    brow, root = marks["brow_mid"][1], marks["nose_root"][1]
    up = _constant(skin, (0, 0, 1))
    # The transverse head makes the vertical lines, the oblique ones are others' (Knize 2000).
    across = _constant(skin, (1, 0, 0))
    raised = (np.abs(s) < 40) & (z > brow + 5) & (z < marks["hairline"][1])
    between = (np.abs(s) < 13) & (z > root + 5) & (z < brow + 12)
    at_root = (np.abs(s) < 9) & (np.abs(z - root + 3) < 6)
    return [
        Field("frontalis", FACESCAPE_PRESETS["brow-raiser"], raised, up),
        Field("corrugator", FACESCAPE_PRESETS["brow-lower"], between, across),
        Field("procerus", SNEER | FACESCAPE_PRESETS["brow-lower"], at_root, up),
    ]


def _around_openings(skin: Chart) -> list[Field]:
    """Sphincters: their fibres are loops around a slit, ellipses whose foci are its corners."""
    s, z = skin.face.T
    marks = skin.marks
    inner, outer = marks["eye_inner"], marks["eye_outer"]
    side = np.where(s < 0, -1.0, 1.0)
    apart = np.stack([np.abs(s), z], 1)
    eye = _loops(apart, inner, outer) * np.stack([side, np.ones_like(s), np.ones_like(s)], 1)
    fan = (np.abs(s) > outer[0] + 3) & (np.hypot(np.abs(s) - outer[0], z - outer[1]) < 24)
    corner = marks["mouth_corner"]
    mouth = _loops(skin.face, corner * (-1, 1), corner)
    lips = (np.abs(s) < 0.9 * corner[0]) & (skin.groups["lips"] > 0.5)
    return [
        Field("orbicularis_oculi", SQUINT, fan, eye),
        Field("orbicularis_oris", FACESCAPE_PRESETS["lip-puckerer"], lips, mouth),
    ]


def _middle_and_lower_face(skin: Chart) -> list[Field]:
    marks = skin.marks
    s, z = skin.face.T
    eye, ala = marks["eye_inner"], marks["nose_ala"]
    corner, bone = marks["mouth_corner"], marks["cheekbone"]
    # From the frontal process of the maxilla, beside the inner corner of the eye, to the ala.
    alaeque, on_nose = _course(skin, eye - (9.0, 2.0), ala, 9.0)
    # From the orbit's rim below the pupil down to the lip, halfway to its corner.
    lip, lid = marks["upper_lip_top"], marks["lower_lid"]
    levator, _ = _course(skin, np.array([corner[0] / 2, lip[1]]), lid - (0.0, 10.0), 9.0)
    zygomatic, on_cheek = _course(skin, corner, bone, 14.0)
    at_fold = np.hypot(np.abs(s) - corner[0], z - corner[1]) < FOLD_MM
    # Depressor anguli oris, from the mandible below the corner of the mouth, whose fibres converge there.
    jaw = np.array([corner[0] + 4.0, (marks["chin"][1] + marks["lower_lip_bottom"][1]) / 2])
    anguli, on_jaw = _course(skin, corner, jaw, 9.0)
    middle = (2 * marks["chin"][1] + 3 * marks["lower_lip_bottom"][1]) / 5
    crease = (np.abs(s) < 16) & (np.abs(z - middle) < 5)
    cheek_top = (np.abs(np.abs(s) - lid[0]) < 11) & (z < lid[1] - 2) & (z > lid[1] - 14)
    up = _constant(skin, (0, 0, 1))
    return [
        Field("levator_alaeque_nasi", SNEER, on_nose, alaeque),
        # The lower lid's lines form as the lip's levators push the cheek up against it.
        Field("levator_labii", SMILE | SQUINT, cheek_top, levator),
        Field("zygomaticus", SMILE, on_cheek & ~at_fold, zygomatic),
        Field("nasolabial_fold", SMILE, on_cheek & at_fold, zygomatic, crossed=False),
        Field("marionette_line", FROWN, on_jaw, anguli, crossed=False),
        Field("mentalis", FACESCAPE_PRESETS["chin-raiser"], crease, up),
    ]


def _constant(skin: Chart, direction: tuple[float, float, float]) -> np.ndarray:
    return np.broadcast_to(np.array(direction, np.float32), skin.position.shape)


def _loops(points: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return tangents (n, 3) at points (n, 2) of the ellipses with foci `one` and `two`."""
    away = np.zeros(points.shape)
    for focus in (one, two):
        arm = points - focus
        away += arm / np.maximum(np.linalg.norm(arm, axis=1, keepdims=True), 1e-6)
    return np.stack([-away[:, 1], np.zeros(len(away)), away[:, 0]], 1)


def _course(
    skin: Chart, origin: np.ndarray, insertion: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return fibres (N, 3) along a straight belly of the left side and its mirror image, and its texels.

    Ends are face coordinates; `reach` in mm to both sides. Around the head the course keeps its
    angle to the horizontal in the skin.
    """
    s, z = skin.face.T
    length = float(np.linalg.norm(insertion - origin))
    ds, dz = (insertion - origin) / length
    away = np.stack([np.abs(s), z], 1) - origin
    along, beside = away @ (ds, dz), away @ (-dz, ds)
    side = np.where(s < 0, -1.0, 1.0)
    horizontal = np.cross(_constant(skin, (0, 0, 1)), skin.normal)
    horizontal /= np.maximum(np.linalg.norm(horizontal, axis=1, keepdims=True), 1e-9)
    fibres = (ds * side)[:, None] * horizontal + dz * _constant(skin, (0, 0, 1))
    return fibres, (along > 0) & (along < length) & (np.abs(beside) < reach)


def valley_direction(change: np.ndarray, skin: Chart) -> tuple[np.ndarray, np.ndarray]:
    """Return the direction in space (N, 3) in which a map (R, R) changes least, and the energy (N,).

    By the structure tensor: gradients at 0.4 mm, averaged over 1.5 mm.
    """
    size, texel_mm = skin.resolution, float(np.median(skin.texel_mm))
    rows, columns = np.gradient(ndimage.gaussian_filter(change, 0.4 / texel_mm))
    blur: Callable[[np.ndarray], np.ndarray] = lambda x: ndimage.gaussian_filter(x, 1.5 / texel_mm)  # noqa: E731
    rr, cc, rc = blur(rows * rows), blur(columns * columns), blur(rows * columns)
    # The angle of the largest gradient, doubled, is that of (cc - rr, 2 rc); valleys run across it.
    angle = 0.5 * np.arctan2(2 * rc, cc - rr) + np.pi / 2
    p = skin.position[skin.nearest].reshape(size, size, 3)
    per_row, per_column = np.gradient(p, axis=0), np.gradient(p, axis=1)
    along = np.cos(angle)[..., None] * per_column + np.sin(angle)[..., None] * per_row
    along = along.reshape(-1, 3)[skin.texels]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    return along, (rr + cc).ravel()[skin.texels]


@dataclass(frozen=True)
class Angles:
    """Errors in degrees (n,) and what each counts (n,), which sums to 1 for a muscle and person."""

    error: np.ndarray
    weight: np.ndarray

    def median(self) -> float:
        """Return the weighted median."""
        order = np.argsort(self.error)
        total = np.cumsum(self.weight[order])
        return float(self.error[order][np.searchsorted(total, 0.5 * total[-1])])


def together(parts: Sequence[Angles]) -> Angles:
    """Return several people's or muscles' errors as one."""
    return Angles(
        np.concatenate([part.error for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )


def across_fibres(
    head: Head, people: Sequence[Identity], resolution: int = 512
) -> dict[str, Angles]:
    """Return, by the names of :func:`fields`, angles between furrows and the perpendicular to the fibres.

    Every texel counts by the energy of its furrows; each muscle and person counts the same.
    """
    muscles = fields(chart(head, resolution))
    parts: dict[str, list[Angles]] = {}
    for person in people:
        skin = Skin(head, person, resolution)
        rest = skin.map(np.zeros(52, np.float32), relief=False)
        for muscle in muscles:
            change = skin.map(vector(muscle.weights), relief=False) - rest
            valley, energy = valley_direction(change, skin.chart)
            own = muscle.where & (energy > ENERGY * energy[muscle.where].max())
            part = _angles(valley[own], muscle.fibres[own], skin.chart.normal[own], energy[own])
            parts.setdefault(muscle.name, []).append(part)
    return {name: together(several) for name, several in parts.items()}


def across_compression(
    head: Head, people: Sequence[Identity], resolution: int = 512
) -> dict[str, Angles]:
    """Return, by family of furrows, the angles between them and the perpendicular to the mesh's compression.

    For the families whose depth the mesh takes part in (:data:`muscles.MUSCLES`), under the
    expression that drives each hardest, where it compresses the skin by more than COMPRESSED.
    """
    mesh = strain(head)
    parts: dict[str, list[Angles]] = {}
    for person in people:
        skin = Skin(head, person, resolution)
        rest = skin.map(np.zeros(52, np.float32), relief=False)
        for number, name in enumerate(skin.furrows.families):
            if MUSCLES[name].mesh <= 0:
                continue
            weights = driver(name)
            change = skin.map(weights, relief=False) - rest
            valley, energy = valley_direction(change, skin.chart)
            mine = skin.furrows.valley[:, skin.furrows.family == number].getnnz(1) > 0
            own = np.flatnonzero(mine & (energy > ENERGY * energy[mine].max()))
            direction, amount = principal_compression(mesh, skin.chart, own, weights)
            high = amount > COMPRESSED
            if high.any():
                own, direction = own[high], direction[high]
                part = _angles(valley[own], direction, skin.chart.normal[own], energy[own])
                parts.setdefault(name, []).append(part)
    return {name: together(several) for name, several in parts.items()}


def driver(family: str) -> np.ndarray:
    """Return the weights (52,) of the expression that drives a family hardest, both sides in full."""
    gains = MUSCLES[family].pull
    name = max(gains, key=lambda key: gains[key])
    return vector({name: 1.0} if name in INDEX else {f"{name}Left": 1.0, f"{name}Right": 1.0})


def principal_compression(
    mesh: Strain, skin: Chart, texels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the direction (n, 3) in which the mesh shortens the skin most, and by how much (n,).

    The tensor in the tangent plane follows from compression along two axes and their diagonal.
    """
    points, normal = skin.position[texels], skin.normal[texels]
    one = np.cross(normal, _constant(skin, (0, 0, 1))[texels])
    one /= np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-9)
    two = np.cross(normal, one)
    a, b, diagonal = (
        mesh.compression(points, axis) @ weights for axis in (one, two, (one + two) / np.sqrt(2))
    )
    c = diagonal - (a + b) / 2
    amount, axes = np.linalg.eigh(np.stack([np.stack([a, c], 1), np.stack([c, b], 1)], 1))
    largest = axes[:, :, 1]
    return largest[:, :1] * one + largest[:, 1:] * two, amount[:, 1]


def _angles(
    valley: np.ndarray, fibres: np.ndarray, normal: np.ndarray, energy: np.ndarray
) -> Angles:
    """Return angles between valleys and the perpendicular to fibres in the surface, all (n, 3)."""
    along = fibres - (fibres * normal).sum(1, keepdims=True) * normal
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    cosine = np.abs((valley * along).sum(1)).clip(0, 1)
    return Angles(np.degrees(np.arcsin(cosine)), energy / energy.sum())
