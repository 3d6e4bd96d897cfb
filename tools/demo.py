"""Makes out/demo: a talking head with detail, from one WAV, and pictures of it.

What the `furrow` command does by hand, in one go: `furrow bake ... --preview`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out" / "demo"
SPEECH = ROOT / "assets" / "demo" / "hello.wav"
IDENTITIES = ROOT / "assets" / "identities"
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
    """Bake, then say what lies where; the status is the bake's."""
    begin = time.perf_counter()
    identity = sorted(IDENTITIES.glob("*.json"))[0]
    shutil.rmtree(OUT, ignore_errors=True)  # a demonstration starts from nothing
    command = [sys.executable, "-m", "furrow", "bake", SPEECH, "-o", OUT, "--identity", identity,
               "--resolution", RESOLUTION, "--preview"]  # fmt: skip
    status = subprocess.run([str(word) for word in command]).returncode
    if status:
        return status
    absent = [name for name in MEANINGS if not (OUT / name).exists()]
    if absent:
        print(f"make demo: the bake left out {', '.join(absent)}", file=sys.stderr)
        return 1
    print(f"\n{SPEECH.name} spoken by {identity.stem}, {time.perf_counter() - begin:.0f} s in all:")
    for name, meaning in MEANINGS.items():
        print(f"  {(OUT / name).relative_to(ROOT).as_posix():<22} {meaning}")
    record = json.loads((OUT / "bake.json").read_text())
    for stage, seconds in record.get("seconds", {}).items():
        print(f"  {stage:<22} {seconds:.1f} s")
    for what, engine in record.get("engines", {}).items():
        print(f"  {what:<22} {engine}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
