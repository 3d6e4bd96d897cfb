"""How fast each engine is here, measured once and remembered beside what Furrow unpacks.

The file engine_speed.json holds the last measurements: ``{"format", "key", "processor", "engines":
{kind: {"name", "version", "exact_ms", "measured"}}}``. The key names what they hold for: processor,
cores, versions of the engines, the networks' content.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...formats.files import write_whole
from ...system import processor
from ...system.interrupt import Interrupt
from ...system.stopwatch import timed
from .engine import Engine

FILE = "engine_speed.json"
FORMAT = "furrow.engine_speed/1"
REPEATS = 5


@dataclass(frozen=True)
class Speed:
    """What was measured of an engine.

    Attributes
    ----------
    name, version
        Of its package.
    exact_ms
        Milliseconds of one exact map, the least of five after a first one.
    measured
        Date, as 2026-11-23.
    """

    name: str
    version: str | None
    exact_ms: float
    measured: str


def measure(
    engine: Engine, name: str, version: str | None, interrupt: Interrupt | None = None
) -> Speed:
    """Return the speed of an engine for maps in float32; FurrowError ``cancelled`` if interrupted."""
    w = engine.encode(np.zeros(engine.identity_size, np.float32), np.zeros(52, np.float32))
    noise = np.zeros((engine.resolution, engine.resolution), np.float32)
    _, *seconds = timed(lambda _: engine.synthesise(w, noise, interrupt=interrupt), 1 + REPEATS)
    today = datetime.date.today().isoformat()
    return Speed(name, version, round(1000 * min(seconds), 2), today)


def key(engines: Iterable[tuple[str, str | None]], networks: Iterable[Path]) -> str:
    """What measurements hold for: engines as (package, version), and files of networks."""
    digest = hashlib.sha256()
    for path in networks:
        if path.is_file():
            digest.update(path.read_bytes())
    versions = ", ".join(f"{name} {version}" for name, version in sorted(engines))
    cores = processor.physical_cores()
    return f"{processor.name()}, {cores} cores; {versions}; {digest.hexdigest()[:16]}"


def read(folder: Path, key_here: str | None = None) -> dict[str, Speed]:
    """Return speeds by kind of engine; none if there is no file, a damaged one, or another key's."""
    try:
        data: Any = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if data["format"] != FORMAT or key_here not in (None, data["key"]):
            return {}
        return {
            kind: Speed(
                str(entry["name"]),
                entry["version"],
                float(entry["exact_ms"]),
                str(entry["measured"]),
            )
            for kind, entry in data["engines"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # measured anew


def write(folder: Path, of: str, speeds: dict[str, Speed]) -> None:
    """Remember speeds for a key; raises FurrowError."""
    data = {
        "format": FORMAT,
        "key": of,
        "processor": processor.name(),
        "engines": {kind: asdict(speed) for kind, speed in speeds.items()},
    }
    write_whole(folder / FILE, json.dumps(data, indent=1).encode() + b"\n")
