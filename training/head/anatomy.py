"""The whole head as one mesh: skin first, then eyes, corneas, teeth, tongue, brows, lashes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ...backend.formats.expressions import EXPRESSIONS, INDEX
from ...backend.head import registration
from ...backend.head.contact import VIEW, Contacts, Eye, Lids, depth_in_eye, gaze_of, outside
from ...backend.head.registration import polygon_triangles
from .atlas import smoothstep, unwrap_skin
from .contact import Opening, rings
from .eyes import RADIUS_SHARE, EyeFit, cornea, eyeball, rotate
from .hair import make_brows, make_lashes
from .regions import landmarks, soft_regions
from .source import Source
from .teeth import make_jaw
from .topology import Bust, make_bust
from .transfer import DeformationTransfer
from .untangle import repair_units

MATERIALS = ("skin", "brows", "lashes", "eye", "cornea", "teeth", "gums", "tongue")
"""By slot. `gums` is mucous membrane: mouth cavity and the sacs behind the lids."""

LIP_REACH, LID_REACH = 0.010, 0.012
"""How far around the rims the skin follows when lips and lids close, metres."""
MOUTH_TOP = 0.712
"""Height in body space between the mouth's cavity and the sockets, metres."""
WALL = 0.0025
"""Least thickness of the skin over the mouth's wall, metres."""
LIP_OVERLAP, LID_OVERLAP = 5e-5, 2.5e-4
"""How far closed rims overlap, metres."""
LIP_STRENGTH = np.array([1.0, 1.0, 1.0, 0.55])
"""How nearly the lips' loops meet, from inside to outside; the outermost is where they part."""
LID_CLEARANCE = np.array([1.0, 1.5, 4.0, 8.0, 11.0, 11.0, 11.0, 11.0, 11.0, 11.0]) * 1e-4
"""How far from the eye lid vertices stay, by rings from the inner edge: a lid is 1 mm thick."""


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
class Face:
    """One person's head: at rest (V, 3), the 52 units' offsets (52, V, 3) or None, the two eyes."""

    rest: np.ndarray
    units: np.ndarray | None
    eyes: tuple[Eye, Eye]


@dataclass
class Average:
    """The face that expressions and contacts are made on.

    Attributes
    ----------
    body
        (19158, 3) metres: its vertices in the package's order.
    units
        (52, V, 3): the expressions' offsets on the bust's skin.
    inner_units
        (52, n, 3): those of teeth, gums and tongue.
    """

    body: np.ndarray
    units: np.ndarray
    inner_units: np.ndarray


class Anatomy:
    """Maps bodies of the package (19158, 3) to heads (V, 3), metres, origin at the bust's edge.

    Attributes
    ----------
    layout
        Faces, chart, groups, landmarks.
    openings
        Mouth, left eye, right eye.
    contacts
        How they close.
    """

    def __init__(self, source: Source, average: Callable[[Anatomy], Average]) -> None:
        """Build the anatomy; needs bpy.

        The package's average adult decides cut, chart, landmarks and regions; `average`, called
        once these stand, gives the face that expressions and contacts are made on.
        """
        person = average_person(source)
        self.bust = make_bust(source, person)
        self.triangles = polygon_triangles(self.bust.faces)
        self.eye_fits = (EyeFit(source, person, "l"), EyeFit(source, person, "r"))
        self.jaws = [make_jaw(source, person, upper) for upper in (True, False)]
        self._tongue = source.quads["helper-tongue"]
        self._eye_parts = [make() for make in (eyeball, cornea)]
        body = self.bust.rows @ person
        normals = vertex_normals(body, self.bust.faces)
        self._find_rims(body)
        self._brows = make_brows(
            body, normals, polygon_triangles(self.bust.faces[~self.bust.cavity])
        )
        self.landmarks = landmarks(body, normals, _skin_weight(self.bust, body) > 0.5)
        self.source, self.person = source, person
        self.average = average(self)
        self._make_openings(self.bust.rows @ self.average.body)
        rest = self._rest_skin(self.average.body)[0]
        units = repair_units(
            rest, self.average.units, self.triangles, self._free_skin(), self.contacts.lips
        )
        self._transfer = DeformationTransfer(rest, units, self.triangles)
        self._make_lashes(rest)
        self.layout = self._layout(person, body)

    def _free_skin(self) -> np.ndarray:
        """bool (T,): triangles of visible skin that have no vertex on the rims of lips and lids."""
        away = np.zeros(self.bust.rows.shape[0], bool)
        away[self._inside] = True
        for closing in (self.contacts.lips, *(lids.closing for lids in self.contacts.lids)):
            away[closing.rims] = True
        return ~away[self.triangles].any(1)

    def _find_rims(self, body: np.ndarray) -> None:
        """Rings of vertices around mouth and eyes, from where the skin turns inwards outwards."""
        faces, cavity = self.bust.faces, self.bust.cavity
        skin, inside = faces[~cavity], np.unique(faces[cavity])
        self._inside = inside[inside >= 0]
        border = np.intersect1d(np.unique(skin), self._inside)
        side = np.where(body[border, 2] < 0.70, 0, np.sign(body[border, 0]))
        self._in_mouth = body[self._inside, 2] < MOUTH_TOP
        self.mouth_rings = rings(skin, border[side == 0], 4)
        self.lid_rings = [rings(skin, border[side == sign], 9) for sign in (1, -1)]

    def _make_openings(self, body: np.ndarray) -> None:
        """Contacts of lips and lids on the average (V, 3)."""
        faces, inside, mouth = self.bust.faces, self._inside, self.mouth_rings
        jaw = self.average.units[INDEX["jawOpen"], :, 2]
        lips = Opening(
            body, self.triangles, mouth[1:5], LIP_REACH, 0.5, LIP_OVERLAP, LIP_STRENGTH, travel=jaw
        )
        self.openings, self._pouches, both = [lips], [], []
        ball = self._eye_parts[0].points
        sockets = inside[~self._in_mouth]
        for k, (sign, loops) in enumerate(zip((1, -1), self.lid_rings, strict=True)):
            socket = sockets[body[sockets, 0] * sign > 0]
            side = "Left" if k == 0 else "Right"
            falls = -self.average.units[INDEX[f"eyeBlink{side}"], :, 2]
            opening = Opening(
                body,
                self.triangles,
                loops[1:5],
                LID_REACH,
                0.12,
                LID_OVERLAP,
                np.ones(4),
                travel=falls,
            )
            lid = np.concatenate(loops)
            depth = np.concatenate([np.full(len(v), i) for i, v in enumerate(loops)])
            pouch = np.setdiff1d(socket, lid)
            near = np.concatenate([lid, pouch])
            clearance = np.concatenate([LID_CLEARANCE[depth], np.full(len(pouch), 1e-4)])
            vertices = len(body) + k * len(ball) + np.arange(len(ball))
            both.append(Lids(opening.closing(), near, clearance, vertices, ball))
            self.openings.append(opening)
            # The pouch behind a lid goes with the lid, or the lid would sink through it.
            distance, nearest = cKDTree(body[lid]).query(body[pouch])
            share = 1.0 - smoothstep(distance, 0.002, 0.007)
            self._pouches.append((pouch, lid[nearest], share[:, None]))
        self.contacts = Contacts(lips.closing(), (both[0], both[1]))
        # The mouth's wall, where it runs close under the skin of nose and cheeks.
        wall = np.setdiff1d(inside[self._in_mouth], np.concatenate(rings(faces, mouth[0], 2)))
        skin = faces[~self.bust.cavity]
        outer = np.setdiff1d(np.unique(skin[skin >= 0]), np.concatenate(mouth))
        distance, nearest = cKDTree(body[outer]).query(body[wall])
        close = distance < 0.012
        self._wall = (wall[close], outer[nearest[close]])

    def _rest_skin(self, body: np.ndarray) -> tuple[np.ndarray, tuple[Eye, Eye]]:
        """The bust at rest (body space): lips touching, lids resting on the eyes; and the eyes."""
        skin = self.contacts.lips(self.bust.rows @ body)
        wall, over = self._wall
        normal = vertex_normals(skin, self.bust.faces)[over]
        thickness = ((skin[over] - skin[wall]) * normal).sum(1)
        skin[wall] -= np.maximum(WALL - thickness, 0.0)[:, None] * normal
        eyes = []
        for k, fit in enumerate(self.eye_fits):
            centre, radius = fit(body)
            eye = Eye(centre, RADIUS_SHARE * radius, VIEW)
            rim = self.lid_rings[k][1]
            # The eye comes forward until all but a few vertices of the lids' rims are free of it.
            low, high = -0.006, 0.006
            for _ in range(24):
                shift = 0.5 * (low + high)
                moved = Eye(centre + shift * VIEW, eye.radius, VIEW)
                depth = np.sort(depth_in_eye(skin[rim], moved)[0])
                low, high = (low, shift) if depth[-4] > -LID_CLEARANCE[1] else (shift, high)
            eyes.append(Eye(centre + low * VIEW, eye.radius, VIEW))
            lids = self.contacts.lids[k]
            skin = outside(skin, lids.near, lids.clearance, eyes[k])
        return skin, (eyes[0], eyes[1])

    def _make_lashes(self, rest: np.ndarray) -> None:
        centres = np.stack([eye.centre for eye in self._rest_skin(self.average.body)[1]])
        margins, sides = [], []
        for k, opening in enumerate(self.openings[1:]):
            rim = opening.rims[2]
            for lid, chain in (("upper", rim.upper_chain), ("lower", rim.lower_chain)):
                margins.append((lid, chain if k == 0 else chain[::-1]))
                sides.append(k)
        self._lashes = make_lashes(rest, margins, sides, centres)

    def face(self, body: np.ndarray, with_units: bool = True) -> Face:
        """Return the head of a body (19158, 3)."""
        skin, eyes = self._rest_skin(body)
        origin = skin[self.bust.rim].mean(0)
        balls = [e.centre + e.radius * part.points for part in self._eye_parts for e in eyes]
        bald = np.concatenate([skin, *balls, self.inner(body)])
        hair = self._hair(skin, eyes)
        rest = np.concatenate([bald, hair]) - origin
        shifted = (shift_eye(eyes[0], -origin), shift_eye(eyes[1], -origin))
        if not with_units:
            return Face(rest, None, shifted)
        offsets = self._offsets(bald, eyes)
        hair_offsets = self._hair(skin + offsets[:, : len(skin)], eyes) - hair
        return Face(rest, np.concatenate([offsets, hair_offsets], axis=1), shifted)

    def inner(self, body: np.ndarray) -> np.ndarray:
        """Teeth, gums and tongue of a body (19158, 3), or their offsets for offsets."""
        return np.concatenate(
            [*(jaw.place(body) for jaw in self.jaws), body[np.unique(self._tongue)]]
        )

    def _offsets(self, bald: np.ndarray, eyes: tuple[Eye, Eye]) -> np.ndarray:
        """The units' offsets (52, V, 3) on a head without hair."""
        skin = bald[: self.bust.rows.shape[0]]
        offsets = self._transfer(skin)
        for pouch, lid, share in self._pouches:
            offsets[:, pouch] += share * (offsets[:, lid] - offsets[:, pouch])
        gaze = []
        for part in self._eye_parts:
            for eye, side in zip(eyes, ("Left", "Right"), strict=True):
                points = eye.radius * part.points
                turns = [rotate(points, np.zeros(3), *gaze_of(n, side)) for n in EXPRESSIONS]
                gaze.append(np.stack(turns) - points)
        whole = np.concatenate([offsets, *gaze, self.average.inner_units], axis=1)
        self.contacts.in_motion(bald, whole)
        return whole

    def _hair(self, skin: np.ndarray, eyes: tuple[Eye, Eye]) -> np.ndarray:
        """Brows and lashes on skin (..., V, 3)."""
        centres = np.stack([eye.centre for eye in eyes])
        parts = [self._brows.place(skin), self._lashes.place_about(skin, centres)]
        return np.concatenate(parts, axis=-2)

    def _layout(self, person: np.ndarray, body: np.ndarray) -> Layout:
        bust = self.bust
        skin_uv = np.zeros((len(bust.faces), 4, 2))
        skin_uv[~bust.cavity] = unwrap_skin(body, bust.faces[~bust.cavity])
        skin_uv[bust.cavity] = _front_uv(body, bust.faces[bust.cavity])
        slot = MATERIALS.index
        faces, uv = [bust.faces], [skin_uv]
        material = [np.where(bust.cavity, slot("gums"), slot("skin"))]
        members: dict[str, list[np.ndarray]] = {"eye_left": [], "eye_right": []}
        count = len(body)

        def add(name: str, part_faces: np.ndarray, part_uv: np.ndarray, vertices: int) -> None:
            nonlocal count
            faces.append(np.where(part_faces < 0, -1, part_faces + count))
            uv.append(part_uv)
            material.append(np.full(len(part_faces), slot(name)))
            count += vertices

        for part, name in zip(self._eye_parts, ("eye", "cornea"), strict=True):
            for group in members:
                members[group].append(np.arange(count, count + len(part.points)))
                add(name, part.faces, part.uv, len(part.points))
        for jaw in self.jaws:
            places = _front_uv(jaw.points, jaw.faces)
            add("teeth", jaw.faces, places, len(jaw.points))
            material[-1][jaw.is_gum] = slot("gums")
        vertices = np.unique(self._tongue)
        local = np.searchsorted(vertices, self._tongue)
        add("tongue", local, _front_uv(person[vertices], local), len(vertices))
        for name, hair in (("brows", self._brows), ("lashes", self._lashes)):
            add(name, hair.faces(), hair.uv(), hair.count)
        skin_weight = _skin_weight(bust, body)
        weights = {"skin": _pad(skin_weight, count)}
        for name, vertices in members.items():
            weights[name] = np.zeros(count)
            weights[name][np.concatenate(vertices)] = 1.0
        weights |= {name: _pad(values, count) for name, values in soft_regions(body).items()}
        return Layout(
            np.concatenate(faces).astype(np.int32),
            np.concatenate(uv).astype(np.float32),
            np.concatenate(material).astype(np.uint8),
            weights,
            self.landmarks,
            len(body),
        )


def shift_eye(eye: Eye, shift: np.ndarray) -> Eye:
    """The eye at another place."""
    return Eye(eye.centre + shift, eye.radius, eye.view)


def average_person(source: Source) -> np.ndarray:
    """The person whose geometry decides cut, chart, landmarks and regions."""
    return source.macro(0.2, 0.5, (1.0, 1.0, 1.0))


def _pad(values: np.ndarray, count: int) -> np.ndarray:
    """Weights of the bust followed by zeros for every other part."""
    return np.concatenate([values, np.zeros(count - len(values))])


def _front_uv(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Plain projection from the front, scaled to the tile: for parts that carry no map."""
    plane = points[:, [0, 2]] - points[:, [0, 2]].min(0)
    plane = plane / plane.max()
    return np.where((faces >= 0)[..., None], plane[faces], 0.0)


def _skin_weight(bust: Bust, body: np.ndarray) -> np.ndarray:
    """1 on visible skin (the nostrils are shallow and open), 0 in cavities, fading at the edge."""
    weight = np.ones(len(body))
    corners = bust.faces[bust.cavity]
    weight[corners[corners >= 0]] = 0.0
    rim = body[bust.rim]
    near = np.sqrt(((body[:, None] - rim[None]) ** 2).sum(-1)).min(1)
    return weight * np.clip(near / 0.012, 0.0, 1.0)


def vertex_normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (V, 3) of a mesh of quads and triangles (F, 4)."""
    return registration.vertex_normals(points, polygon_triangles(faces))
