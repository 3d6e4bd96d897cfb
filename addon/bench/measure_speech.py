"""What `furrow bench` measures of speech: from a recording to keys on a head."""

from __future__ import annotations

import time
import wave
from pathlib import Path

import bpy

from ...backend.errors import FurrowError
from ...backend.formats.figures import Figure
from ...backend.formats.files import ASSETS
from ..animation import motion, speech
from ..head import head_object, typed
from ..process import jobs
from . import memory

DEMO = ASSETS / "demo" / "hello.wav"

SPEECH_TIMEOUT = 600.0
"""Seconds for ten minutes of speech."""


def keys(_runs: int) -> list[Figure]:
    """From a WAV of ten seconds, and of ten minutes, to keys on a head."""
    scene = typed.scene(bpy.context)
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
        listened = time.perf_counter()
        motion.apply([obj], scene, path, weights, motion.Placement())
        written = time.perf_counter()
        figures += [
            Figure(f"speech_{name}_s", written - begin, "s"),
            Figure(f"keys_{name}_s", written - listened, "s"),
        ]
    return figures + memory.peaks("speech")


def _repeat(source: Path, path: Path, seconds: int) -> None:
    """Write a WAV of another's sound, over and over."""
    with wave.open(str(source), "rb") as sound:
        settings = sound.getparams()
        once = sound.readframes(settings.nframes)
    size = seconds * settings.framerate * settings.nchannels * settings.sampwidth
    with wave.open(str(path), "wb") as sound:
        sound.setparams(settings)
        sound.writeframes((once * (size // len(once) + 1))[:size])
