"""Renders a speaking head in Blender: ``speech_film_render.py -- JOB.json``.

The child of ``speech_film.py``. JOB.json holds ``blend`` and ``object``, a baked head; ``film`` {path,
frames, view, quality} or null; ``stills``, a list of {frame, picture}, with their ``view``; ``folder``
for pictures on the way. A view is {"size": [width, height] in pixels, "target": [x, y,
z] m, "height": m that the picture spans, "yaw": degrees, "samples": of Cycles}. One line is printed
for each picture.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import bpy
from mathutils import Vector

sys.path.insert(0, str(Path(__file__).resolve().parent))
import closeups_render  # the sibling that loads Furrow wherever it is not installed

SUBDIVISIONS = 2
SOUND_KBPS = 64
"""Plenty for speech at 16 kHz."""


def stage_scene(head: bpy.types.Object) -> bpy.types.Scene:
    """A scene that holds the head and the stage alone, for quick pictures by Cycles."""
    from furrow.addon.bake import stage

    scene = bpy.data.scenes.new("Speech Film")
    scene.collection.objects.link(head)
    if head.parent is not None:
        scene.collection.objects.link(head.parent)
    for modifier in head.modifiers:
        if modifier.type == "SUBSURF":
            modifier.render_levels = SUBDIVISIONS
    stage.build(scene, head)
    show(scene)
    return scene


def settings(scene: bpy.types.Scene, samples: int) -> None:
    """Cycles with few samples and bounces, and the quick denoiser."""
    from furrow.addon.bake import stage

    stage.render_settings(scene, samples)
    cycles = scene.cycles
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 4, 1, 2
    if stage.denoises():
        cycles.denoising_quality = "FAST"
    scene.render.use_persistent_data = True


def show(scene: bpy.types.Scene) -> None:
    """Put a scene into the windows: one that no window shows is rendered as it was at first."""
    for window in bpy.context.window_manager.windows:
        window.scene = scene


def look(scene: bpy.types.Scene, head: bpy.types.Object, view: dict[str, Any]) -> None:
    """Point the camera, and leave out what it does not see."""
    settings(scene, view["samples"])
    closeups_render.keep_seen(head, view)
    camera = scene.camera
    lens = camera.data
    distance = view["height"] * lens.lens / lens.sensor_height
    target = Vector(view["target"])
    camera.location = target + closeups_render.towards(view["yaw"], 0.0) * distance
    camera.rotation_euler = (target - camera.location).to_track_quat("-Z", "Y").to_euler()
    scene.render.resolution_x, scene.render.resolution_y = view["size"]


def picture(scene: bpy.types.Scene, frame: int, path: Path) -> None:
    """Render one frame; the file appears only when it is whole. What is there already is kept."""
    if not path.is_file():
        scene.frame_set(frame)
        partial = path.with_name(f"partial-{path.name}")
        scene.render.filepath = str(partial)
        bpy.ops.render.render(write_still=True, scene=scene.name)
        partial.replace(path)
    print(f"done {path}", flush=True)


def main(job: dict[str, Any]) -> None:
    """Render the stills, then the film."""
    closeups_render.furrow()
    from furrow.addon.bake import film

    bpy.ops.wm.open_mainfile(filepath=job["blend"], load_ui=False)
    with_sound = bpy.context.scene
    head = bpy.data.objects[job["object"]]
    scene = stage_scene(head)
    look(scene, head, job["view"])
    for still in job["stills"]:
        picture(scene, still["frame"], Path(still["picture"]))
    if job["film"] is None:
        return
    look(scene, head, job["film"]["view"])
    first, last = job["film"]["frames"]
    files = [Path(job["folder"]) / f"film-{frame:04d}.png" for frame in range(first, last + 1)]
    for frame, file in enumerate(files, first):
        picture(scene, frame, file)
    show(with_sound)
    path, quality = Path(job["film"]["path"]), job["film"]["quality"]
    film.encode(path, [str(file) for file in files], first, quality, SOUND_KBPS)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[sys.argv.index("--") + 1]).read_text(encoding="utf-8")))
    sys.stdout.flush()
    os._exit(0)  # nothing is left to save, and Blender's own end takes seconds
