"""Films of a speaking head, and sheets of their frames with the sound that is said under each.

    python tools/speech_film.py [--sheet-only]

Every clip is baked as `furrow bake` bakes it, then rendered in Cycles by a Blender beside this process
(``speech_film_render.py``). A sheet shows the lips at every m, b, p, f, v, in pauses and in long
vowels, each frame the one nearest to the middle of the sound, none of them chosen by eye.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from furrow.backend.errors import FurrowError
from furrow.backend.formats import audio
from furrow.backend.formats.files import write_whole
from furrow.commands import blender
from furrow.training.speech import closures, real, sources
from furrow.training.speech.visemes import VOWELS
from furrow.training.speech.voices import SILENCE, Phone
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from shots import LARGEST, save
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out" / "films"
PICTURES = ROOT / "docs" / "pictures"
CHILD = Path(__file__).resolve().parent / "speech_film_render.py"

FPS = 24
RESOLUTION = 512
"""Texels along each side of the maps: as fine as the film's pixels."""
FACE: dict[str, Any] = {"size": [320, 320], "target": [0.0, -0.1, 0.146], "height": 0.19, "yaw": 20.0, "samples": 2}  # fmt: skip
LIPS: dict[str, Any] = {"size": [216, 180], "target": [0.0, -0.115, 0.112], "height": 0.075, "yaw": 12.0, "samples": 4}  # fmt: skip
QUALITIES = ("HIGH", "MEDIUM", "LOW")
"""Of the film, from the best on: the first one of at most LARGEST bytes is taken."""
COLUMNS, MOST = 6, 30
LONG_VOWEL, LONG_PAUSE = 0.1, 0.2
"""Seconds from which on a vowel, and a pause, has a picture."""


@dataclass(frozen=True)
class Clip:
    """A stretch of a sound file (seconds, all of it if `last` is 0), what is said in it, and who says it."""

    name: str
    sound: Path
    first: float
    last: float
    text: str
    identity: str


def clips() -> list[Clip]:
    """The sentence of the demo, and a part of Dickens read by a person."""
    cities = sources.recording(sources.RECORDINGS[0])
    hello = "Hello! Bring me a map of any problem, and maybe my brow will move."
    ages = "it was the age of wisdom, it was the age of foolishness, it was the epoch of belief"
    return [
        Clip("hello", ROOT / "assets" / "demo" / "hello.wav", 0.0, 0.0, hello, "old"),
        Clip("two-cities", cities, 4.8, 10.6, ages, "young"),
    ]


def bake(clip: Clip) -> Path:
    """Cut the clip and bake it; return the folder."""
    folder = OUT / clip.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sound = np.concatenate(list(audio.blocks(clip.sound)))
    last = clip.last or len(sound) / audio.RATE
    part = sound[round(clip.first * audio.RATE) : round(last * audio.RATE)]
    wav = folder / "sound.wav"
    soundfile.write(wav, part, audio.RATE)
    identity = ROOT / "assets" / "identities" / f"{clip.identity}.json"
    options = ["--identity", identity, "--fps", FPS, "--resolution", RESOLUTION, "-o", folder]
    if subprocess.run([sys.executable, "-m", "furrow", "bake", wav, *map(str, options)]).returncode:
        raise FurrowError(f"{clip.name} was not baked.")
    return folder


def moments(phones: list[Phone], touches: list[closures.Closure]) -> list[tuple[float, str]]:
    """Return the seconds that the sheet shows, in order, and what is said there.

    All touches of the lips; of long vowels and pauses the longest, as many as there is room for.
    """
    contacts, others = [], []
    for touch in touches:
        middle = (touch.start + touch.end) / 2
        near = [p for p in phones if p.name in ("mbp" if touch.bilabial else "fv")]
        nearest = min(near, key=lambda p: abs((p.start + p.end) / 2 - middle))
        contacts.append((middle, nearest.name))
    for phone in phones:
        seconds = phone.end - phone.start
        least = LONG_PAUSE if phone.name == SILENCE else LONG_VOWEL
        if (phone.name == SILENCE or phone.name in VOWELS) and seconds >= least:
            label = "(pause)" if phone.name == SILENCE else phone.name
            others.append((seconds, (phone.start + phone.end) / 2, label))
    others.sort(reverse=True)
    return sorted([*contacts, *((at, label) for _, at, label in others[: MOST - len(contacts)])])


def render(clip: Clip, folder: Path, stills: list[int], quality: str | None) -> None:
    """Render the sheet's frames, and the film unless `quality` is None."""
    count = round(soundfile.info(folder / "sound.wav").duration * FPS)
    film = None
    if quality is not None:
        film = {"path": str(folder / "film.mp4"), "frames": [1, count], "view": FACE, "quality": quality}  # fmt: skip
    job = {
        "blend": str(folder / "head.blend"),
        "object": "Head",
        "view": LIPS,
        "stills": [{"frame": f, "picture": str(still(folder, f))} for f in stills],
        "film": film,
        "folder": str(folder),
    }
    file = folder / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    command = [*blender.find(), str(CHILD), "--", str(file)]
    last: list[str] = []
    total = len(stills) + (count if film else 0)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout is not None
        with tqdm(total=total, unit="picture", desc=clip.name) as bar:
            for line in child.stdout:
                bar.update(line.startswith("done "))
                last = [*last[-11:], line]
    if child.returncode:
        raise FurrowError("Blender ended before all pictures were made. It said:\n" + "".join(last))


def still(folder: Path, frame: int) -> Path:
    """Where a frame of the sheet is kept."""
    return folder / f"still-{frame:04d}.png"


def sheet(
    folder: Path, instants: list[tuple[float, str]], frames: list[int], text: str
) -> Image.Image:
    """Lips in rows, sound and second under each, the words over all."""
    width, height = LIPS["size"]
    letters = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 17)
    rows = -(-len(instants) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (width + 3) - 3, 30 + rows * (height + 26)), (24, 24, 24))
    pen = ImageDraw.Draw(page)
    pen.text((6, 4), text, (235, 235, 235), letters)
    for k, ((at, label), frame) in enumerate(zip(instants, frames, strict=True)):
        left, top = k % COLUMNS * (width + 3), 30 + k // COLUMNS * (height + 26)
        page.paste(Image.open(still(folder, frame)).convert("RGB"), (left, top))
        pen.text((left + 6, top + height + 2), label, (255, 214, 120), letters)
        pen.text((left + width - 62, top + height + 2), f"{at:.2f} s", (170, 170, 170), letters)
    return page


def make(clip: Clip, sheet_only: bool) -> None:
    """Bake and render one clip; what it shows goes into docs/pictures."""
    folder = bake(clip)
    wav = folder / "sound.wav"
    sound, phones = real.align(wav, clip.text)
    instants = moments(phones, closures.find(sound, phones))
    count = round(len(sound) / audio.RATE * FPS)
    # Frame k of the file holds at (k - 1) / FPS.
    frames = [min(count, 1 + round(at * FPS)) for at, _ in instants]
    for quality in QUALITIES:
        render(clip, folder, frames, None if sheet_only else quality)
        if sheet_only or (folder / "film.mp4").stat().st_size <= LARGEST:
            break
    save(sheet(folder, instants, frames, clip.text), PICTURES / f"speech-{clip.name}.jpg")
    if not sheet_only:
        write_whole(PICTURES / f"speech-{clip.name}.mp4", (folder / "film.mp4").read_bytes())


def main() -> int:
    """Make all films and sheets, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="CLIP", help="hello, two-cities (default: both)"
    )
    parser.add_argument("--sheet-only", action="store_true", help="no films")
    arguments = parser.parse_args()
    try:
        for clip in clips():
            if not arguments.names or clip.name in arguments.names:
                make(clip, arguments.sheet_only)
    except FurrowError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
