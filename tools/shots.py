"""Heads with displacement maps, close, under side light: rendered in Cycles, and put together on sheets.

Displacement is true: the map in millimetres moves the vertices of the subdivided head. The head, its
modifiers and materials come from the add-on, which runs in a Blender beside this process
(``closeups_render.py``). Pictures are kept in out/closeups, and made again only if an input differs
by a bit.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from furrow.backend.errors import FurrowError
from furrow.backend.formats.files import write_whole
from furrow.backend.formats.identity import Identity, write_identity
from furrow.backend.head.bilinear import Head
from furrow.commands import blender
from furrow.training.corpus.chart import Chart
from furrow.training.corpus.pictures import shaded_front
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
CHILD = Path(__file__).resolve().parent / "closeups_render.py"
CACHE = ROOT / "out" / "closeups"
PICTURES = ROOT / "docs" / "pictures"

RESOLUTION = 1024
"""Texels along each side of the maps."""

QUALITY: dict[str, Any] = {"samples": 16, "levels": 4, "denoise": True}
"""Four subdivisions: vertices 0.2 mm apart, finer than the map's texels of 0.3 mm. The denoiser does
not wash relief out: against 384 samples, 16 denoised err by 2.8 of 255 greys and keep 94 % of the
structure finer than two pixels; 32 raw ones err by 10.7."""

LARGEST = 300_000
"""Bytes of a sheet."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture: who, with which weights and map (R, R) mm, and what the camera sees.

    `target` (metres) is in the middle of the picture, which spans `height` metres and is `size`
    (width, height) pixels large.
    """

    identity: Identity
    map: np.ndarray
    weights: dict[str, float]
    target: tuple[float, float, float]
    height: float
    size: tuple[int, int]

    def file(self) -> Path:
        """Where its picture is kept: the name changes with all that decides the picture."""
        inputs = hashlib.sha256(self.map.tobytes())
        inputs.update(self.identity.vector.tobytes())
        inputs.update(CHILD.read_bytes())
        settings = {"size": self.size, **QUALITY}
        view = [self.weights, self.target, self.height, settings]
        inputs.update(json.dumps(view, sort_keys=True).encode())
        return CACHE / f"{inputs.hexdigest()[:24]}.png"


def aim(head: Head, identity: Identity, landmarks: Sequence[str]) -> tuple[float, float, float]:
    """Return the middle of some landmarks of a person, metres, as far to the front as any of them."""
    places = head.neutral(identity.shape)[[head.landmarks[name] for name in landmarks]]
    x, _, z = places.mean(0)
    return float(x), float(places[:, 1].min()), float(z)


def render(shots: Sequence[Shot]) -> list[Image.Image]:
    """Return the pictures of `shots`, which are equally large, rendering those that are not there.

    Raises
    ------
    FurrowError
        If there is no Blender, or it ends before all pictures are made.
    """
    files = [shot.file() for shot in shots]
    missing = {file: shot for file, shot in zip(files, shots, strict=True) if not file.is_file()}
    if missing:
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="furrow-closeups-") as folder:
            _run(Path(folder), missing)
    return [Image.open(file).convert("L") for file in files]


def _run(folder: Path, missing: dict[Path, Shot]) -> None:
    """Render into the keys of `missing` in a Blender, with a progress bar."""
    shots = []
    for number, (file, shot) in enumerate(missing.items()):
        identity = folder / f"{hashlib.sha256(shot.identity.vector.tobytes()).hexdigest()}.json"
        write_identity(shot.identity, identity)
        image = folder / f"{number}.npy"
        np.save(image, shot.map)
        paths = {"identity": str(identity), "map": str(image), "picture": str(file)}
        view = {"weights": shot.weights, "target": shot.target, "height": shot.height}
        shots.append(paths | view)
    job = folder / "job.json"
    settings = QUALITY | {"size": next(iter(missing.values())).size}
    job.write_text(json.dumps(settings | {"shots": shots}), encoding="utf-8")
    command = [*blender.find(), str(CHILD), "--", str(job)]
    last: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout is not None
        with tqdm(total=len(missing), unit="picture", desc="Rendering", disable=None) as bar:
            for line in child.stdout:
                bar.update(line.startswith("done "))
                last = [*last[-11:], line]
    if child.returncode or not all(file.is_file() for file in missing):
        raise FurrowError("Blender ended before all pictures were made. It said:\n" + "".join(last))


def shaded_map(image: np.ndarray, skin: Chart, width: int) -> Image.Image:
    """Shade the front of a map (R, R) in mm, `width` pixels wide."""
    picture = Image.fromarray(shaded_front(image, skin))
    height = round(width * picture.height / picture.width)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def sheet(
    rows: Sequence[Sequence[Image.Image]], titles: Sequence[str], caption: str
) -> Image.Image:
    """Pictures in rows of equal height, a title over each column and a caption over all."""
    width = rows[0][0].width
    heights = [row[0].height for row in rows]
    head, gap = 40, 3
    columns = len(rows[0])
    page = Image.new(
        "L", (columns * (width + gap) - gap, head + sum(heights) + gap * (len(rows) - 1)), 24
    )
    pen = ImageDraw.Draw(page)
    pen.text((4, 1), caption, 235, ImageFont.load_default(16))
    for column, title in enumerate(titles):
        pen.text((column * (width + gap) + 4, 20), title, 190, ImageFont.load_default(15))
    top = head
    for row, height in zip(rows, heights, strict=True):
        for column, picture in enumerate(row):
            page.paste(picture, (column * (width + gap), top))
        top += height + gap
    return page


def save(page: Image.Image, path: Path) -> None:
    """Write a sheet as a JPEG, as good as LARGEST allows."""
    for quality in range(90, 30, -4):
        file = io.BytesIO()
        page.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= LARGEST:
            break
    write_whole(path, file.getvalue())
    print(f"{path}: {file.tell() // 1000} KB")
