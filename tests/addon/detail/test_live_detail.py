"""Maps that follow the sliders: live ones while they move, the exact one when the hand rests."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from furrow.addon.detail import head_detail, live_detail
from furrow.addon.head import head_object
from furrow.addon.process import jobs
from furrow.backend.detail.engines import engines
from furrow.backend.errors import FurrowError
from furrow.backend.formats.files import ASSETS
from furrow.backend.formats.identity import ADJUSTMENTS


def slide(head, value: float) -> None:
    head.data.shape_keys.key_blocks["jawOpen"].value = value
    bpy.context.view_layer.update()  # runs the handlers


def finish(client) -> None:
    """Let the newest request be answered, and the timer run."""
    client.requests[-1].finished = True
    live_detail.poll()


@pytest.fixture
def at_rest(monkeypatch):
    """The hand rests as soon as it does not move."""
    monkeypatch.setattr(live_detail, "REST_SECONDS", -1.0)


def test_a_drag_neither_waits_nor_starves_and_the_newest_wins(head, client, window):
    image = head.furrow.live_texture.image
    slide(head, 0.1)
    first = client.requests[-1]
    for value in (0.2, 0.3, 0.4):
        slide(head, value)
    assert client.requests == [first] and first.params["live"]  # one at a time
    assert live_detail.poll() is not None and image.pixels[0] == 0.0
    assert live_detail.state_text(head) == "Updating ..."
    first.finished = True
    live_detail.poll()
    assert image.pixels[0] == pytest.approx(0.1)  # seen on the way
    second = client.requests[-1]
    assert sum(second.params["expression"]) == pytest.approx(0.4)
    finish(client)
    assert image.pixels[0] == pytest.approx(0.4)
    bpy.context.view_layer.update()
    assert len(client.requests) == 2  # the hand does not rest yet


def test_the_exact_map_follows_when_the_hand_rests(head, client, window, at_rest, monkeypatch):
    monkeypatch.setattr(live_detail, "WATCH_SECONDS", -1.0)
    slide(head, 0.1)
    finish(client)
    assert live_detail.state_text(head) == "Updating ..."
    exact = client.requests[-1]
    assert "live" not in exact.params and exact.channel == client.requests[0].channel
    exact.finished = True
    assert live_detail.poll() is None
    assert live_detail.state_text(head) == "Up to date"
    bpy.context.view_layer.update()
    assert len(client.requests) == 2


def test_a_slider_that_moves_again_does_not_wait_for_the_exact_map(head, client, window, at_rest):
    image = head.furrow.live_texture.image
    slide(head, 0.1)
    finish(client)
    exact = client.requests[-1]
    slide(head, 0.5)
    newest = client.requests[-1]
    assert newest is not exact and newest.params["live"]
    exact.finished = True  # too late: it is of an expression that is no more
    live_detail.poll()
    assert image.pixels[0] == pytest.approx(0.1)
    finish(client)
    assert image.pixels[0] == pytest.approx(0.5)


def test_a_map_that_comes_in_time_is_drawn_with_its_frame(head, client, window, monkeypatch):
    ask = client.request

    def answered(*arguments, **options):
        pending = ask(*arguments, **options)
        pending.finished = True
        return pending

    monkeypatch.setattr(client, "request", answered)
    head.data.shape_keys.key_blocks["jawOpen"].value = 0.5
    live_detail.request(head, wait=live_detail.TICK_SECONDS)
    assert head.furrow.live_texture.image.pixels[0] == pytest.approx(0.5)


def test_a_map_that_a_slider_asked_for_is_drawn_with_the_face_it_made(head, client, window):
    head.furrow.detail_seed += 1  # asks at once, where a shape key waits for poll()
    asked = client.requests[-1]
    asked.params["expression"][0] = 0.3
    asked.wait = lambda _seconds: True  # the answer comes in time
    live_detail.poll()
    assert client.requests == [asked]
    assert head.furrow.live_texture.image.pixels[0] == pytest.approx(0.3)


def test_a_live_map_is_not_taken_for_the_exact_one_when_saved(head, client, window, tmp_path):
    slide(head, 0.5)
    finish(client)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "live.blend"))
    assert head.furrow.live_texture.image[live_detail.SAVED_KEY] == ""
    asked = len(client.calls)
    live_detail.exact_map(head)
    assert len(client.calls) == asked + 1


def test_identity_seed_and_resolution_ask_for_a_map(head, client, window):
    slide(head, 0.1)
    finish(client)
    head.furrow.directions[0].value = 0.5
    assert client.requests[-1].params["identity"]["shape"] != [0.0] * 64
    finish(client)
    head.furrow.detail_seed = 9
    assert client.requests[-1].params["identity"]["detail_seed"] == 9
    finish(client)
    head.furrow.detail_resolution = "256"
    assert client.requests[-1].params["resolution"] == 256
    finish(client)
    assert tuple(head.furrow.live_texture.image.size) == (256, 256)
    assert len(client.requests) == 4


def test_adjustments_ask_for_a_map_and_travel_with_copies(head, client, window):
    slide(head, 0.1)
    assert "detail" not in client.requests[-1].params["identity"]
    finish(client)
    head.furrow.pore_strength = 0.5
    head.furrow.asymmetry = -1.0
    finish(client)  # the second slider moved while the first one's map was made
    asked = client.requests[-1].params["identity"]["detail"]
    assert asked == {"pore_strength": 0.5, "asymmetry": -1.0}
    linked = head.copy()
    bpy.context.collection.objects.link(linked)
    copy = head.copy()
    copy.data = head.data.copy()
    bpy.context.collection.objects.link(copy)
    bpy.context.view_layer.update()
    head.furrow.pore_strength = -0.25
    assert linked.furrow.pore_strength == -0.25  # Alt-D shares
    assert copy.furrow.pore_strength == 0.5  # Shift-D does not
    assert copy.furrow.asymmetry == -1.0


def test_relief_comes_from_another_head(head, client, window):
    other = head_object.create_head(head_object.head().random(1), "Other")
    slide(head, 0.1)
    assert "relief" not in client.requests[-1].params
    finish(client)
    head.furrow.relief_from = other
    asked = client.requests[-1].params
    assert asked["relief"] == head_object.identity_of(other).request()
    assert asked["identity"] == head_object.identity_of(head).request()
    finish(client)
    other.furrow.pore_strength = 0.5  # the head that took them follows
    bpy.context.view_layer.update()
    asked = [p.params for p in client.requests if p.channel == f"head-{head.furrow.id}"][-1]
    assert asked["relief"]["detail"] == {"pore_strength": 0.5}
    head.furrow.relief_from = None
    assert "relief" not in live_detail.map_request(head, 256)


def test_adjustments_cannot_be_keyed(head):
    """A bake takes one identity for all frames: a keyed slider would be baked wrong."""
    with pytest.raises(TypeError, match="not animatable"):
        head.keyframe_insert("furrow.furrow_depth", frame=1)


def test_a_failed_map_is_told_once_and_tried_again_on_change(head, client, window):
    slide(head, 0.1)
    client.requests[-1].error = FurrowError("The networks are missing.", "missing_model")
    finish(client)
    assert live_detail.problems[head.furrow.id] == "The networks are missing."
    bpy.context.view_layer.update()
    assert len(client.requests) == 1
    slide(head, 0.2)
    finish(client)
    assert head.furrow.id not in live_detail.problems


def test_nothing_is_written_while_a_render_reads(head, client, window):
    slide(head, 0.7)
    client.requests[-1].finished = True
    live_detail.hold(True)
    try:
        assert live_detail.poll() is not None
        assert head.furrow.live_texture.image.pixels[0] == 0.0
        slide(head, 0.8)
    finally:
        live_detail.hold(False)
    assert len(client.requests) == 1
    live_detail.poll()
    assert head.furrow.live_texture.image.pixels[0] == pytest.approx(0.7)
    assert len(client.requests) == 2


def test_heads_have_maps_of_their_own(head, client, window):
    other = head_object.create_head(head_object.head().random(1), "Other")
    head_detail.set_up(other)
    slide(other, 0.3)
    slide(head, 0.6)
    while live_detail.poll() is not None:
        for pending in client.requests:
            pending.finished = True
    assert head.furrow.live_texture.image.pixels[0] == pytest.approx(0.6)
    shape = head_object.identity_of(other).shape[0]
    assert other.furrow.live_texture.image.pixels[0] == pytest.approx(0.3 + shape)
    assert len({pending.channel for pending in client.requests}) == 2


def test_opening_another_file_gives_requests_up(head, client, window, monkeypatch):
    monkeypatch.setattr(live_detail, "WATCH_SECONDS", -1.0)
    slide(head, 0.5)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert client.requests[-1].given_up
    assert live_detail.poll() is None


@pytest.mark.skipif(
    not (ASSETS / "detail" / "generator.onnx").exists(), reason="no networks are trained yet"
)
def test_the_real_backend_makes_the_map_of_the_slider(head, scene):
    head_object.set_expression(head, {"browInnerUp": 1.0})
    live_detail.exact_map(head)
    raised = np.array(head.furrow.live_texture.image.pixels[:])
    head_object.set_expression(head, {})
    live_detail.exact_map(head)
    rest = np.array(head.furrow.live_texture.image.pixels[:])
    assert np.isfinite(raised).all() and np.abs(raised[::4] - rest[::4]).max() > 0.05  # mm
    head_object.set_expression(head, {"browInnerUp": 1.0})
    live_detail.exact_map(head)
    np.testing.assert_array_equal(np.array(head.furrow.live_texture.image.pixels[:]), raised)


@pytest.mark.skipif(
    not (ASSETS / "detail" / "generator.onnx").exists(), reason="no networks are trained yet"
)
def test_the_real_backend_moves_along_directions(head, scene, monkeypatch, write_tensors, tmp_path):
    """With directions made for the test: those of the styles themselves, which are much too strong."""
    networks = tmp_path / "detail"
    networks.mkdir()
    for name in engines.NETWORKS:
        (networks / name).symlink_to(ASSETS / "detail" / name)
    launch = [*jobs.launch_arguments(), "--networks", str(networks)]
    monkeypatch.setattr(jobs, "launch_arguments", lambda: launch)
    jobs.stop()
    try:
        live_detail.exact_map(head)
        start = np.array(head.furrow.live_texture.image.pixels[:])
        head.furrow.furrow_depth = 0.5
        with pytest.raises(FurrowError, match=r"directions\.safetensors, which is missing"):
            live_detail.exact_map(head)
        num_ws = engines.load("ort", networks).num_ws
        write_tensors(
            networks / "directions.safetensors",
            {
                name: np.full((num_ws, 512), 0.05 * i, np.float16)
                for i, name in enumerate(ADJUSTMENTS)
            },
        )
        live_detail.exact_map(head)
        moved = np.array(head.furrow.live_texture.image.pixels[:])
        assert np.abs(moved - start).max() > 1e-3  # mm
        bpy.ops.furrow.adjustments_reset()
        live_detail.exact_map(head)
        np.testing.assert_array_equal(np.array(head.furrow.live_texture.image.pixels[:]), start)
    finally:
        jobs.stop()
