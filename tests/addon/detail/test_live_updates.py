"""Maps that follow the sliders: live ones while they move, the exact one when the hand rests."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from furrow.addon import handlers
from furrow.addon.detail import detail_modes, live_mode, live_session, live_updates, moment
from furrow.addon.detail.live_session import session
from furrow.addon.head import head_object, head_state
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
    live_updates.poll()


@pytest.fixture
def at_rest(monkeypatch):
    """The hand rests as soon as it does not move."""
    monkeypatch.setattr(live_updates, "REST_SECONDS", -1.0)


def test_a_drag_neither_waits_nor_starves_and_the_newest_wins(head, client, window):
    image = head.furrow.live_texture.image
    slide(head, 0.1)
    first = client.requests[-1]
    for value in (0.2, 0.3, 0.4):
        slide(head, value)
    assert client.requests == [first] and first.params["live"]  # one at a time
    assert live_updates.poll() is not None and image.pixels[0] == 0.0
    assert live_mode.state_text(head) == "Updating ..."
    first.finished = True
    live_updates.poll()
    assert image.pixels[0] == pytest.approx(0.1)  # seen on the way
    second = client.requests[-1]
    assert sum(second.params["expression"]) == pytest.approx(0.4)
    finish(client)
    assert image.pixels[0] == pytest.approx(0.4)
    bpy.context.view_layer.update()
    assert len(client.requests) == 2  # the hand does not rest yet


def test_the_exact_map_follows_when_the_hand_rests(head, client, window, at_rest, monkeypatch):
    monkeypatch.setattr(live_updates, "WATCH_SECONDS", -1.0)
    slide(head, 0.1)
    finish(client)
    assert live_mode.state_text(head) == "Updating ..."
    exact = client.requests[-1]
    assert "live" not in exact.params and exact.channel == client.requests[0].channel
    exact.finished = True
    assert live_updates.poll() is None
    assert live_mode.state_text(head) == "Up to date"
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
    live_updates.poll()
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
    live_updates.update([head])
    assert head.furrow.live_texture.image.pixels[0] == pytest.approx(0.5)


def test_a_map_that_a_slider_asked_for_is_drawn_with_the_face_it_made(head, client, window):
    head.furrow.detail_seed += 1  # asks at once, where a shape key waits for poll()
    request = client.requests[-1]
    request.params["expression"][0] = 0.3
    request.wait = lambda _seconds: True  # the answer comes in time
    live_updates.poll()
    assert client.requests == [request]
    assert head.furrow.live_texture.image.pixels[0] == pytest.approx(0.3)


def test_a_live_map_is_not_taken_for_the_exact_one_when_saved(head, client, window, tmp_path):
    slide(head, 0.5)
    finish(client)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "live.blend"))
    assert head.furrow.live_texture.image[live_mode.SAVED_KEY] == ""
    count = len(client.calls)
    live_updates.exact_map(head)
    assert len(client.calls) == count + 1


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
    adjustments = client.requests[-1].params["identity"]["detail"]
    assert adjustments == {"pore_strength": 0.5, "asymmetry": -1.0}
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
    params = client.requests[-1].params
    assert params["relief"] == head_object.identity_of(other).request()
    assert params["identity"] == head_object.identity_of(head).request()
    finish(client)
    other.furrow.pore_strength = 0.5  # the head that took them follows
    bpy.context.view_layer.update()
    params = [p.params for p in client.requests if p.channel == f"head-{head.furrow.id}"][-1]
    assert params["relief"]["detail"] == {"pore_strength": 0.5}
    head.furrow.relief_from = None
    assert "relief" not in moment.map_request(head, 256)


def test_adjustments_cannot_be_keyed(head):
    """A bake takes one identity for all frames: a keyed slider would be baked wrong."""
    with pytest.raises(TypeError, match="not animatable"):
        head.keyframe_insert("furrow.furrow_depth", frame=1)


def test_a_failed_map_is_told_once_and_tried_again_on_change(head, client, window):
    slide(head, 0.1)
    client.requests[-1].error = FurrowError("The networks are missing.", "missing_model")
    finish(client)
    assert head_state.of(head).failure.message == "The networks are missing."
    bpy.context.view_layer.update()
    assert len(client.requests) == 1
    slide(head, 0.2)
    finish(client)
    assert head_state.of(head).failure is None


def test_nothing_is_written_while_a_render_reads(head, client, window):
    slide(head, 0.7)
    client.requests[-1].finished = True
    session.rendering = True
    try:
        assert live_updates.poll() is not None
        assert head.furrow.live_texture.image.pixels[0] == 0.0
        slide(head, 0.8)
    finally:
        session.rendering = False
    assert len(client.requests) == 1
    live_updates.poll()
    assert head.furrow.live_texture.image.pixels[0] == pytest.approx(0.7)
    assert len(client.requests) == 2


def test_heads_have_maps_of_their_own(head, client, window):
    other = head_object.create_head(head_object.head().random(1), "Other")
    detail_modes.attach(other)
    slide(other, 0.3)
    slide(head, 0.6)
    while live_updates.poll() is not None:
        for pending in client.requests:
            pending.finished = True
    assert head.furrow.live_texture.image.pixels[0] == pytest.approx(0.6)
    shape = head_object.identity_of(other).shape[0]
    assert other.furrow.live_texture.image.pixels[0] == pytest.approx(0.3 + shape)
    assert len({pending.channel for pending in client.requests}) == 2


class Clock:
    """Seconds that pass only where somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class SlowClient:
    """Each answer takes `seconds` from its request; notes what was done, in order."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds
        self.log: list[str] = []

    def request(self, _method, params, channel=None):
        self.log.append("ask")
        return SlowPending(self, params)


class SlowPending:
    def __init__(self, client: SlowClient, params: dict) -> None:
        self.client, self.params = client, params
        self.ready = client.clock.now + client.seconds

    def done(self) -> bool:
        return self.client.clock.now >= self.ready

    def wait(self, seconds: float | None = None) -> bool:
        assert seconds is not None
        self.client.log.append("wait")
        if not self.done():
            self.client.clock.now += min(seconds, self.ready - self.client.clock.now)
        return self.done()

    def result(self):
        size = self.params["resolution"]
        return {"array": np.full((size, size), 0.5, np.float32), "exact": False}

    def cancel(self) -> None:
        pass


@pytest.mark.parametrize("arrives", [0.25, 10.0])
@pytest.mark.parametrize("event", ["slider", "frame", "timer", "undo"])
def test_several_heads_are_asked_for_before_one_wait_of_a_tick(head, monkeypatch, event, arrives):
    heads = [head, *(head_object.create_head(name=name) for name in ("B", "C", "D"))]
    for obj in heads:
        obj.furrow.detail_resolution = "256"
        detail_modes.attach(obj)
        obj.data.shape_keys.key_blocks["jawOpen"].value = 0.5
    bpy.context.view_layer.update()
    clock = Clock()
    slow = SlowClient(clock, arrives * live_updates.TICK_SECONDS)
    monkeypatch.setattr(jobs, "client", lambda: slow)
    for module in (live_updates, live_session):
        monkeypatch.setattr(module, "time", clock)
    start = clock.now
    depsgraph = bpy.context.evaluated_depsgraph_get()
    with session.by_hand():
        if event == "slider":
            head.data.shape_keys.key_blocks["jawOpen"].value = 0.6
            bpy.context.view_layer.update()
        elif event == "frame":
            handlers.frame_changed(bpy.context.scene, depsgraph)
        elif event == "timer":
            live_updates.poll()
        else:
            handlers.after_undo()
    assert slow.log == ["ask"] * 4 + ["wait"] * 4
    assert clock.now - start <= live_updates.TICK_SECONDS + 1e-9
    arrivals = [head_state.of(obj).image_map is not None for obj in heads]
    assert arrivals == [arrives < 1] * 4
    head_state.forget()


def test_an_old_answer_and_the_new_question_share_the_tick(head, monkeypatch):
    clock = Clock()
    slow = SlowClient(clock, 0.6 * live_updates.TICK_SECONDS)
    monkeypatch.setattr(jobs, "client", lambda: slow)
    for module in (live_updates, live_session):
        monkeypatch.setattr(module, "time", clock)
    with session.by_hand():
        head.furrow.detail_seed = 1  # asks at once
        blocks = head.data.shape_keys.key_blocks
        blocks["jawOpen"].value = 0.6
        start = clock.now
        live_updates.poll()
    assert slow.log == ["ask", "wait", "ask", "wait"]
    assert clock.now - start <= live_updates.TICK_SECONDS + 1e-9
    head_state.forget()


def test_a_head_that_failed_does_not_keep_the_timer_busy(
    head, client, window, at_rest, monkeypatch
):
    monkeypatch.setattr(live_updates, "WATCH_SECONDS", -1.0)
    slide(head, 0.1)
    finish(client)
    client.requests[-1].error = FurrowError("The networks are missing.", "missing_model")
    client.requests[-1].finished = True  # the exact map
    assert live_updates.poll() is None
    assert live_mode.state_text(head) == "Waiting for the backend"
    slide(head, 0.2)
    finish(client)
    slide(head, 0.1)  # what failed is tried again when the slider comes back
    assert client.requests[-1].params["live"]
    assert sum(client.requests[-1].params["expression"]) == pytest.approx(0.1)


def test_opening_another_file_gives_requests_up(head, client, window, monkeypatch):
    monkeypatch.setattr(live_updates, "WATCH_SECONDS", -1.0)
    slide(head, 0.5)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert client.requests[-1].given_up
    assert live_updates.poll() is None


@pytest.mark.skipif(
    not (ASSETS / "detail" / "generator.onnx").exists(), reason="no networks are trained yet"
)
def test_the_real_backend_makes_the_map_of_the_slider(head, scene):
    head_object.set_expression(head, {"browInnerUp": 1.0})
    live_updates.exact_map(head)
    raised = np.array(head.furrow.live_texture.image.pixels[:])
    head_object.set_expression(head, {})
    live_updates.exact_map(head)
    rest = np.array(head.furrow.live_texture.image.pixels[:])
    assert np.isfinite(raised).all() and np.abs(raised[::4] - rest[::4]).max() > 0.05  # mm
    head_object.set_expression(head, {"browInnerUp": 1.0})
    live_updates.exact_map(head)
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
        live_updates.exact_map(head)
        start = np.array(head.furrow.live_texture.image.pixels[:])
        head.furrow.furrow_depth = 0.5
        with pytest.raises(FurrowError, match=r"directions\.safetensors, which is missing"):
            live_updates.exact_map(head)
        num_ws = engines.load("ort", networks).num_ws
        write_tensors(
            networks / "directions.safetensors",
            {
                name: np.full((num_ws, 512), 0.05 * i, np.float16)
                for i, name in enumerate(ADJUSTMENTS)
            },
        )
        live_updates.exact_map(head)
        adjusted = np.array(head.furrow.live_texture.image.pixels[:])
        assert np.abs(adjusted - start).max() > 1e-3  # mm
        bpy.ops.furrow.adjustments_reset()
        live_updates.exact_map(head)
        np.testing.assert_array_equal(np.array(head.furrow.live_texture.image.pixels[:]), start)
    finally:
        jobs.stop()
