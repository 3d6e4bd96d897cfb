"""Camera, lights and backdrop for a portrait: what head.blend opens with and previews are taken by."""

from __future__ import annotations

import math
from typing import Any

import bpy
import numpy as np
from mathutils import Vector

COLLECTION = "Furrow Stage"

_LENS_MM = 85.0
_LIGHTS = (
    # name, degrees to the camera's right of the face's front, degrees up, distance m, side m, watts, colour
    ("Key", -32.0, 42.0, 1.0, 0.24, 14.0, (1.0, 0.95, 0.89)),
    ("Rake", 98.0, 28.0, 0.9, 0.14, 7.0, (1.0, 0.96, 0.92)),
    ("Rim", -150.0, 40.0, 0.9, 0.30, 8.0, (0.86, 0.93, 1.0)),
)
_BACKDROP = (0.045, 0.050, 0.056)
_AMBIENT = 0.16
INSTEAD_OF_DENOISING = 4
"""Times the samples."""


def build(
    scene: bpy.types.Scene, obj: bpy.types.Object, yaw: float = 24.0, margin: float = 1.22
) -> bpy.types.Object:
    """Put a camera and three lights before a head and make them the scene's; an older stage goes.

    Parameters
    ----------
    yaw
        Degrees that the camera stands to the side of the face's front; 0 faces it.
    margin
        Height of the picture over the height from chin to crown.

    Returns
    -------
    The camera.
    """
    remove()
    collection = bpy.data.collections.new(COLLECTION)
    scene.collection.children.link(collection)
    centre, height = _face(obj)
    for name, side, up, distance, size, watts, colour in _LIGHTS:
        light = bpy.data.lights.new(f"Furrow {name}", "AREA")
        assert isinstance(light, bpy.types.AreaLight)
        light.shape, light.size, light.energy, light.color = "DISK", size, watts, colour
        _place(collection, light, centre + _from(side, up) * distance, centre)
    lens = bpy.data.cameras.new("Furrow Camera")
    lens.lens, lens.sensor_fit, lens.sensor_height = _LENS_MM, "VERTICAL", 24.0
    lens.clip_start = 0.01
    distance = height * margin * _LENS_MM / lens.sensor_height
    camera = _place(collection, lens, centre + _from(yaw, 3.0) * distance, centre)
    scene.camera = camera
    scene.world = _world()
    return camera


def remove() -> None:
    """Take an earlier stage out of the file."""
    collection = bpy.data.collections.get(COLLECTION)
    if collection is None:
        return
    for obj in list(collection.objects):
        data = obj.data
        bpy.data.objects.remove(obj)
        if isinstance(data, bpy.types.Light):
            bpy.data.lights.remove(data)
        elif isinstance(data, bpy.types.Camera):
            bpy.data.cameras.remove(data)
    bpy.data.collections.remove(collection)


def _face(obj: bpy.types.Object) -> tuple[Vector, float]:
    """Centre of the head between crown and chin, and the height between them, in world space, metres."""
    mesh = obj.data
    assert isinstance(mesh, bpy.types.Mesh)
    points = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", points)
    points = points.reshape(-1, 3)
    chin = obj.vertex_groups.get("chin")
    members = [
        v.index
        for v in mesh.vertices
        if chin is not None and any(g.group == chin.index and g.weight > 0.5 for g in v.groups)
    ]
    bottom = points[members, 2].min() if members else points[:, 2].min()
    top = points[:, 2].max()
    middle = points[(points[:, 2] > bottom)].mean(0)
    centre = obj.matrix_world @ Vector(
        (0.0, float(middle[1]), float(bottom + (top - bottom) * 0.45))
    )
    return centre, float(top - bottom) * obj.matrix_world.median_scale


def _from(side: float, up: float) -> Vector:
    """Unit vector from the face; `side` 0 is its front (-Y), 90 its left (+X), degrees."""
    a, b = math.radians(side), math.radians(up)
    return Vector((math.sin(a) * math.cos(b), -math.cos(a) * math.cos(b), math.sin(b)))


def _place(
    collection: bpy.types.Collection,
    data: bpy.types.Light | bpy.types.Camera,
    at: Vector,
    target: Vector,
) -> bpy.types.Object:
    """Link a light or camera at a place, looking at `target`."""
    obj = bpy.data.objects.new(data.name, data)
    obj.location = at
    obj.rotation_euler = (target - at).to_track_quat("-Z", "Y").to_euler()
    collection.objects.link(obj)
    return obj


def _world() -> bpy.types.World:
    """Even grey light, darker where the camera sees it."""
    world = bpy.data.worlds.get("Furrow World") or bpy.data.worlds.new("Furrow World")
    world.color = _BACKDROP
    if bpy.app.version < (5, 0):
        world.use_nodes = True
    assert world.node_tree is not None
    nodes, links = world.node_tree.nodes, world.node_tree.links
    nodes.clear()
    path = nodes.new("ShaderNodeLightPath")
    output = nodes.new("ShaderNodeOutputWorld")
    backdrop, ambient = nodes.new("ShaderNodeBackground"), nodes.new("ShaderNodeBackground")
    set_input(backdrop, 0, (*_BACKDROP, 1.0))
    set_input(ambient, 0, (0.82, 0.90, 1.0, 1.0))
    set_input(ambient, 1, _AMBIENT)
    mix = nodes.new("ShaderNodeMixShader")
    links.new(path.outputs["Is Camera Ray"], mix.inputs[0])
    links.new(ambient.outputs[0], mix.inputs[1])
    links.new(backdrop.outputs[0], mix.inputs[2])
    links.new(mix.outputs[0], output.inputs[0])
    return world


def set_input(node: bpy.types.Node, key: int | str, value: Any) -> None:
    """Set the value of a socket; those of every kind have one, but not their base class."""
    socket: Any = node.inputs[key]
    socket.default_value = value


def denoises() -> bool:
    """Whether this Blender can denoise; distributions build some without."""
    try:
        import _cycles  # type: ignore[import-not-found]
    except ImportError:
        return False
    return bool(_cycles.with_openimagedenoise)


def render_settings(scene: bpy.types.Scene, samples: int = 64) -> None:
    """Cycles with few bounces, denoised or with more samples, a portrait format."""
    render: Any = scene.render
    render.engine = "CYCLES"  # an engine that registers itself: the stubs know EEVEE alone
    cycles: Any = scene.cycles
    cycles.use_denoising = denoises()
    cycles.samples = samples if denoises() else INSTEAD_OF_DENOISING * samples
    if denoises():
        cycles.denoising_prefilter = "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 6, 2, 3
    render.resolution_x, render.resolution_y = 1080, 1240
    view: Any = scene.view_settings  # names of the colour configuration
    view.view_transform = "AgX"
    view.look = "AgX - Medium High Contrast"
