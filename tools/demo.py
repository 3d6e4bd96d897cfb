"""Makes out/demo: a talking head with detail, from one WAV, and pictures of it.

What the `furrow` command does by hand, in one go: `furrow bake ... --preview`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from furrow.backend.detail.engines import engines

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out" / "demo"
SPEECH = ROOT / "assets" / "demo" / "hello.wav"
IDENTITY = ROOT / "assets" / "identities" / "old.json"
"""Of the two that ship, the one whose skin has more to tell."""
RESOLUTION = 1024
"""Pixels a side, what the network makes natively."""

SHEET_ROWS = 5
"""Expressions on the contact sheet."""

MEANINGS = {
    "head.blend": "the head, keyframed; opens and plays where Furrow is not installed",
    "weights.csv": "52 ARKit weights a frame, as Live Link Face writes them",
    "detail": "one displacement map a frame, millimetres, OpenEXR",
    "preview.png": "expressions with and without detail, Cycles",
    "preview.mp4": "the film, with sound",
    "bake.json": "what was asked, models by hash, frames done",
}


def keep_for_readme() -> None:
    """Put the contact sheet into docs/pictures: expressions side by side, small, with a palette."""
    from PIL import Image

    sheet = Image.open(OUT / "preview.png").convert("RGB")
    half, tall = sheet.width // 2, sheet.height // SHEET_ROWS
    wide = Image.new("RGB", (SHEET_ROWS * half, 2 * tall))
    for row in range(SHEET_ROWS):
        for column in range(2):  # without detail above, with detail below
            tile = sheet.crop((column * half, row * tall, (column + 1) * half, (row + 1) * tall))
            wide.paste(tile, (row * half, column * tall))
    wide.thumbnail((1280, 1280))
    picture = wide.quantize(160, dither=Image.Dither.NONE)
    picture.save(ROOT / "docs" / "pictures" / "preview.png", optimize=True)


def main() -> int:
    """Bake, then picture what was baked; the status is the first that is not 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guide", action="store_true", help="renew the README's picture")
    arguments = parser.parse_args()
    shutil.rmtree(OUT, ignore_errors=True)  # a demonstration starts from nothing
    bake = ["bake", SPEECH, "-o", OUT, "--identity", IDENTITY, "--resolution", RESOLUTION]
    seconds = {}
    # The second bake finds all maps there and only renders.
    for stage, extra in (("speech, maps, head", []), ("pictures, film", ["--preview"])):
        begin = time.perf_counter()
        command = [sys.executable, "-m", "furrow", *map(str, bake), *extra]
        if status := subprocess.run(command).returncode:
            return status
        seconds[stage] = time.perf_counter() - begin
    absent = [name for name in MEANINGS if not (OUT / name).exists()]
    if absent:
        print(f"make demo: the bake left out {', '.join(absent)}", file=sys.stderr)
        return 1
    if arguments.guide:
        keep_for_readme()
    engine = engines.choose()
    print(
        f"\n{SPEECH.name}, spoken by {IDENTITY.stem}; networks by {engine.name} on {engine.device}:"
    )
    for name, meaning in MEANINGS.items():
        print(f"  {(OUT / name).relative_to(ROOT).as_posix():<22} {meaning}")
    print(", ".join(f"{stage} {duration:.0f} s" for stage, duration in seconds.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
