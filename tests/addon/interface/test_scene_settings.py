"""What a scene remembers, and files that have it as loose properties."""

from __future__ import annotations

import bpy


def test_loose_properties_of_older_files_are_taken_over_once(scene, tmp_path):
    path = str(tmp_path / "old.blend")
    scene["furrow_bake_folder"] = "//maps/"
    scene["furrow_bake_resolution"] = 0  # enumerations are stored as numbers
    scene["furrow_speech"] = {
        "emotion": 2, "intensity": 0.5, "seed": 7, "reduce_keys": True, "turns": 2, "bone": "Head",
        "gone": 1,
    }  # fmt: skip
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    scene = bpy.context.scene
    assert (scene.furrow.bake_folder, scene.furrow.bake_resolution) == ("//maps/", "256")
    speech = scene.furrow.speech
    assert (speech.emotion, speech.intensity, speech.seed) == ("sad", 0.5, 7)
    assert (speech.reduce_keys, speech.turns, speech.bone) == (True, "BONE", "Head")
    assert not any(name.startswith("furrow_") for name in scene.keys())  # noqa: SIM118

    scene.furrow.bake_folder = "//new/"
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert bpy.context.scene.furrow.bake_folder == "//new/"
    assert bpy.context.scene.furrow.speech.emotion == "sad"


def test_a_new_scene_bakes_beside_the_file(scene):
    assert (scene.furrow.bake_folder, scene.furrow.bake_resolution) == ("//furrow/", "1024")
