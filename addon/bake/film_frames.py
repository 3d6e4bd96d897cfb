"""Renders frames of a baked head as PNGs: a plain script for a child process, without Furrow.

``blender -b --python film_frames.py -- JSON``, or a Python with bpy. A graphics driver that crashes
takes this process, not the bake; and what plays here plays where Furrow is not installed.
JSON holds blend, object, folder, engine, frames, size, samples, threads.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import bpy

SUBDIVISIONS = 2


def main(job: dict[str, Any]) -> None:
    """Render ``job["frames"]`` into ``job["folder"]``, each under its name only when whole."""
    bpy.ops.wm.open_mainfile(filepath=job["blend"], load_ui=False)
    obj = bpy.data.objects[job["object"]]
    stage = _module("stage")
    scene = bpy.data.scenes.new("Furrow Film")
    scene.collection.objects.link(obj)
    manager = bpy.context.window_manager
    for window in manager.windows if manager is not None else ():
        window.scene = (
            scene  # Blender renders a scene that no window shows as it was first evaluated
        )
    for modifier in obj.modifiers:
        if modifier.type == "SUBSURF":
            modifier.render_levels = min(modifier.render_levels, SUBDIVISIONS)
    stage.build(scene, obj, margin=1.08)
    stage.render_settings(scene, job["samples"])
    render = scene.render
    render.engine = job["engine"]
    if job["engine"] != "CYCLES":
        assert scene.eevee is not None
        scene.eevee.taa_render_samples = 16
    cycles: Any = scene.cycles
    if stage.denoises():
        cycles.denoising_quality = "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 4, 1, 2
    render.use_persistent_data = True
    render.resolution_x, render.resolution_y = job["size"]
    render.threads_mode, render.threads = "FIXED", job["threads"]
    folder = Path(job["folder"])
    for frame in job["frames"]:
        scene.frame_set(frame)
        partial = folder / f"partial-{frame:04d}.png"
        render.filepath = str(partial)
        bpy.ops.render.render(write_still=True)
        partial.replace(folder / f"{frame:04d}.png")


def _module(name: str) -> Any:
    """A module beside this file that imports nothing of Furrow's."""
    path = Path(__file__).resolve().parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"furrow_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(json.loads(sys.argv[sys.argv.index("--") + 1]))
    sys.stdout.flush()
    os._exit(0)  # drivers without a display are known to hang when Blender takes itself down
