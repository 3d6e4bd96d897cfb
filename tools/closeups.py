"""Draws docs/pictures/closeups-*.jpg: heads whose skin folds, close, under side light, in Cycles.

Displacement is true: the map in millimetres moves the vertices of the subdivided head. Below each
render stands the shading of its map. Skin comes from ``training.corpus``, the head, its modifiers and
materials from the add-on, which runs in a Blender beside this process. Pictures are kept in
out/closeups, and made again only if an input differs by a bit (another OMP_NUM_THREADS does that).

    python tools/closeups.py                                       six sheets, 42 renders
    python tools/closeups.py --identities 1 --expressions smile    a quick look
    python tools/closeups.py --strip                               frames of a slider from 0 to 1
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from furrow.backend import blender
from furrow.backend.errors import FurrowError
from furrow.backend.expressions import FACESCAPE_PRESETS, vector
from furrow.backend.files import write_whole
from furrow.backend.head import Head
from furrow.backend.identity import SHAPE_LIMIT, SKIN, Identity, write_identity
from furrow.training.corpus.compose import Skin
from furrow.training.corpus.pictures import shaded_front
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
CHILD = Path(__file__).resolve().parent / "closeups_render.py"
CACHE = ROOT / "out" / "closeups"
PICTURES = ROOT / "docs" / "pictures"

RESOLUTION = 1024
"""Texels along each side of the maps."""

SIZE = (276, 372)
SETTINGS: dict[str, Any] = {"size": SIZE, "samples": 16, "levels": 4, "denoise": True}
"""Four subdivisions: vertices 0.2 mm apart, finer than the map's texels of 0.3 mm. The denoiser does
not wash relief out: against 384 samples, 16 denoised err by 2.8 of 255 greys and keep 94 % of the
structure finer than two pixels; 32 raw ones err by 10.7."""

PEOPLE = ((25, 11), (25, 12), (45, 21), (45, 22), (75, 31), (75, 32))
"""(years, seed) of the six sheets: the seed decides the shape and every habit of the skin but age."""

EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": FACESCAPE_PRESETS["smile"],
    "brow raise": FACESCAPE_PRESETS["brow-raiser"],
    "frown": FACESCAPE_PRESETS["brow-lower"],
    "squint": {"eyeSquintLeft": 1.0, "eyeSquintRight": 1.0},
    "pucker": FACESCAPE_PRESETS["lip-puckerer"],
    "nose sneer": {"noseSneerLeft": 1.0, "noseSneerRight": 1.0},
}

LARGEST = 300_000
"""Bytes of a sheet."""

FRAMES = 60
STRIP = (0, 6, 12, 18, 24, 30, 36, 42, 50, 59)
"""Frames of the strip, of a slider that goes evenly from 0 in the first to 1 in the last."""


@dataclass(frozen=True)
class Shot:
    """One picture: who, with which weights, and what the camera sees.

    `target` (metres) is in the middle of the picture, which spans `height` metres.
    """

    skin: Skin
    weights: dict[str, float]
    target: tuple[float, float, float]
    height: float

    def map(self) -> np.ndarray:
        """The displacement, (R, R) mm."""
        return self.skin.map(vector(self.weights))

    def file(self) -> Path:
        """Where its picture is kept: the name changes with all that decides the picture."""
        person = self.skin.identity
        inputs = hashlib.sha256(self.map().tobytes())
        inputs.update(person.vector.tobytes())
        inputs.update(CHILD.read_bytes())
        view = [self.weights, self.target, self.height, SETTINGS]
        inputs.update(json.dumps(view, sort_keys=True).encode())
        return CACHE / f"{inputs.hexdigest()[:24]}.png"


def person(head: Head, years: int, seed: int) -> Identity:
    """A random person of a given age, as the Age slider makes one: shape and skin age together."""
    one = head.random(seed)
    age = next(d for d in head.directions if d.name == "Age").vector
    at = SKIN.index("age")
    wanted = (years - 20) / 60
    units = (wanted - one.skin[at]) / age[head.shape_count + at]
    shape = np.clip(one.shape + units * age[: head.shape_count], -SHAPE_LIMIT, SHAPE_LIMIT)
    skin = np.random.default_rng(seed).uniform(size=len(SKIN)).astype(np.float32)
    skin[at] = wanted
    return Identity(
        shape.astype(np.float32), skin, seed, f"About {years} years, person {seed % 10}"
    )


def face_shot(head: Head, skin: Skin, weights: dict[str, float]) -> Shot:
    """The front of the face, from the chin to the upper forehead."""
    places = head.neutral(skin.identity.shape)
    bottom = float(places[head.landmarks["chin"], 2]) - 0.008
    top = float(places[head.landmarks["hairline"], 2]) - 0.012
    depth = float(places[head.landmarks["glabella"], 1])
    return Shot(skin, weights, (0.0, depth, (bottom + top) / 2), top - bottom)


def near_shot(
    head: Head, skin: Skin, weights: dict[str, float], landmarks: Sequence[str], height: float
) -> Shot:
    """A detail of the face: the middle of some landmarks, `height` metres tall."""
    places = head.neutral(skin.identity.shape)[[head.landmarks[name] for name in landmarks]]
    x, _, z = places.mean(0)
    return Shot(skin, weights, (float(x), float(places[:, 1].min()), float(z)), height)


def render(shots: Sequence[Shot]) -> list[Image.Image]:
    """Return the pictures of `shots`, rendering those that are not there.

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
        identity = (
            folder / f"{hashlib.sha256(shot.skin.identity.vector.tobytes()).hexdigest()}.json"
        )
        write_identity(shot.skin.identity, identity)
        image = folder / f"{number}.npy"
        np.save(image, shot.map())
        paths = {"identity": str(identity), "map": str(image), "picture": str(file)}
        view = {"weights": shot.weights, "target": shot.target, "height": shot.height}
        shots.append(paths | view)
    job = folder / "job.json"
    job.write_text(json.dumps(SETTINGS | {"shots": shots}), encoding="utf-8")
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
    """Write a sheet as a grey JPEG, as good as LARGEST allows."""
    for quality in range(90, 30, -4):
        file = io.BytesIO()
        page.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= LARGEST:
            break
    write_whole(path, file.getvalue())
    print(f"{path}: {file.tell() // 1000} KB")


def portraits(head: Head, people: int, expressions: Sequence[str], out: Path) -> None:
    """Draw a sheet for each of the first `people`: renders above, shaded maps below."""
    plans = []
    for years, seed in PEOPLE[:people]:
        skin = Skin(head, person(head, years, seed), RESOLUTION)
        plans.append((years, seed, [face_shot(head, skin, EXPRESSIONS[e]) for e in expressions]))
    pictures = iter(render([shot for _, _, shots in plans for shot in shots]))
    for years, seed, shots in plans:
        maps = []
        for shot in shots:
            image = Image.fromarray(shaded_front(shot.map(), shot.skin.chart))
            height = round(SIZE[0] * image.height / image.width)
            maps.append(image.resize((SIZE[0], height), Image.Resampling.LANCZOS))
        page = sheet(
            [[next(pictures) for _ in shots], maps], expressions, shots[0].skin.identity.name
        )
        save(page, out / f"closeups-{years}-{seed % 10}.jpg")


def strip(head: Head, out: Path) -> None:
    """Draw STRIP's frames of two sliders that go from 0 to 1, of an older person."""
    years, seed = PEOPLE[-1]
    skin = Skin(head, person(head, years, seed), RESOLUTION)
    shares = [frame / (FRAMES - 1) for frame in STRIP]
    views = (
        ("brow raise", ("brow_mid_left", "brow_mid_right", "forehead"), 0.075),
        ("smile", ("eye_outer_left", "mouth_corner_left", "cheek_left"), 0.1),
    )
    shots = []
    for name, landmarks, height in views:
        for share in shares:
            weights = {key: share * value for key, value in EXPRESSIONS[name].items()}
            shots.append(near_shot(head, skin, weights, landmarks, height))
    pictures = render(shots)
    rows = [pictures[: len(STRIP)], pictures[len(STRIP) :]]
    titles = [f"frame {frame}" for frame in STRIP]
    caption = f"{skin.identity.name}: brow raise and smile from 0 to 1 over {FRAMES} frames"
    save(sheet(rows, titles, caption), out / "closeups-strip.jpg")


def main() -> int:
    """Draw what was asked for; the status is 1 if it cannot be drawn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--identities", type=int, default=len(PEOPLE), choices=range(1, len(PEOPLE) + 1), metavar="N", help="only the first N people")  # fmt: skip
    parser.add_argument("--expressions", nargs="+", choices=EXPRESSIONS, default=list(EXPRESSIONS), metavar="NAME", help="only these: " + ", ".join(EXPRESSIONS))  # fmt: skip
    parser.add_argument("--strip", action="store_true", help="draw the strip of frames instead")
    parser.add_argument("--output", type=Path, default=PICTURES, metavar="DIR", help="where the sheets go (default: docs/pictures)")  # fmt: skip
    arguments = parser.parse_args()
    try:
        head = Head.load()
        if arguments.strip:
            strip(head, arguments.output.resolve())
        else:
            portraits(head, arguments.identities, arguments.expressions, arguments.output.resolve())
    except FurrowError as error:
        print(f"closeups: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
