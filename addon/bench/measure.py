"""What `furrow bench` measures inside Blender, by part, each in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ...backend.errors import FurrowError
from ...backend.formats.figures import Figure
from ...backend.formats.files import write_whole
from ..process import jobs, preferences
from . import measure_live, measure_speech


def main(part: str, path: str, runs: int, start_s: float) -> int:
    """Measure a part and write its figures, or the reason why there are none, as JSON.

    Parameters
    ----------
    part
        start, backend, viewport, portable or speech.
    path
        Of the file: ``{"figures": [[name, value, unit], ...]}`` or ``{"error": "..."}``.
    runs
        How often things are repeated.
    start_s
        What loading and registering the add-on took.
    """
    parts: dict[str, Callable[[int], list[Figure]]] = {
        "start": lambda _runs: [Figure("addon_start_ms", 1000 * start_s, "ms")],
        "backend": measure_live.backend,
        "viewport": measure_live.viewport,
        "portable": measure_live.portable,
        "speech": measure_speech.keys,
    }
    # What ships. These are the settings of a Furrow that Blender has not installed.
    preferences.DEFAULTS.engine = "ort"
    try:
        figures = [(f.name, float(f.value), f.unit) for f in parts[part](runs)]
        result: dict[str, object] = {"figures": figures}
    except FurrowError as error:
        result = {"error": str(error)}
    except Exception as error:  # Blender would only print it
        result = {"error": f"{type(error).__name__}: {error}"}
    finally:
        jobs.stop()
    write_whole(Path(path), json.dumps(result).encode())
    return 1 if "error" in result else 0
