"""preview.mp4: a baked head speaking, at modest size, with its sound."""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

from ...backend.errors import FurrowError
from ...backend.formats.files import whole_file
from ..animation import speech
from ..head import typed
from . import stage

NAME = "preview.mp4"

SIZE = (288, 332)
"""Pixels of a film by Cycles; a graphics card makes one of twice the size."""
SAMPLES = 2
PROBE_SECONDS = 60.0
"""How long a graphics card may take for its first two frames, shaders included."""
BUDGET_SECONDS = 150.0
"""After this long a film shows every other frame twice, unless all are nearly there."""
FRAME_SECONDS = 120.0
"""A child that finishes no frame for so long is taken for dead."""

_CHILD = Path(__file__).resolve().parent / "film_frames.py"

Progress = Callable[[float, str], None]


def render(
    blend: Path, obj: str, frames: range, folder: Path, progress: Progress
) -> tuple[Path, str]:
    """Render the film of a baked file that is open, with the sound of its sequencer, into `folder`.

    Parameters
    ----------
    blend
        head.blend; opened once more in child processes.
    obj
        Name of the head.
    frames
        Frames of the animation.

    Returns
    -------
    The film's path, and in words what rendered it.

    Raises
    ------
    FurrowError
        If no engine can render it, or the film cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="furrow-film-") as pictures:
        job: dict[str, Any] = {"blend": str(blend), "object": obj, "folder": pictures}
        engine = _graphics_engine(job, frames, progress)
        if engine is not None:
            words = f"{engine} on the graphics card"
            job |= {"engine": engine, "size": [2 * side for side in SIZE], "samples": 16}
            shown = _run(job, frames, 1, progress)
        else:
            denoises = stage.denoises()
            samples = SAMPLES if denoises else SAMPLES * stage.INSTEAD_OF_DENOISING
            how = f"{samples} samples{', denoised' if denoises else ''}"
            words = f"Cycles on the processor ({how}), since no graphics card was found"
            job |= {"engine": "CYCLES", "size": list(SIZE), "samples": SAMPLES}
            shown = _run(job, frames, 2 if (os.cpu_count() or 1) > 1 else 1, progress)
        if len(shown) < len(frames):
            words += "; every other frame is shown twice, to save time"
        progress(1.0, "Encoding")
        step = 1 if len(shown) == len(frames) else 2
        order = [frames.start + (frame - frames.start) // step * step for frame in frames]
        files = [str(Path(pictures) / f"{frame:04d}.png") for frame in order]
        return encode(folder / NAME, files, frames.start), words


def _graphics_engine(job: dict[str, Any], frames: range, progress: Progress) -> str | None:
    """EEVEE's name if a graphics card renders with it here, else None.

    OpenGL by software is slower than Cycles, so a machine without a card is not asked at all. The
    question goes to a child process, since a driver without a display may crash or hang.
    """
    if sys.platform == "linux" and not glob.glob("/dev/dri/renderD*") + glob.glob(
        "/dev/nvidia[0-9]*"
    ):
        return None
    engine = "BLENDER_EEVEE_NEXT" if bpy.app.version < (5, 0) else "BLENDER_EEVEE"
    progress(0.0, "Trying the graphics card")
    trial = job | {
        "engine": engine,
        "size": list(SIZE),
        "samples": 4,
        "threads": os.cpu_count() or 1,
    }
    trial["frames"] = list(frames[:2])
    try:
        done = subprocess.run(
            _command(trial), capture_output=True, timeout=PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    whole = [Path(job["folder"]) / f"{frame:04d}.png" for frame in trial["frames"]]
    good = done.returncode == 0 and all(path.is_file() for path in whole)
    for path in whole:
        path.unlink(missing_ok=True)
    return engine if good else None


def _command(job: dict[str, Any]) -> list[str]:
    """The child process, in this Blender or this Python with bpy."""
    if not bpy.app.binary_path:
        start = [sys.executable, "-P", str(_CHILD)]
    else:
        script = ["--python-exit-code", "1", "--python", str(_CHILD)]
        start = [bpy.app.binary_path, "--background", "--factory-startup", *script]
    return [*start, "--", json.dumps(job)]


def _run(job: dict[str, Any], frames: range, workers: int, progress: Progress) -> list[int]:
    """Render the frames in child processes, every other one first; returns those that are there."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    folder = Path(job["folder"])
    log = folder / "log.txt"
    children = []
    with log.open("wb") as output:
        for worker in range(workers):
            share = [*frames[::2][worker::workers], *frames[1::2][worker::workers]]
            child = subprocess.Popen(
                _command(job | {"frames": share, "threads": threads}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            children.append(child)
        try:
            _watch(children, folder, frames, progress)
        finally:
            for child in children:
                child.kill()
                child.wait()
    done = _done(folder)
    if done >= set(frames):
        return list(frames)
    missing = [frame for frame in frames[::2] if frame not in done]
    if missing:
        lines = log.read_text(errors="replace").strip().splitlines() or ["no word"]
        reason = next((line for line in lines if "Error" in line), lines[-1])
        raise FurrowError(f"Frame {missing[0]} of the film was not rendered: {reason}", "internal")
    return list(frames[::2])


def _done(folder: Path) -> set[int]:
    return {int(path.stem) for path in folder.glob("[0-9]*.png")}


def _watch(
    children: list[subprocess.Popen[bytes]], folder: Path, frames: range, progress: Progress
) -> None:
    """Wait for the children, until time is up and every other frame is there, or they seem dead."""
    begin = changed = time.monotonic()
    before = -1
    while any(child.poll() is None for child in children):
        done = _done(folder)
        now = time.monotonic()
        if len(done) != before:
            before, changed = len(done), now
            progress(before / len(frames), f"Film {before} of {len(frames)}")
        if now - changed > FRAME_SECONDS:
            return
        if now - begin > BUDGET_SECONDS and done >= set(frames[::2]):
            return
        time.sleep(0.1)


def encode(
    path: Path, files: list[str], first: int, quality: str = "HIGH", sound_kbps: int = 160
) -> Path:
    """Join pictures and the scene's sound from frame `first` on as H.264 and AAC, in the sequencer.

    `quality` is Blender's name of a constant rate factor: LOSSLESS, HIGH, MEDIUM, LOW ...
    """
    source = typed.scene(bpy.context)
    scene = bpy.data.scenes.new("Furrow Film")
    try:
        render = scene.render
        render.fps, render.fps_base = source.render.fps, source.render.fps_base
        picture = bpy.data.images.load(files[0], check_existing=False)
        render.resolution_x, render.resolution_y = picture.size
        bpy.data.images.remove(picture)
        view: Any = scene.view_settings  # names of the colour configuration
        view.view_transform = "Standard"  # the pictures are finished
        scene.frame_start, scene.frame_end = 1, len(files)
        strip = speech.strips(scene).new_image("Film", files[0], 1, 1)
        for file in files[1:]:
            strip.elements.append(Path(file).name)
        strip.frame_final_duration = len(files)
        _copy_sound(source, scene, 1 - first)
        _movie_format(render, quality, sound_kbps)
        with whole_file(path) as temporary:
            render.filepath = str(temporary)
            render.use_file_extension = False
            bpy.ops.render.render(animation=True, scene=scene.name)
            if temporary.stat().st_size == 0:
                raise FurrowError(f"{path} could not be encoded.", "write_failed")
    finally:
        bpy.data.scenes.remove(scene)
    return path


def _copy_sound(source: bpy.types.Scene, scene: bpy.types.Scene, shift: int) -> None:
    """Lay the sounds of one scene into another, `shift` frames later."""
    if source.sequence_editor is None:
        return
    for strip in speech.strips(source):
        if strip.type == "SOUND" and not strip.mute:
            path = bpy.path.abspath(strip.sound.filepath)
            start = round(strip.frame_start) + shift
            copy = speech.strips(scene).new_sound(strip.name, path, strip.channel + 1, start)
            copy.sound = strip.sound  # also where it is packed and the file is gone
            copy.frame_offset_start = strip.frame_offset_start
            copy.frame_offset_end = strip.frame_offset_end
            copy.volume = strip.volume


def _movie_format(render: bpy.types.RenderSettings, quality: str, sound_kbps: int) -> None:
    image: Any = render.image_settings
    if bpy.app.version >= (5, 0):  # pictures and films became two kinds
        image.media_type = "VIDEO"
    image.file_format = "FFMPEG"
    ffmpeg: Any = render.ffmpeg
    ffmpeg.format, ffmpeg.codec, ffmpeg.audio_codec = "MPEG4", "H264", "AAC"
    ffmpeg.constant_rate_factor, ffmpeg.audio_bitrate = quality, sound_kbps
    ffmpeg.gopsize = 15
