"""Detail's buttons: refresh, baked maps shown and made, each leaving the head in the mode it names."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from furrow.addon.detail import displacement
from furrow.addon.process import jobs
from furrow.backend.formats.expressions import FACESCAPE_PRESETS
from furrow.backend.formats.map_writing import write_maps
from furrow.backend.formats.maps import write_map


def test_live_and_baked(head, client, tmp_path):
    bpy.ops.furrow.expression_preset(preset="smile")
    bpy.ops.furrow.detail_refresh()
    live = head.furrow.live_texture
    assert live.image.pixels[0] == pytest.approx(sum(FACESCAPE_PRESETS["smile"].values()), abs=1e-5)
    head.furrow.detail_resolution = "256"
    bpy.ops.furrow.detail_refresh()
    assert tuple(live.image.size) == (256, 256)

    for frame in (1, 2):
        write_map(tmp_path / f"{frame:04d}.exr", np.zeros((256, 256), np.float32))
    bpy.ops.furrow.detail_sequence(directory=str(tmp_path))
    modifier = head.modifiers[displacement.DISPLACEMENT]
    assert head.furrow.detail_mode == "BAKED" and modifier.texture == head.furrow.baked_texture
    head.furrow.detail_mode = "LIVE"
    assert modifier.texture == live
    with pytest.raises(RuntimeError, match="no maps"):
        bpy.ops.furrow.detail_sequence(directory=str(tmp_path / "empty"))


class BakingClient:
    """Writes maps whose value is the jaw's weight."""

    def call(self, method, params, timeout=None):
        return {"models": []}

    def request(self, method, params):
        assert method == "write_maps"
        maps = (np.full((8, 8), row[17], np.float32) for row in params["expressions"])
        hashes = list(write_maps(zip(params["paths"], maps, strict=True), 1))
        job = jobs.Background(lambda progress, cancelled: {"sha256": hashes})
        job.wait()
        return job


def test_bake_writes_every_frame_and_plays_them(head, scene, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "client", BakingClient)
    key = head.data.shape_keys.key_blocks["jawOpen"]
    for frame, value in ((3, 0.0), (5, 1.0)):
        key.value = value
        key.keyframe_insert("value", frame=frame)
    scene.frame_start, scene.frame_end = 3, 5
    with pytest.raises(RuntimeError, match="Save the file"):
        bpy.ops.furrow.bake()
    assert bpy.ops.furrow.bake(directory=str(tmp_path)) == {"FINISHED"}
    assert head.furrow.detail_mode == "BAKED"
    assert sorted(p.name for p in (tmp_path / "Head" / "detail").iterdir()) == [
        "0003.exr", "0004.exr", "0005.exr",
    ]  # fmt: skip

    def moved(frame):
        scene.frame_set(frame)
        points = []
        for shown in (False, True):
            head.modifiers[displacement.DISPLACEMENT].show_viewport = shown
            mesh = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
            points.append(np.empty((len(mesh.vertices), 3), np.float32))
            mesh.vertices.foreach_get("co", points[-1].ravel())
        return 1000 * np.linalg.norm(points[1] - points[0], axis=1).max()

    assert [moved(f) for f in (3, 4, 5)] == pytest.approx([0.0, 0.5, 1.0], abs=2e-3)
