"""The scans that the head's shape is learned from: USC ICT's FaceXModel (MIT).

100 identity modes are principal components of scanned faces, one standard deviation each; 51 of the
52 ARKit expressions come with it (Li et al., "Learning Formation of Physically-Based Face
Attributes", CVPR 2020). Read from a clone of https://github.com/ICT-VGL/ICT-FaceKit or from one
.npz that holds the same arrays; neither is part of Furrow, and neither is their topology.

The files are in centimetres, x to the person's left, Y up, the face looking along +Z; what leaves
this module is in metres, Z up, the face looking along -Y.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...backend.errors import FurrowError
from ...backend.formats.expressions import EXPRESSIONS
from ...backend.head.registration import loops, polygon_triangles

VERTEX_COUNT = 26719
FACE_COUNT = 26384
MODES = 100
SURFACE = 11248
"""Vertices before it are face, back of the head and neck; then come cavities, teeth, eyes."""
UPPER_TEETH, LOWER_TEETH = slice(17039, 19247), slice(19247, 21451)
NECK_BELOW = -0.1
"""Metres: the neck's edge lies below, mouth and eyes above."""
SCLERA = (slice(21451, 22221), slice(23021, 23791))
"""Left and right."""

LANDMARKS = {
    "nose_root": 978,
    "nose_tip": 4857,
    "nose_base": 1147,
    "eye_outer_right": 1507,
    "eye_inner_right": 1528,
    "eye_inner_left": 3742,
    "eye_outer_left": 3721,
    "mouth_corner_right": 5708,
    "mouth_corner_left": 6213,
    "upper_lip_top": 0,
    "lower_lip_bottom": 5518,
    "upper_lip_centre": 5533,
    "lower_lip_centre": 5517,
    "chin": 966,
    "brow_outer_right": 268,
    "brow_mid_right": 1914,
    "brow_inner_right": 1401,
    "brow_inner_left": 3615,
    "brow_mid_left": 4114,
    "brow_outer_left": 2509,
}
"""Its vertices at landmarks of ours, after the Multi-PIE markup that it comes with."""
MOUTH_CLOSE = 0.77
"""Of its mouthClose: at full strength the lips pass each other by 5 to 9 mm over jawOpen = 1."""
_SUMS = ("browInnerUp", "cheekPuff")
"""Split into sides there, one shape in ARKit's list."""
_ABSENT = ("tongueOut",)


@dataclass(frozen=True)
class Scans:
    """The model's arrays.

    Attributes
    ----------
    neutral
        (26719, 3) metres.
    faces
        int (26384, 4), -1 in the last column of a triangle.
    identity
        float32 (100, 26719, 3) metres: one standard deviation of each mode.
    units
        float32 (52, 26719, 3) metres, in the order of ARKit's shapes; tongueOut is zero.
    """

    neutral: np.ndarray
    faces: np.ndarray
    identity: np.ndarray
    units: np.ndarray

    def surface(self) -> np.ndarray:
        """Triangles (n, 3) of the skin that is seen: face, head and neck without cavities."""
        return polygon_triangles(self.faces[(self.faces < SURFACE).all(1)])

    def rims(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Loops of vertices where the skin turns into mouth, left and right eye socket."""
        edges = np.sort(self.surface()[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        unique, uses = np.unique(edges, axis=0, return_counts=True)
        neighbours: dict[int, list[int]] = {}
        for one, other in unique[uses == 1].tolist():
            neighbours.setdefault(one, []).append(other)
            neighbours.setdefault(other, []).append(one)
        rims = [loop for loop in loops(neighbours) if self.neutral[loop, 2].mean() > NECK_BELOW]
        rims.sort(key=lambda loop: float(self.neutral[loop, 0].mean()))
        if len(rims) != 3:
            raise FurrowError(f"The model's skin has {len(rims)} openings where three were due.")
        right, mouth, left = rims
        return mouth, left, right


def read_scans(path: Path) -> Scans:
    """Read the model from a clone's folder or from one .npz.

    Raises
    ------
    FurrowError
        If a shape is missing, has another topology or holds what is no number.
    """
    if path.is_dir():
        return _from_clone(path)
    if not path.is_file():
        raise FurrowError(f"There is no {path}. {REMEDY}", "missing_file")
    return _from_npz(path)


REMEDY = (
    "Name a clone of https://github.com/ICT-VGL/ICT-FaceKit, or one .npz of its shapes, by --ict."
)


def _from_npz(path: Path) -> Scans:
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = [str(name) for name in archive["expression_names"]]
            shapes = dict(zip(names, archive["expression"], strict=True))
            arrays = [archive[name] for name in ("neutral", "faces", "identity")]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FurrowError(f"{path} is no file of ICT's model ({error}). {REMEDY}") from None
    neutral, faces, identity = arrays
    return _checked(path, neutral, faces, identity, shapes)


def _from_clone(path: Path) -> Scans:
    folder = path / "FaceXModel" if (path / "FaceXModel").is_dir() else path
    neutral, faces = _read_obj(folder / "generic_neutral_mesh.obj", with_faces=True)
    names = [name for name in EXPRESSIONS if name not in _ABSENT]
    wanted = {part for name in names for part in _parts(name)}
    shapes = {name: _read_obj(folder / f"{name}.obj")[0] for name in sorted(wanted)}
    modes = [_read_obj(folder / f"identity{k:03d}.obj")[0] for k in range(MODES)]
    for name, points in (*shapes.items(), *((f"identity{k:03d}", m) for k, m in enumerate(modes))):
        if points.shape != neutral.shape:
            raise FurrowError(f"{folder / name}.obj has another topology than the neutral mesh.")
    offsets = {name: points - neutral for name, points in shapes.items()}
    return _checked(folder, neutral, faces, np.stack(modes) - neutral, offsets)


def _parts(name: str) -> tuple[str, ...]:
    """Its shapes that make up one of ARKit's."""
    if name in _SUMS:
        return f"{name}_L", f"{name}_R"
    for side in ("Left", "Right"):
        if name.endswith(side) and not name.startswith(("jaw", "mouthLeft", "mouthRight")):
            return (f"{name.removesuffix(side)}_{side[0]}",)
    return (name,)


def _checked(
    path: Path,
    neutral: np.ndarray,
    faces: np.ndarray,
    identity: np.ndarray,
    shapes: dict[str, np.ndarray],
) -> Scans:
    """Bring the arrays into our axes and units; refuse what is not this model."""
    missing = [
        part
        for name in EXPRESSIONS
        if name not in _ABSENT
        for part in _parts(name)
        if part not in shapes
    ]
    if missing:
        raise FurrowError(f"{path} lacks the shape {missing[0]} ({len(missing)} are missing).")
    expected = {
        "neutral": (neutral, (VERTEX_COUNT, 3)),
        "faces": (faces, (FACE_COUNT, 4)),
        "identity": (identity, (MODES, VERTEX_COUNT, 3)),
        **{name: (shape, (VERTEX_COUNT, 3)) for name, shape in shapes.items()},
    }
    for name, (array, shape) in expected.items():
        if array.shape != shape or array.dtype.kind not in "fi":
            raise FurrowError(
                f"{path}: {name} has the shape {array.shape} where ICT's model has {shape}."
            )
        if not np.isfinite(array).all():
            raise FurrowError(f"{path}: {name} holds values that are no numbers.")
    if faces.min() < -1 or faces.max() >= VERTEX_COUNT or (faces[:, :3] < 0).any():
        raise FurrowError(f"{path}: its faces name vertices that do not exist.")
    units = np.zeros((len(EXPRESSIONS), VERTEX_COUNT, 3), np.float32)
    for i, name in enumerate(EXPRESSIONS):
        if name not in _ABSENT:
            units[i] = sum(shapes[part] for part in _parts(name))
    units[EXPRESSIONS.index("mouthClose")] *= MOUTH_CLOSE
    return Scans(
        _to_head_space(neutral.astype(np.float64)),
        faces.astype(np.int64),
        _to_head_space(identity.astype(np.float32)),
        _to_head_space(units),
    )


def _to_head_space(points: np.ndarray) -> np.ndarray:
    """Turn (..., 3) from centimetres, Y up, +Z forward to metres, Z up, -Y forward."""
    scale = points.dtype.type(0.01)
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1) * scale


def _read_obj(path: Path, with_faces: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and, if asked for, faces (F, 4) of a Wavefront OBJ."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        points = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float)
        faces = [
            [int(corner.split("/")[0]) - 1 for corner in line.split()[1:]]
            for line in lines
            if with_faces and line.startswith("f ")
        ]
    except FileNotFoundError:
        raise FurrowError(f"There is no {path}. {REMEDY}", "missing_file") from None
    except (OSError, ValueError) as error:
        raise FurrowError(f"{path} cannot be read as an OBJ file ({error}).") from None
    if points.ndim != 2 or any(len(face) not in (3, 4) for face in faces):
        raise FurrowError(f"{path} holds no mesh of triangles and quads.")
    return points, np.array([[*face, -1][:4] for face in faces], np.int64).reshape(-1, 4)
