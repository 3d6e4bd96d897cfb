"""Wrinkles on the head: displacement in millimetres, renders that are never stale, packed images."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from furrow.addon.detail import (
    baked_mode,
    detail_modes,
    displacement,
    live_mode,
    live_updates,
    portable_mode,
    shaded_bump,
)
from furrow.addon.detail.live_session import session
from furrow.addon.head import head_object
from furrow.backend.errors import FurrowError
from furrow.backend.formats.maps import write_map


def surface(obj) -> tuple[np.ndarray, np.ndarray]:
    """Evaluated vertices (N, 3) in metres and their normals."""
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    points, normals = np.empty((2, len(mesh.vertices), 3), np.float32)
    mesh.vertices.foreach_get("co", points.ravel())
    mesh.vertices.foreach_get("normal", normals.ravel())
    return points, normals


def displaced_mm(obj) -> np.ndarray:
    """Signed millimetres along the normals of the smooth surface, per evaluated vertex."""
    obj.modifiers[displacement.DISPLACEMENT].show_viewport = False
    smooth, normals = surface(obj)
    obj.modifiers[displacement.DISPLACEMENT].show_viewport = True
    return 1000 * ((surface(obj)[0] - smooth) * normals).sum(1)


def sampled(obj, map_mm: np.ndarray) -> np.ndarray:
    """What each evaluated vertex should be displaced by: the map at its UV times the skin's weight."""
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    uv = np.empty((len(mesh.loops), 2), np.float32)
    mesh.uv_layers[head_object.UV_MAP].uv.foreach_get("vector", uv.ravel())
    corner = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", corner)
    group = obj.vertex_groups[head_object.SKIN_GROUP].index
    weight = np.zeros(len(mesh.vertices), np.float32)
    for vertex in mesh.vertices:
        weight[vertex.index] = sum(g.weight for g in vertex.groups if g.group == group)
    size = len(map_mm)
    x = np.clip(uv[:, 0] * size - 0.5, 0, size - 1)
    y = np.clip((1 - uv[:, 1]) * size - 0.5, 0, size - 1)
    left, top = np.minimum(x.astype(int), size - 2), np.minimum(y.astype(int), size - 2)
    fx, fy = x - left, y - top
    values = (map_mm[top, left] * (1 - fx) + map_mm[top, left + 1] * fx) * (1 - fy) + (
        map_mm[top + 1, left] * (1 - fx) + map_mm[top + 1, left + 1] * fx
    ) * fy
    expected = np.zeros(len(mesh.vertices), np.float32)
    expected[corner] = (
        values  # a vertex on a seam takes one of its places; the map below agrees there
    )
    return expected * weight


def smooth_map(size: int = 256) -> np.ndarray:
    """Millimetres between -2 and 2 that vary over the tile."""
    v, u = np.mgrid[0:size, 0:size].astype(np.float32) / size
    return (2 * np.sin(9 * u) * np.cos(7 * v)).astype(np.float32)


def test_vertices_are_displaced_by_the_map_in_millimetres(head):
    head.furrow.detail_viewport_levels = 1
    map_mm = smooth_map()
    live_mode.show_map(head, map_mm)
    measured, expected = displaced_mm(head), sampled(head, map_mm)
    error = np.abs(measured - expected)
    # Vertices on the seam of the UV take either side's value, so a few may differ.
    assert np.quantile(error, 0.98) < 2e-3
    assert measured.max() > 1.5 and measured.min() < -1.5
    inside = expected == 0
    assert np.abs(measured[inside]).max() < 1e-3  # eyes, teeth, mouth: no skin there

    head.furrow.detail_strength = 0.5
    np.testing.assert_allclose(displaced_mm(head), 0.5 * measured, atol=1e-3)
    head.furrow.detail_enabled = False
    assert not head.modifiers[displacement.DISPLACEMENT].show_render


def test_sequence_plays_its_frames_and_names_a_missing_one(head, scene, tmp_path):
    for frame in (7, 8, 9):
        write_map(tmp_path / f"{frame:04d}.exr", np.full((256, 256), 0.1 * frame, np.float32))
    head.furrow.detail_viewport_levels = 0
    detail_modes.show_sequence(head, tmp_path, 7, 3)
    for frame in (7, 9, 8):
        scene.frame_set(frame)
        assert displaced_mm(head).max() == pytest.approx(0.1 * frame, abs=1e-3)
    detail_modes.show_sequence(head, tmp_path, 7, 3, start=101)
    scene.frame_set(103)
    assert displaced_mm(head).max() == pytest.approx(0.9, abs=1e-3)
    (tmp_path / "0008.exr").unlink()
    with pytest.raises(FurrowError, match=r"0008\.exr"):
        detail_modes.show_sequence(head, tmp_path, 7, 3)


def camera(scene, folder):
    data = bpy.data.cameras.new("Camera")
    scene.camera = bpy.data.objects.new("Camera", data)
    scene.collection.objects.link(scene.camera)
    scene.camera.location = (0, -1, 0.2)
    scene.camera.rotation_euler = (1.57, 0, 0)
    for obj in head_object.heads(scene):  # what it looks like is no matter here, and takes seconds
        obj.data.materials.clear()
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.render.resolution_x = scene.render.resolution_y = 16
    scene.render.filepath = str(folder) + "/"


def animate(head):
    key = head.data.shape_keys.key_blocks["jawOpen"]
    for frame, value in ((1, 0.0), (3, 1.0)):
        key.value = value
        key.keyframe_insert("value", frame=frame)


def test_render_waits_for_the_exact_map_of_each_frame(head, scene, client, tmp_path):
    camera(scene, tmp_path)
    animate(head)
    scene.frame_set(1)
    scene.frame_end = 3
    values = []
    image = head.furrow.live_texture.image

    def look(*_):
        values.append(image.pixels[0])

    bpy.app.handlers.render_post.append(look)
    try:
        bpy.ops.render.render(animation=True)
    finally:
        bpy.app.handlers.render_post.remove(look)
    np.testing.assert_allclose(values, [0.0, 0.5, 1.0], atol=1e-6)
    assert not session.rendering


def test_a_render_without_backend_is_refused(head, scene, client, tmp_path, capsys):
    camera(scene, tmp_path)
    client.error = FurrowError(
        "The backend cannot start. Press Check Installation.", "backend_died"
    )
    with pytest.raises(RuntimeError):
        bpy.ops.render.render(write_still=True)
    assert not list(tmp_path.iterdir())
    assert "refused" in (said := capsys.readouterr().err) and "Check Installation" in said
    client.error = None
    bpy.context.view_layer.update()
    assert not scene.render.use_border
    bpy.ops.render.render(write_still=True)
    assert list(tmp_path.iterdir())


def test_an_animation_ends_before_the_first_stale_frame(head, scene, client, tmp_path):
    camera(scene, tmp_path)
    animate(head)
    scene.frame_end = 4
    scene.frame_set(1)
    fail = FurrowError("The backend died.", "backend_died")

    def break_at_2(*_):
        client.error = fail if scene.frame_current == 2 else None

    bpy.app.handlers.render_pre.append(break_at_2)
    try:
        bpy.ops.render.render(animation=True)
    finally:
        bpy.app.handlers.render_pre.remove(break_at_2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0001.png"]
    assert not head.hide_render


def test_adjustments_are_saved_with_the_file(head, client, tmp_path):
    head.furrow.skin_age, head.furrow.furrow_depth = 0.25, -0.75
    live_updates.exact_map(head)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "live.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "live.blend"))
    (again,) = head_object.heads(bpy.context.scene)
    assert head_object.identity_of(again).adjusted == {"skin_age": 0.25, "furrow_depth": -0.75}
    assert live_mode.state_text(again) == "Up to date"
    again.furrow.skin_age = 0.5
    count = len(client.calls)
    live_updates.exact_map(again)
    assert client.calls[count]["identity"]["detail"]["skin_age"] == 0.5


def test_saved_detail_is_shown_again_without_a_backend(head, scene, client, tmp_path):
    head_object.set_expression(head, {"jawOpen": 1.0})
    live_updates.exact_map(head)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "live.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "live.blend"))
    (again,) = head_object.heads(bpy.context.scene)
    assert displaced_mm(again).max() == pytest.approx(1.0, abs=1e-3)
    assert live_mode.state_text(again) == "Up to date"
    count = len(client.calls)
    live_updates.exact_map(again)
    assert len(client.calls) == count


MODES = {"LIVE": live_mode, "PORTABLE": portable_mode, "BAKED": baked_mode}


@pytest.mark.parametrize("old", MODES)
@pytest.mark.parametrize("new", MODES)
def test_a_switch_detaches_the_old_mode_and_attaches_the_new(head, monkeypatch, tmp_path, old, new):
    write_map(tmp_path / "0001.exr", np.ones((256, 256), np.float32))
    detail_modes.show_sequence(head, tmp_path, 1, 1)
    modifier = head.modifiers.new(portable_mode.MODIFIER, "NODES")  # as a basis has one
    modifier.show_viewport = modifier.show_render = False
    monkeypatch.setattr(
        portable_mode, "attach", lambda _obj: setattr(modifier, "show_render", True)
    )
    head.furrow.detail_mode = old
    calls: list[str] = []

    def noted(text: str, act):
        return lambda obj: (calls.append(text), act(obj))

    for name, mode in MODES.items():
        monkeypatch.setattr(mode, "attach", noted(f"attach {name}", mode.attach))
        monkeypatch.setattr(mode, "detach", noted(f"detach {name}", mode.detach))
    head.furrow.detail_mode = new
    if old == new:
        assert set(calls) <= {f"attach {new}"}
        return
    assert calls == [f"detach {old}", f"attach {new}"]
    assert [name for name, mode in MODES.items() if mode.is_attached(head)] == [new]


def test_shading_moves_with_the_mode(head, tmp_path):
    """What one mode put on the skin does not stand in the way of the next."""
    write_map(tmp_path / "0001.exr", np.ones((256, 256), np.float32))
    head.furrow.detail_viewport = "SHADED"
    skin = head.data.materials[0]
    detail_modes.show_sequence(head, tmp_path, 1, 1)
    images = []
    for mode in ("BAKED", "LIVE"):
        head.furrow.detail_mode = mode
        images.append(head.data.materials[0].node_tree.nodes[shaded_bump.IMAGE_NODE].image)
    assert images == [head.furrow.baked_texture.image, head.furrow.live_texture.image]
    head.furrow.detail_mode = "PORTABLE"  # without a basis: smooth
    assert head.data.materials[0] != skin
    assert shaded_bump.MODIFIER not in head.modifiers
    assert not head.modifiers[displacement.DISPLACEMENT].show_render
