"""Pictures to ARKit weights, by MediaPipe's Face Landmarker; what was seen of a film is kept."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ...backend.errors import FurrowError
from ...backend.formats.expressions import EXPRESSIONS, INDEX
from ...backend.formats.files import write_whole
from .films import Film, FilmError, library

CACHE = Path("out/speech/videos")
MOST_TURNED = math.radians(45)
"""A head that is turned further away hides a corner of its mouth."""
RIVAL = 0.5
"""A second face of this share of the first one's size may be the one who speaks."""

_VERSION = 1  # of what is kept
_UPPER_LIP, _LOWER_LIP = 13, 14  # inner edges, in the middle
_EYE_CORNERS = 33, 263  # the outer ones
_EYE_CORNERS_MM = 90.0  # mean distance between them in adults (Farkas 1994: 87 to 92)


class Face(NamedTuple):
    """A face in a picture.

    Attributes
    ----------
    scores
        float32 (52,) in [0, 1]; NaN for what the model does not tell (tongueOut).
    gap
        Millimetres between the lips' inner edges, by the distance of the eyes' corners.
    place
        Centre x, y and size, all in heights of the picture.
    turn
        Radians between the face's front and the camera.
    """

    scores: np.ndarray
    gap: float
    place: tuple[float, float, float]
    turn: float


@dataclass(frozen=True)
class Track:
    """What was seen in the N pictures of a film.

    Attributes
    ----------
    times
        float64 (N,), seconds, increasing.
    scores
        float32 (N, 52); NaN in pictures that show no face, a face turned away, or several.
    gap
        float32 (N,), millimetres between the lips' inner edges; NaN as above.
    place
        float32 (N, 3), centre x, y and size of the face, in heights of the picture; NaN as above.
    faces
        int16 (N,), how many faces there were of a size that counts.
    """

    times: np.ndarray
    scores: np.ndarray
    gap: np.ndarray
    place: np.ndarray
    faces: np.ndarray


class Landmarker:
    """MediaPipe's Face Landmarker on single pictures: no memory, so no lag; to be used in a `with`.

    Attributes
    ----------
    digest
        sha256 of the model's file.

    Raises
    ------
    FurrowError
        If the file is missing or no face landmarker with blendshapes, or MediaPipe is not installed.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FurrowError(f"There is no model file {path}.", "missing_file")
        data = path.read_bytes()
        self.digest = hashlib.sha256(data).hexdigest()
        self._mediapipe = library("mediapipe")
        vision = library("mediapipe.tasks.python.vision")
        options = vision.FaceLandmarkerOptions(
            base_options=self._mediapipe.tasks.BaseOptions(model_asset_buffer=data),
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
            num_faces=2,
        )
        try:
            with _quiet():
                self._model = vision.FaceLandmarker.create_from_options(options)
        except (ValueError, RuntimeError) as error:
            raise FurrowError(
                f"{path} is no face landmarker that gives blendshapes ({error}). "
                "Google's face_landmarker.task is one.",
                "missing_model",
            ) from None

    def __enter__(self) -> Landmarker:
        return self

    def __exit__(self, *_: object) -> None:
        self._model.close()

    def faces(self, pixels: np.ndarray) -> list[Face]:
        """Return the faces in a picture, uint8 (H, W, 3) sRGB, the largest first; at most two."""
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=pixels)
        detection = self._model.detect(image)
        made = [
            _face(pixels.shape[1] / pixels.shape[0], *one)
            for one in zip(
                detection.face_landmarks,
                detection.face_blendshapes,
                detection.facial_transformation_matrixes,
                strict=True,
            )
        ]
        return sorted(made, key=lambda face: -face.place[2])


def track(film: Film, landmarker: Landmarker) -> Track:
    """Return what is seen in a film; kept in :data:`CACHE` under the hashes of film and model.

    Raises
    ------
    FilmError
        If the film's pictures cannot be read at all.
    """
    with film.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(f"{landmarker.digest} {_VERSION} {MOST_TURNED} {RIVAL}".encode())
    kept = CACHE / f"{digest.hexdigest()[:16]}.npz"
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as data:
            return Track(**{name: data[name] for name in data.files})
    made = _watch(film, landmarker)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **vars(made))
    write_whole(kept, buffer.getvalue())
    return made


def _watch(film: Film, landmarker: Landmarker) -> Track:
    rows: list[tuple[float, np.ndarray, float, tuple[float, float, float], int]] = []
    lost = (np.full(len(EXPRESSIONS), np.nan, np.float32), math.nan, (math.nan,) * 3)
    bar = tqdm(
        film.pictures(), film.path.name, film.frames or None, unit=" frames", file=sys.stderr
    )
    for time, pixels in bar:
        if rows and time <= rows[-1][0]:
            continue  # a time that is told twice, or goes back, is none
        faces = landmarker.faces(pixels)
        faces = [face for face in faces if face.place[2] >= RIVAL * faces[0].place[2]]
        good = len(faces) == 1 and faces[0].turn < MOST_TURNED
        rows.append((time, *(faces[0][:3] if good else lost), len(faces)))
    if not rows:
        raise FilmError(f"{film.path} shows no pictures that can be decoded.")
    times, scores, gap, place, count = zip(*rows, strict=True)
    return Track(
        np.array(times),
        np.stack(scores),
        np.array(gap, np.float32),
        np.array(place, np.float32),
        np.array(count, np.int16),
    )


def _face(aspect: float, landmarks: Any, blendshapes: Any, matrix: np.ndarray) -> Face:
    scores = np.full(len(EXPRESSIONS), np.nan, np.float32)
    for one in blendshapes:
        if one.category_name in INDEX:
            scores[INDEX[one.category_name]] = one.score
    # Landmarks are in widths and heights of the picture; depth is in widths.
    points = np.array([(p.x * aspect, p.y, p.z * aspect) for p in landmarks])
    left, right = points[list(_EYE_CORNERS)]
    gap = np.linalg.norm(points[_UPPER_LIP] - points[_LOWER_LIP])
    gap *= _EYE_CORNERS_MM / max(1e-6, float(np.linalg.norm(left - right)))
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    x, y = (low + high) / 2
    front = np.asarray(matrix)[:3, 2]
    turn = math.acos(min(1.0, max(-1.0, float(front[2] / np.linalg.norm(front)))))
    return Face(scores, float(gap), (float(x), float(y), float(high[1] - low[1])), turn)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the notes that MediaPipe's libraries write to stderr while they start out of sight."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
