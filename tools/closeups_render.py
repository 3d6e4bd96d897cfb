"""Renders close-ups of heads under side light, in Blender: ``closeups_render.py -- JOB.json``.

The child of ``closeups.py``. JOB.json holds ``size`` [width, height] in pixels, ``samples``,
``levels`` of subdivision, ``denoise``, and ``shots``: a list of {identity (a file), weights
{expression: number}, map (.npy, (R, R) mm), target [x, y, z] m, height (m that the picture spans),
picture (.png)}. One line is printed for each picture that is there.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
from mathutils import Vector

GREY = 0.42
"""Albedo of the skin, somewhat darker than the usual clay: shoulders of furrows must not clip."""

LIGHTS = (
    # degrees to the side of the face's front (its left is positive), degrees up, side m, watts
    (-64.0, 34.0, 0.2, 15.0),
    (78.0, 16.0, 0.3, 4.5),
)
"""A light that grazes the skin, and a weaker one for the cheek that lies in its shadow."""

LIGHT_DISTANCE = 1.0
"""Metres."""

AMBIENT = 0.1
BACK_Y, MARGIN = 0.035, 0.04
"""Metres: the head behind its ears, and what lies so far outside the picture, is left out."""

LENS_MM, SENSOR_MM = 85.0, 24.0


def furrow() -> ModuleType:
    """The package, loaded and registered by the script that loads it wherever it is not installed."""
    path = Path(__file__).resolve().parent.parent / "addon" / "outside.py"
    spec = importlib.util.spec_from_file_location("furrow_outside", path)
    assert spec is not None and spec.loader is not None
    outside = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(outside)
    return outside.load()


def clay() -> bpy.types.Material:
    """Matt grey without any picture or colour: what is seen is the surface."""
    material = bpy.data.materials.new("Clay")
    if bpy.app.version < (5, 0):
        material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (GREY, GREY, GREY, 1.0)
    shader.inputs["Roughness"].default_value = 0.55
    shader.inputs["Specular IOR Level"].default_value = 0.25
    return material


def towards(side: float, up: float) -> Vector:
    """Unit vector away from the face, degrees; the face looks along -Y."""
    a, b = math.radians(side), math.radians(up)
    return Vector((math.sin(a) * math.cos(b), -math.cos(a) * math.cos(b), math.sin(b)))


def light_up(scene: bpy.types.Scene, target: Vector) -> None:
    """Place the two lights and a dark even world."""
    for side, up, size, watts in LIGHTS:
        data = bpy.data.lights.new("Light", "AREA")
        data.shape, data.size, data.energy = "DISK", size, watts
        lamp = bpy.data.objects.new("Light", data)
        lamp.location = target + towards(side, up) * LIGHT_DISTANCE
        lamp.rotation_euler = (-towards(side, up)).to_track_quat("-Z", "Y").to_euler()
        scene.collection.objects.link(lamp)
    world = bpy.data.worlds.new("World")
    if bpy.app.version < (5, 0):
        world.use_nodes = True
    world.node_tree.nodes["Background"].inputs[0].default_value = (AMBIENT, AMBIENT, AMBIENT, 1.0)
    scene.world = world


def settings(scene: bpy.types.Scene, job: dict[str, Any]) -> None:
    """Cycles, grey pictures, no colour grading."""
    render, cycles = scene.render, scene.cycles
    setattr(render, "engine", "CYCLES")  # noqa: B010
    render.resolution_x, render.resolution_y = job["size"]
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "BW"
    cycles.samples, cycles.use_denoising = job["samples"], job["denoise"]
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 4, 1, 1
    scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"


def keep_seen(head: bpy.types.Object, shot: dict[str, Any]) -> None:
    """Mask away what the camera cannot see before it is subdivided: half of the time and memory."""
    places = np.empty(len(head.data.vertices) * 3, np.float32)
    head.data.vertices.foreach_get("co", places)
    places = places.reshape(-1, 3)
    middle, half = shot["target"][2], shot["height"] / 2
    visible = (places[:, 1] < BACK_Y) & (np.abs(places[:, 2] - middle) < half + MARGIN)
    name = "In Picture"
    if name not in head.modifiers:
        head.modifiers.new(name, "MASK").vertex_group = head.vertex_groups.new(name=name).name
        head.modifiers.move(len(head.modifiers) - 1, 0)
    group = head.vertex_groups[name]
    group.remove(range(len(visible)))
    group.add(np.flatnonzero(visible).tolist(), 1.0, "REPLACE")


def shoot(
    scene: bpy.types.Scene, head: bpy.types.Object, shot: dict[str, Any], levels: int
) -> None:
    """Give the head an expression with its map, point the camera, and render one picture."""
    from furrow.addon.detail import detail_modes, displacement, live_mode
    from furrow.addon.head import head_object

    head_object.set_expression(head, shot["weights"])
    detail_modes.attach(head)
    live_mode.show_map(head, np.load(shot["map"]))
    keep_seen(head, shot)
    head.modifiers[displacement.SUBDIVISION].render_levels = levels
    camera = scene.camera
    camera.location = Vector(shot["target"]) + towards(0.0, 0.0) * (
        shot["height"] * LENS_MM / SENSOR_MM
    )
    picture = Path(shot["picture"])
    partial = picture.with_name(f"partial-{picture.name}")
    scene.render.filepath = str(partial)
    bpy.ops.render.render(write_still=True, scene=scene.name)
    partial.replace(picture)
    print(f"done {picture}", flush=True)


def main(job: dict[str, Any]) -> None:
    """Render every shot; shots of one identity that follow each other share its head."""
    furrow()
    from furrow.addon.detail.live_session import session
    from furrow.addon.head import head_object

    scene = bpy.context.scene
    assert scene is not None
    for obj in list(scene.objects):
        bpy.data.objects.remove(obj)
    settings(scene, job)
    light_up(scene, Vector(job["shots"][0]["target"]))
    lens = bpy.data.cameras.new("Camera")
    lens.lens, lens.sensor_fit, lens.sensor_height, lens.clip_start = (
        LENS_MM,
        "VERTICAL",
        SENSOR_MM,
        0.01,
    )
    scene.camera = bpy.data.objects.new("Camera", lens)
    scene.camera.rotation_euler = (math.radians(90.0), 0.0, 0.0)
    scene.collection.objects.link(scene.camera)
    grey, head, current = clay(), None, ""
    with session.paused():
        for shot in job["shots"]:
            if shot["identity"] != current:
                if head is not None:
                    bpy.data.objects.remove(head)
                current = shot["identity"]
                head = head_object.create_head(
                    head_object.head().read_identity(current), "Head", scene.collection
                )
                for slot, name in enumerate(head_object.head().materials):
                    if name in ("skin", "brows"):
                        head.data.materials[slot] = grey
            shoot(scene, head, shot, job["levels"])


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[sys.argv.index("--") + 1]).read_text(encoding="utf-8")))
    sys.stdout.flush()
    os._exit(0)  # nothing is left to save, and Blender's own end takes seconds
