"""The artist's whole job in a Blender without a window, by operators, out of the installed zip.

A script, run by the Python of each bpy under test, with the folder of a user who has just installed
Blender (BLENDER_USER_RESOURCES):

    whole_job.py make ZIP SPEECH FOLDER     install, head, sliders, speech, bake, resume
    whole_job.py reopen FOLDER              open what was baked, without the add-on
    whole_job.py uninstall ZIP              install and remove again, and leave nothing

It asserts by itself what only Blender can tell, and writes FOLDER/measured.npz for the test.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np

EXTENSION = "bl_ext.user_default.furrow"
FRAMES = 4
RESOLUTION = 256
IDENTITY = "identity.json"


def step(text: str) -> None:
    """Say where the job is, so that a fault is found in the log."""
    print(f"whole job: {text}", flush=True)


def install(path: str) -> None:
    """Install the zip as Install from Disk does."""
    bpy.ops.extensions.package_install_files(
        filepath=path, repo="user_default", enable_on_install=True
    )
    assert EXTENSION in bpy.context.preferences.addons, "the extension is not enabled"
    assert not bpy.app.online_access


def room(name: str) -> ModuleType:
    """A module of the installed extension."""
    return importlib.import_module(f"{EXTENSION}.{name}")


def evaluated(obj: bpy.types.Object) -> np.ndarray:
    """Vertices of the head as it shows (V, 3) in metres, whatever mode its detail is in."""
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    values = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", values)
    return values.reshape(-1, 3).astype(np.float64)


def positions(obj: bpy.types.Object, detail: bool = True) -> np.ndarray:
    """Vertices of the evaluated head (V, 3) in metres, with or without displacement."""
    modifier = obj.modifiers["Furrow Detail"]
    before = modifier.show_viewport
    modifier.show_viewport = detail
    values = evaluated(obj)
    modifier.show_viewport = before
    return values


def plain_vertices(obj: bpy.types.Object) -> np.ndarray:
    """The same with detail switched off."""
    obj.furrow.detail_enabled = False
    values = evaluated(obj)
    obj.furrow.detail_enabled = True
    return values


def smooth_basis() -> dict[str, Any]:
    """What the backend says of a basis: fitting one takes half a minute, and is no matter of Blender."""
    hinges = room("backend.detail.hinges").weights()
    error = room("backend.detail.map_error").Error(1.0, 2.0, 3.0)
    v, u = np.mgrid[0:RESOLUTION, 0:RESOLUTION].astype(np.float32) / RESOLUTION
    maps = np.stack([np.sin(9 * k * u) * np.cos(7 * v) for k in range(1, 6)])
    coefficients = np.full((len(hinges), 4), 0.2, np.float32)
    errors = {"speech": error, "strong": error}
    basis = room("backend.detail.wrinkle_basis").WrinkleBasis(maps, hinges, coefficients, errors)
    return {"array": maps, **json.loads(json.dumps(basis.message()))}


def surface(obj: bpy.types.Object) -> dict[str, np.ndarray]:
    """Normal, UV and weight in the group `skin` of each vertex of the head without displacement."""
    modifier = obj.modifiers["Furrow Detail"]
    modifier.show_viewport = False
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    count, loops = len(mesh.vertices), len(mesh.loops)
    normals = np.empty(3 * count, np.float32)
    mesh.vertices.foreach_get("normal", normals)
    corner = np.empty(loops, np.int32)
    mesh.loops.foreach_get("vertex_index", corner)
    corner_uv = np.empty(2 * loops, np.float32)
    mesh.uv_layers[modifier.uv_layer].data.foreach_get("uv", corner_uv)
    group = obj.vertex_groups["skin"].index
    weights = [next((g.weight for g in v.groups if g.group == group), 0.0) for v in mesh.vertices]
    modifier.show_viewport = True
    corner_uv = corner_uv.reshape(-1, 2)
    uv = np.empty((count, 2), np.float32)
    uv[corner] = corner_uv
    # A vertex on the seam has several places in the map: such are left out.
    seam = np.zeros(count, bool)
    np.logical_or.at(seam, corner, np.abs(corner_uv - uv[corner]).max(1) > 1e-6)
    return {"normals": normals.reshape(-1, 3), "uv": uv, "skin": np.array(weights), "seam": seam}


def pixels(image: bpy.types.Image) -> np.ndarray:
    """The image as a map (R, R) in millimetres, top row first."""
    values = np.empty(4 * image.size[0] * image.size[1], np.float32)
    image.pixels.foreach_get(values)
    return values.reshape(image.size[1], image.size[0], 4)[::-1, :, 0].copy()


def curve_paths(keys: bpy.types.Key) -> list[str]:
    """Data paths of the curves that play on the shape keys."""
    animation = keys.animation_data
    if hasattr(animation.action, "fcurves"):
        return [curve.data_path for curve in animation.action.fcurves]
    strip = animation.action.layers[0].strips[0]
    return [curve.data_path for curve in strip.channelbag(animation.action_slot).fcurves]


def make(zip_path: str, speech: str, folder: Path) -> None:
    """The job, from the zip to a bake that was stopped and taken up again."""
    step("install")
    install(zip_path)
    measured = add_and_shape(folder)
    measured |= speak(speech)
    open_again(folder)
    make_portable(len(measured["played"]))
    bake(folder, measured["played"], float(measured["fps"]))
    np.savez(folder / "measured.npz", **measured)


def add_and_shape(folder: Path) -> dict[str, np.ndarray]:
    """A head of somebody else with an expression, its map, and both in files."""
    measured: dict[str, np.ndarray] = {}
    step("add a head")
    assert bpy.ops.mesh.furrow_head_add() == {"FINISHED"}
    obj = bpy.context.object
    keys = obj.data.shape_keys.key_blocks
    expressions = room("backend.formats.expressions").EXPRESSIONS
    assert [name for name in expressions if name not in keys] == []

    step("identity sliders")
    obj.furrow.detail_resolution = str(RESOLUTION)
    neutral = positions(obj, detail=False)
    slider = next(s for s in obj.furrow.directions if s.name.lower() == "age")
    slider.value = 1.5
    aged = positions(obj, detail=False)
    measured["age_mm"] = 1000 * np.linalg.norm(aged - neutral, axis=1)

    step("expression sliders, and the map they make")
    keys["browInnerUp"].value = 1.0
    keys["browOuterUpLeft"].value = 0.8
    assert bpy.ops.furrow.detail_refresh() == {"FINISHED"}
    measured["map_mm"] = pixels(obj.furrow.live_texture.image)
    measured["plain"] = positions(obj, detail=False)
    measured["displaced"] = positions(obj, detail=True)
    measured |= surface(obj)
    identity = str(folder / IDENTITY)
    assert bpy.ops.furrow.identity_save(filepath=identity) == {"FINISHED"}
    weights = {name: keys[name].value for name in expressions}
    (folder / "expression.json").write_text(json.dumps(weights))
    return measured


def speak(speech: str) -> dict[str, np.ndarray]:
    """What the head plays of a recording: names of its curves, weights by frame, frames a second."""
    step("speech")
    assert bpy.ops.furrow.expression_reset() == {"FINISHED"}
    assert bpy.ops.furrow.speech_import(filepath=speech) == {"FINISHED"}
    obj, scene = bpy.context.object, bpy.context.scene
    keys = obj.data.shape_keys
    obj.furrow.detail_enabled = False  # else each frame waits for its exact map
    obj.furrow.detail_viewport_levels = 0
    played = []
    for frame in range(1, int(keys.animation_data.action.frame_range[1]) + 1):
        scene.frame_set(frame)
        expressions = room("backend.formats.expressions").EXPRESSIONS
        played.append([keys.key_blocks[name].value for name in expressions])
    obj.furrow.detail_enabled = True
    editor = scene.sequence_editor
    strips = editor.strips if bpy.app.version >= (5, 0) else editor.sequences
    # The bpy module of 4.2 is built without sound: there the motion comes alone.
    assert any(strip.type == "SOUND" for strip in strips) == bpy.app.build_options.audaspace
    return {
        "curves": np.array(curve_paths(keys)),
        "played": np.array(played),
        "fps": np.array(scene.render.fps / scene.render.fps_base),
    }


def open_again(folder: Path) -> None:
    """The file saved and opened, its head active."""
    step("save and open with the add-on")
    saved = folder / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(saved))
    bpy.ops.wm.open_mainfile(filepath=str(saved))
    obj = next(o for o in bpy.data.objects if room("addon.head.head_object").is_head(o))
    bpy.context.view_layer.objects.active = obj


def make_portable(last: int) -> None:
    """The head mixes its wrinkles from a basis; `last` is the last frame of its motion."""
    step("make it portable")
    obj = bpy.context.object
    room("addon.detail.detail_modes").make_portable(obj, smooth_basis())
    assert obj.furrow.detail_mode == "PORTABLE"
    bpy.context.scene.frame_set(last // 2)
    assert np.abs(evaluated(obj) - plain_vertices(obj)).max() > 1e-4


def bake(folder: Path, played: np.ndarray, fps: float) -> None:
    """Maps of a few frames, and again what of them is missing."""
    step("bake")
    cli, weights = room("addon.bake.cli"), room("backend.formats.weights")
    few = folder / "few.npz"  # frames far apart, so that a wrong map is seen
    values = played[:: max(1, len(played) // FRAMES)][:FRAMES].astype(np.float32)
    weights.write_weights(few, weights.Weights(values, fps))
    arguments = ["bake", str(few), "--output", str(folder / "bake"),
                 "--identity", str(folder / IDENTITY), "--resolution", str(RESOLUTION)]  # fmt: skip
    assert cli.main(arguments) == 0
    maps = [folder / "bake" / "detail" / f"{frame:04d}.exr" for frame in range(1, FRAMES + 1)]
    assert all(path.is_file() for path in maps)

    step("resume a half-done bake")
    maps[2].unlink()
    (folder / "bake" / "head.blend").unlink()
    before = {path: path.stat().st_mtime_ns for path in maps if path.exists()}
    assert cli.main(arguments) == 0
    assert maps[2].is_file() and (folder / "bake" / "head.blend").is_file()
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())


def reopen(folder: Path) -> None:
    """What was baked opens and plays where nobody has heard of Furrow."""
    step("open without the add-on")
    bpy.ops.wm.open_mainfile(filepath=str(folder / "bake" / "head.blend"))
    assert not any("furrow" in name for name in bpy.context.preferences.addons.keys())  # noqa: SIM118
    assert not hasattr(bpy.types.Object, "furrow")
    obj = next(o for o in bpy.data.objects if "Furrow Detail" in o.modifiers)
    scene = bpy.context.scene
    moved, values = [], []
    for frame in range(1, FRAMES + 1):
        scene.frame_set(frame)
        facts = surface(obj)
        offset = positions(obj) - positions(obj, detail=False)
        moved.append(1000 * (offset * facts["normals"]).sum(1))
        values.append([key.value for key in obj.data.shape_keys.key_blocks])
    np.savez(folder / "reopened.npz", moved_mm=np.array(moved), values=np.array(values), **facts)


def uninstall(zip_path: str) -> None:
    """Installing and removing leaves neither classes nor handlers nor files."""
    install(zip_path)
    assert bpy.ops.mesh.furrow_head_add() == {"FINISHED"}
    bpy.ops.preferences.addon_disable(module=EXTENSION)
    assert not hasattr(bpy.types.Object, "furrow")
    left = [
        function
        for name in dir(bpy.app.handlers)
        if isinstance(functions := getattr(bpy.app.handlers, name), list)
        for function in functions
        if "furrow" in getattr(function, "__module__", "")
    ]
    assert left == []


if __name__ == "__main__":
    begin = time.monotonic()
    try:
        if sys.argv[1] == "make":
            make(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
        elif sys.argv[1] == "reopen":
            reopen(Path(sys.argv[2]))
        else:
            uninstall(sys.argv[2])
        step(f"done in {time.monotonic() - begin:.1f} s")
    finally:
        if EXTENSION in bpy.context.preferences.addons:
            bpy.ops.preferences.addon_disable(module=EXTENSION)
        sys.stdout.flush()
