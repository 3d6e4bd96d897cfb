"""Pictures of maps: what they look like under light from the side."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import png

from ...backend.formats.expressions import FACESCAPE_PRESETS, vector
from ...backend.formats.files import write_whole
from ...backend.formats.identity import SKIN, Identity
from ...backend.head.bilinear import Head
from .chart import Chart
from .compose import Skin

LIGHT = (-0.65, 0.4, 0.65)
"""Where the light comes from: left, up and towards the viewer."""

EXAGGERATION = 1.6
"""Of slopes, so that what side light would show on a turning head is seen in one picture."""

GREYS = 26
"""Steps of grey; fewer make smaller files."""


def shaded(image: np.ndarray, texel_mm: float) -> np.ndarray:
    """Return the shading, (R, R) uint8, of a map (R, R) in mm whose texels measure `texel_mm`."""
    return (np.rint(brightness(image, texel_mm) * (GREYS - 1)) * (255 / (GREYS - 1))).astype(
        np.uint8
    )


def brightness(image: np.ndarray, texel_mm: float) -> np.ndarray:
    """Return the Lambertian shading, (R, R) in [0, 1], of a map (R, R) in mm."""
    rows, columns = np.gradient(EXAGGERATION * image / texel_mm)
    normal = np.stack([-columns, rows, np.ones_like(image)], -1)
    light = np.array(LIGHT)
    bright = (normal @ light) / np.linalg.norm(normal, axis=-1) / np.linalg.norm(light)
    return bright.clip(0, 1)


def front(skin: Chart) -> tuple[slice, slice]:
    """Return the rows and columns of the tile that hold the front of the face."""
    spots = np.argwhere((skin.index >= 0) & (skin.image(skin.normal[:, 1]) < -0.55))
    (top, left), (bottom, right) = np.percentile(spots, (2, 98), axis=0).astype(int)
    return slice(top, bottom), slice(left, right)


def shaded_front(image: np.ndarray, skin: Chart) -> np.ndarray:
    """Return the shading of the front of the face, (rows, columns) uint8, of a map (R, R) in mm."""
    return shaded(image, float(np.median(skin.texel_mm)))[front(skin)]


def write_picture(path: Path, head: Head, resolution: int = 512) -> None:
    """Draw maps as they look under light from the side, as one grey PNG.

    Rows: skin of 25, 45 and 75 years, each with habits of its own. Columns: neutral, brow-raiser,
    anger, smile, lip-puckerer and chin-raiser; the front of the face.
    """
    names = ("neutral", "brow-raiser", "anger", "smile", "lip-puckerer", "chin-raiser")
    rows = []
    for seed, age in ((1, 0.08), (3, 0.42), (2, 0.92)):
        coefficients = np.random.default_rng(seed).uniform(size=len(SKIN)).astype(np.float32)
        coefficients[SKIN.index("age")] = age
        skin = Skin(head, Identity(head.average().shape, coefficients, seed), resolution)
        maps = (skin.map(vector(FACESCAPE_PRESETS[name])) for name in names)
        rows.append(np.hstack([shaded_front(image, skin.chart) for image in maps]))
    image = np.vstack(rows)
    file = io.BytesIO()
    png.Writer(image.shape[1], image.shape[0], greyscale=True, bitdepth=8).write(
        file, image.tolist()
    )
    write_whole(path, file.getvalue())
