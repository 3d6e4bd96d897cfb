"""The whole head as one mesh: skin first, then eyes, corneas, teeth, tongue."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...backend.expressions import EXPRESSIONS
from .atlas import unwrap_skin
from .eyes import GAZE, EyeFit, cornea, eyeball, turned
from .regions import landmarks, soft_regions
from .source import Source
from .topology import Bust, make_bust

MATERIALS = ("skin", "brows", "lashes", "eye", "cornea", "teeth", "gums", "tongue")
"""By slot. `gums` is mucous membrane: mouth cavity and the sacs behind the lids."""

_LOOK = {"Down": (0, -1), "Up": (0, 1), "Out": (1, 0), "In": (-1, 0)}


@dataclass
class Layout:
    """What never depends on the identity: faces, UV, materials, groups, landmarks."""

    faces: np.ndarray
    uv: np.ndarray
    face_material: np.ndarray
    groups: dict[str, np.ndarray]
    landmarks: dict[str, int]
    skin_count: int


@dataclass
class Anatomy:
    """Maps bodies of the package (19158, 3) to heads (V, 3), metres, origin at the bust's edge."""

    bust: Bust
    eye_fits: tuple[EyeFit, EyeFit]
    inner: dict[str, np.ndarray]
    layout: Layout = field(init=False)

    @classmethod
    def of(cls, source: Source) -> Anatomy:
        """Build the anatomy from the package's average adult; needs bpy."""
        person = average_person(source)
        bust = make_bust(source, person)
        fits = (EyeFit(source, person, "l"), EyeFit(source, person, "r"))
        inner = {
            "teeth": np.concatenate(
                [source.quads["helper-upper-teeth"], source.quads["helper-lower-teeth"]]
            ),
            "tongue": source.quads["helper-tongue"],
        }
        anatomy = cls(bust, fits, inner)
        anatomy.layout = _layout(anatomy, person)
        return anatomy

    def place(self, body: np.ndarray) -> np.ndarray:
        """Return the head of a body (19158, 3): (V, 3)."""
        skin = self.bust.rows @ body
        parts = [skin]
        for make in (eyeball, cornea):
            for fit in self.eye_fits:
                centre, radius = fit(body)
                parts.append(centre + radius * make().points)
        parts += [body[np.unique(quads)] for quads in self.inner.values()]
        return np.concatenate(parts) - skin[self.bust.rim].mean(0)

    def unit(self, body: np.ndarray, offsets: np.ndarray, name: str) -> np.ndarray:
        """Return a face unit's offsets (V, 3) on the head of a body."""
        parts = [self.bust.rows @ offsets]
        for make in (eyeball, cornea):
            for side, fit in zip(("Left", "Right"), self.eye_fits, strict=True):
                centre, radius = fit(body)
                points = centre + radius * make().points
                yaw, pitch = gaze_of(name, side)
                parts.append(turned(points, centre, yaw, pitch) - points)
        parts += [offsets[np.unique(quads)] for quads in self.inner.values()]
        return np.concatenate(parts)


def average_person(source: Source) -> np.ndarray:
    """The person whose geometry decides cut, chart, landmarks and regions."""
    return source.macro(0.2, 0.5, (1.0, 1.0, 1.0))


def gaze_of(name: str, side: str) -> tuple[float, float]:
    """Yaw (towards +X) and pitch (up) in radians of one eye ("Left" or "Right") in a face unit."""
    if not name.startswith("eyeLook") or not name.endswith(side):
        return 0.0, 0.0
    out, up = _LOOK[name.removeprefix("eyeLook").removesuffix(side)]
    return GAZE * out * (1 if side == "Left" else -1), GAZE * up


def _layout(anatomy: Anatomy, person: np.ndarray) -> Layout:
    bust = anatomy.bust
    body = bust.rows @ person
    count = len(body)
    faces, uv = [bust.faces], [np.zeros((len(bust.faces), 4, 2))]
    uv[0][~bust.cavity] = unwrap_skin(body, bust.faces[~bust.cavity])
    uv[0][bust.cavity] = _front_uv(body, bust.faces[bust.cavity])
    material = [np.where(bust.cavity, MATERIALS.index("gums"), MATERIALS.index("skin"))]
    groups: dict[str, list[np.ndarray]] = {}
    for make, name in ((eyeball, "eye"), (cornea, "cornea")):
        for side in ("left", "right"):
            part = make()
            faces.append(np.where(part.faces < 0, -1, part.faces + count))
            uv.append(part.uv)
            material.append(np.full(len(part.faces), MATERIALS.index(name)))
            groups.setdefault(f"eye_{side}", []).append(np.arange(count, count + len(part.points)))
            count += len(part.points)
    for name, quads in anatomy.inner.items():
        vertices, local = np.unique(quads, return_inverse=True)
        local = local.reshape(quads.shape)
        faces.append(local + count)
        uv.append(_front_uv(person[vertices], local))
        material.append(np.full(len(quads), MATERIALS.index(name)))
        count += len(vertices)
    weights = {"skin": _padded(_skin_weight(bust, body), count)}
    for name, members in groups.items():
        weights[name] = np.zeros(count)
        weights[name][np.concatenate(members)] = 1.0
    weights |= {name: _padded(values, count) for name, values in soft_regions(body).items()}
    return Layout(
        np.concatenate(faces).astype(np.int32),
        np.concatenate(uv).astype(np.float32),
        np.concatenate(material).astype(np.uint8),
        weights,
        landmarks(body, vertex_normals(body, bust.faces), _skin_weight(bust, body) > 0.5),
        len(body),
    )


def _padded(values: np.ndarray, count: int) -> np.ndarray:
    """Weights of the bust followed by zeros for every other part."""
    return np.concatenate([values, np.zeros(count - len(values))])


def _front_uv(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Plain projection from the front, scaled to the tile: for parts that carry no map."""
    plane = points[:, [0, 2]] - points[:, [0, 2]].min(0)
    plane = plane / plane.max()
    return np.where((faces >= 0)[..., None], plane[faces], 0.0)


def _skin_weight(bust: Bust, body: np.ndarray) -> np.ndarray:
    """1 on visible skin, 0 in cavities and hidden folds of the nose, fading at the bust's edge."""
    weight = np.ones(len(body))
    corners = bust.faces[bust.cavity]
    weight[corners[corners >= 0]] = 0.0
    rim = body[bust.rim]
    near = np.sqrt(((body[:, None] - rim[None]) ** 2).sum(-1)).min(1)
    return weight * np.clip(near / 0.012, 0.0, 1.0)


def _centres(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Centres (F, 3) of faces with -1 padding."""
    real = (faces >= 0)[..., None]
    return (points[faces] * real).sum(1) / real.sum(1)


def triangles(faces: np.ndarray) -> np.ndarray:
    """Triangles (T, 3) of faces with -1 padding."""
    quads = faces[faces[:, 3] >= 0]
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]], faces[faces[:, 3] < 0][:, :3]])


def vertex_normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (V, 3)."""
    corner = triangles(faces)
    flat = np.cross(
        points[corner[:, 1]] - points[corner[:, 0]], points[corner[:, 2]] - points[corner[:, 0]]
    )
    normals = np.zeros_like(points)
    for k in range(3):
        np.add.at(normals, corner[:, k], flat)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)


def plain_units(source: Source, anatomy: Anatomy, body: np.ndarray) -> np.ndarray:
    """The package's face units as they come, (52, V, 3)."""
    return np.stack([anatomy.unit(body, source.unit(name), name) for name in EXPRESSIONS])
