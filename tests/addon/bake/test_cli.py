"""The bake as commands: one clear line for bad input, and the whole way with the shipped networks."""

from __future__ import annotations

import json

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from furrow.addon.bake import cli  # noqa: E402
from furrow.backend.formats.expressions import INDEX  # noqa: E402
from furrow.backend.formats.files import ASSETS  # noqa: E402
from furrow.backend.formats.maps import read_map  # noqa: E402
from furrow.backend.formats.weights import Weights, write_weights  # noqa: E402

shipped = pytest.mark.skipif(
    not (ASSETS / "detail" / "generator.onnx").is_file(), reason="no networks have been trained"
)


@pytest.fixture
def motion(tmp_path):
    """Three frames in which the brows rise."""
    rows = np.zeros((3, 52), np.float32)
    rows[:, INDEX["browInnerUp"]] = (0, 0.5, 1)
    write_weights(tmp_path / "brows.csv", Weights(rows, 30.0))
    return tmp_path / "brows.csv"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.wav"], "There is no file none.wav"),
        ([], "No input is given"),
        (["{brows}", "--object", "Head"], "--object names a head of a .blend"),
        (["{blend}", "--fps", "24"], "--fps is for speech and weights"),
        (["{blend}"], "has no Furrow head"),
        (["{blend}", "--object", "Bob"], "has no Furrow head"),
        (["{broken}"], "cannot be opened"),
        (["{brows}", "{copy}"], "Two inputs are called"),
        (["{brows}", "--frames", "5-2"], "ends before it starts"),
        (["{brows}", "--identity", "none.json"], "There is no identity file"),
    ],
)
def test_bad_input_is_one_line_and_a_failure(arguments, message, motion, scene, tmp_path, capfd):
    blend, broken, copy = (tmp_path / n for n in ("empty.blend", "broken.blend", "b/brows.csv"))
    bpy.ops.wm.save_as_mainfile(filepath=str(blend), copy=True)
    broken.write_bytes(b"BLENDER but not really")
    copy.parent.mkdir()
    copy.write_bytes(motion.read_bytes())
    names = {"brows": motion, "blend": blend, "broken": broken, "copy": copy}
    given = [text.format(**names) for text in arguments]
    assert cli.main(["bake", *given, "-o", str(tmp_path / "out")]) != 0
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("furrow")]
    assert len(said) == 1 and message in said[0]
    assert "Traceback" not in said[0]


@shipped
def test_the_furrow_command_bakes_ranges_that_assemble_joins(furrow, motion, tmp_path):
    out = tmp_path / "out"
    for part in ("1-2", "3-3"):
        done = furrow("bake", motion, "-o", out, "--resolution", 256, "--frames", part)
        assert done.returncode == 0, done.stderr
    assert not (out / "head.blend").exists()
    done = furrow("assemble", out)
    assert done.returncode == 0, done.stderr
    record = json.loads((out / "bake.json").read_text())
    assert list(record["frames"]) == ["1", "2", "3"] and record["models"]
    assert (out / "head.blend").stat().st_size > 100_000


@shipped
def test_an_edited_blend_is_baked_as_it_is_animated(motion, scene, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert cli.main(["bake", str(motion), "-o", str(first), "--resolution", "256"]) == 0
    bpy.ops.wm.open_mainfile(filepath=str(first / "head.blend"))
    key = bpy.context.scene.objects["Head"].data.shape_keys.key_blocks["browInnerUp"]
    key.value = 0.0
    key.keyframe_insert("value", frame=2)
    shot = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(shot))
    assert cli.main(["bake", str(shot), "-o", str(second), "--resolution", "256"]) == 0
    maps = [[read_map(d / f"detail/{n:04d}.exr") for n in (1, 2, 3)] for d in (first, second)]
    same = [bool(np.array_equal(a, b)) for a, b in zip(*maps, strict=True)]
    assert same == [True, False, True]
    np.testing.assert_array_equal(maps[1][1], maps[1][0])  # brows at rest again
    bpy.ops.wm.open_mainfile(filepath=str(second / "head.blend"))
    obj = bpy.context.scene.objects["Head"]
    assert bpy.path.abspath(obj.modifiers["Furrow Detail"].texture.image.filepath).startswith(
        str(second)
    )
