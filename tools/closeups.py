"""Draws docs/pictures/closeups-*.jpg: heads whose skin folds, close, under side light, in Cycles.

Below each render stands the shading of its map. Skin comes from ``training.corpus``; how pictures
are made is in ``shots.py``. Those in out/closeups are used again unless an input differs by a bit
(another OMP_NUM_THREADS does that).

    python tools/closeups.py                                       six sheets, 42 renders
    python tools/closeups.py --identities 1 --expressions smile    a quick look
    python tools/closeups.py --strip                               frames of a slider from 0 to 1
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import FACESCAPE_PRESETS, vector
from furrow.backend.formats.identity import SHAPE_LIMIT, SKIN, Identity
from furrow.backend.head.bilinear import Head
from furrow.training.corpus.compose import Skin
from shots import PICTURES, RESOLUTION, Shot, aim, render, save, shaded_map, sheet

SIZE = (276, 372)

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

FRAMES = 60
STRIP = (0, 6, 12, 18, 24, 30, 36, 42, 50, 59)
"""Frames of the strip, of a slider that goes evenly from 0 in the first to 1 in the last."""


def person(head: Head, years: int, seed: int) -> Identity:
    """A random person of a given age, as the Age slider makes one: shape and skin age together."""
    one = head.random(seed)
    age = next(d for d in head.directions if d.name == "Age").vector
    at = SKIN.index("age")
    age_value = (years - 20) / 60
    units = (age_value - one.skin[at]) / age[head.shape_count + at]
    shape = np.clip(one.shape + units * age[: head.shape_count], -SHAPE_LIMIT, SHAPE_LIMIT)
    skin = np.random.default_rng(seed).uniform(size=len(SKIN)).astype(np.float32)
    skin[at] = age_value
    return Identity(
        shape.astype(np.float32), skin, seed, f"About {years} years, person {seed % 10}"
    )


def face_shot(head: Head, skin: Skin, weights: dict[str, float]) -> Shot:
    """The front of the face, from the chin to the upper forehead."""
    places = head.neutral(skin.identity.shape)
    bottom = float(places[head.landmarks["chin"], 2]) - 0.008
    top = float(places[head.landmarks["hairline"], 2]) - 0.012
    depth = float(places[head.landmarks["glabella"], 1])
    target = (0.0, depth, (bottom + top) / 2)
    return Shot(skin.identity, skin.map(vector(weights)), weights, target, top - bottom, SIZE)


def near_shot(
    head: Head, skin: Skin, weights: dict[str, float], landmarks: Sequence[str], height: float
) -> Shot:
    """A detail of the face: the middle of some landmarks, `height` metres tall."""
    target = aim(head, skin.identity, landmarks)
    return Shot(skin.identity, skin.map(vector(weights)), weights, target, height, SIZE)


def portraits(head: Head, people: int, expressions: Sequence[str], out: Path) -> None:
    """Draw a sheet for each of the first `people`: renders above, shaded maps below."""
    plans = []
    for years, seed in PEOPLE[:people]:
        skin = Skin(head, person(head, years, seed), RESOLUTION)
        shots = [face_shot(head, skin, EXPRESSIONS[e]) for e in expressions]
        plans.append((f"closeups-{years}-{seed % 10}.jpg", shots, skin.chart))
    pictures = iter(render([shot for _, shots, _ in plans for shot in shots]))
    for name, shots, skin_chart in plans:
        maps = [shaded_map(shot.map, skin_chart, SIZE[0]) for shot in shots]
        page = sheet([[next(pictures) for _ in shots], maps], expressions, shots[0].identity.name)
        save(page, out / name)


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
