"""Showing a map: pixels, and nothing else of the file."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from furrow.addon.detail import displacement, live_mode, live_updates, shaded_bump
from furrow.addon.head import head_state, settings
from furrow.addon.head.head_state import ImageMap
from furrow.backend.errors import FurrowError


def evaluated(obj) -> np.ndarray:
    """Evaluated vertices (N, 3) in metres."""
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    points = np.empty((len(mesh.vertices), 3), np.float32)
    mesh.vertices.foreach_get("co", points.ravel())
    return points


@pytest.fixture
def updates():
    """Names and kinds of what Blender evaluated anew; cleared by the test."""
    names: set[tuple[str, str]] = set()

    def note(_scene, depsgraph):
        names.update((update.id.name, update.id.bl_rna.identifier) for update in depsgraph.updates)

    bpy.app.handlers.depsgraph_update_post.append(note)
    yield names
    bpy.app.handlers.depsgraph_update_post.remove(note)


@pytest.fixture
def untouched(monkeypatch):
    """Fail where a mode, a modifier, a material or a setting is written."""

    def touched(*_arguments, **_settings):
        raise AssertionError("more than pixels was written")

    for module, name in (
        (live_mode, "attach"),
        (displacement, "attach"),
        (displacement, "prepare"),
        (displacement, "detach"),
        (shaded_bump, "attach"),
        (shaded_bump, "detach"),
        (settings, "apply"),
    ):
        monkeypatch.setattr(module, name, touched)


def test_a_second_map_writes_pixels_and_nothing_else(head, updates, untouched):
    size = int(head.furrow.detail_resolution)
    live_mode.show_map(head, np.zeros((size, size), np.float32))
    before = evaluated(head)
    bpy.context.view_layer.update()
    updates.clear()
    live_mode.show_map(head, np.ones((size, size), np.float32))
    distance_mm = 1000 * np.linalg.norm(evaluated(head) - before, axis=1)
    assert distance_mm.max() == pytest.approx(1.0, abs=1e-3)  # mm, where all is skin
    bpy.context.view_layer.update()
    image = head.furrow.live_texture.image
    assert updates == {(image.name, "Image"), (head.name, "Object")}


def test_a_live_map_that_arrives_touches_nothing_else(head, client, window, untouched):
    for value in (0.2, 0.4):
        head.data.shape_keys.key_blocks["jawOpen"].value = value
        bpy.context.view_layer.update()
        client.requests[-1].finished = True
        live_updates.poll()
        assert head.furrow.live_texture.image.pixels[0] == pytest.approx(value)


def test_what_is_shown_is_known_until_other_pixels_are_written(head):
    zeros, name = np.zeros((256, 256), np.float32), ImageMap("a moment", exact=True)
    live_mode.show_map(head, zeros, name)
    assert head_state.of(head).image_map == name
    live_mode.show_map(head, zeros)
    assert head_state.of(head).image_map is None


def test_damaged_maps_are_refused(head):
    with pytest.raises(FurrowError, match="damaged"):
        live_mode.show_map(head, np.full((256, 256), np.nan, np.float32))
    with pytest.raises(FurrowError, match="damaged"):
        live_mode.show_map(head, np.zeros((256, 256, 3), np.float32))
