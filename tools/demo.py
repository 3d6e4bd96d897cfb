"""Makes out/demo: a talking head with detail, from one WAV, and pictures of it.

What the `furrow` command does by hand, in one go: `furrow bake ... --preview`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from furrow.backend import engines

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out" / "demo"
SPEECH = ROOT / "assets" / "demo" / "hello.wav"
IDENTITY = ROOT / "assets" / "identities" / "old.json"
"""Of the two that ship, the one whose skin has more to tell."""
RESOLUTION = 512
"""Pixels a side, what the network makes natively."""

MEANINGS = {
    "head.blend": "the head, keyframed; opens and plays where Furrow is not installed",
    "weights.csv": "52 ARKit weights a frame, as Live Link Face writes them",
    "detail": "one displacement map a frame, millimetres, OpenEXR",
    "preview.png": "expressions with and without detail, Cycles",
    "preview.mp4": "the film, with sound",
    "bake.json": "what was asked, models by hash, frames done",
}


def main() -> int:
    """Bake, then picture what was baked; the status is the first that is not 0."""
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
