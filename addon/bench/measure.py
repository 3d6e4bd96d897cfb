"""What `furrow bench` measures inside Blender, by part, each in a process of its own."""

from __future__ import annotations

import json
import time
import wave
from collections.abc import Callable
from pathlib import Path

import bpy

from ...backend.errors import FurrowError
from ...backend.formats.figures import Figure
from ...backend.formats.files import ASSETS, write_whole
from ...commands.timing import peak_bytes
from ..animation import motion, speech
from ..head import head_object
from ..interface import preferences
from ..process import jobs

DEMO = ASSETS / "demo" / "hello.wav"

SPEECH_TIMEOUT = 600.0
"""Seconds for ten minutes of speech."""


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
    from . import measure_live

    parts: dict[str, Callable[[int], list[Figure]]] = {
        "start": lambda _runs: [Figure("addon_start_ms", 1000 * start_s, "ms")],
        "backend": measure_live.backend,
        "viewport": measure_live.viewport,
        "portable": measure_live.portable,
        "speech": spoken,
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


def spoken(_runs: int) -> list[Figure]:
    """From a WAV of ten seconds, and of ten minutes, to keys on a head."""
    scene = bpy.context.scene
    scene.render.fps = 30
    obj = head_object.create_head(head_object.head().average())
    jobs.client().wait_ready()
    folder = Path(bpy.app.tempdir)
    figures = []
    for name, seconds in (("10s_first", 10), ("10s", 10), ("10min", 600)):
        path = folder / f"{name}.wav"
        _repeat(DEMO, path, seconds)
        begin = time.perf_counter()
        pending = speech.request(jobs.client(), path, scene)
        if not pending.wait(SPEECH_TIMEOUT):
            raise FurrowError(f"{seconds} s of speech took more than {SPEECH_TIMEOUT:g} s.")
        weights = speech.weights_of(pending.result())
        heard = time.perf_counter()
        motion.apply([obj], scene, path, weights, motion.Placement())
        written = time.perf_counter()
        figures += [
            Figure(f"speech_{name}_s", written - begin, "s"),
            Figure(f"keys_{name}_s", written - heard, "s"),
        ]
    return figures + memory("speech")


def memory(part: str = "") -> list[Figure]:
    """The most memory that Blender and the backend process of this session have held, in MB."""
    infix = f"_{part}" if part else ""
    client = jobs.running()
    pid = client.info["pid"] if client is not None else -1
    found = {f"blender{infix}_peak_mb": peak_bytes(), f"backend{infix}_rss_mb": peak_bytes(pid)}
    return [Figure(name, size / 1e6, "MB") for name, size in found.items() if size is not None]


def _repeat(source: Path, path: Path, seconds: int) -> None:
    """Write a WAV of another's sound, over and over."""
    with wave.open(str(source), "rb") as sound:
        settings = sound.getparams()
        once = sound.readframes(settings.nframes)
    size = seconds * settings.framerate * settings.nchannels * settings.sampwidth
    with wave.open(str(path), "wb") as sound:
        sound.setparams(settings)
        sound.writeframes((once * (size // len(once) + 1))[:size])
