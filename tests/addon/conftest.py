"""Furrow registered in the bpy module of this environment, and a file of its own for each test."""

from __future__ import annotations

import pytest

bpy = pytest.importorskip("bpy")

import furrow  # noqa: E402
from furrow.addon import handlers  # noqa: E402
from furrow.addon.detail.live_session import session  # noqa: E402
from furrow.addon.head import head_object, head_state  # noqa: E402
from furrow.addon.process import jobs  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def registered():
    """The add-on, as Blender registers it."""
    furrow.register()
    yield
    furrow.unregister()


@pytest.fixture
def scene():
    """An empty file."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    handlers.after_load()
    return bpy.context.scene


@pytest.fixture
def head(scene):
    """The average person, with detail that no backend has filled yet."""
    obj = head_object.create_head()
    obj.furrow.detail_viewport_levels = obj.furrow.detail_render_levels = 0  # fast
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    return obj


class FakeClient:
    """Answers `map` at once with a map that depends on the request; counts and can fail."""

    def __init__(self) -> None:
        self.calls: list[dict] = []
        self.error: Exception | None = None
        self.requests: list[FakePending] = []

    def request(self, method, params, channel=None):
        self.requests.append(FakePending(params, channel))
        return self.requests[-1]

    def call(self, method, params, timeout=None, progress=None):
        assert method == "map"
        if self.error:
            raise self.error
        self.calls.append(params)
        return answer(params)


class FakePending:
    """A request that is done when a test says so."""

    def __init__(self, params: dict, channel: str | None) -> None:
        self.params, self.channel = params, channel
        self.finished = self.given_up = False
        self.error: Exception | None = None

    def done(self) -> bool:
        return self.finished

    def result(self):
        if self.error:
            raise self.error
        return answer(self.params)

    def wait(self, seconds: float | None = None) -> bool:
        return self.finished

    def cancel(self) -> None:
        self.given_up = True


def answer(params):
    """A map, everywhere the sum of the expression's weights plus the shape's first number."""
    import numpy as np

    size = params["resolution"]
    value = sum(params["expression"]) + params["identity"]["shape"][0]
    map_mm = np.full((size, size), value, np.float32)
    return {"array": map_mm, "exact": not params.get("live", False)}


@pytest.fixture
def window():
    """As with a window: live maps are asked for, and the test calls live_updates.poll() as the timer."""
    with session.by_hand():
        yield
    head_state.forget()


@pytest.fixture
def client(monkeypatch):
    """A backend that answers at once, in the place of the process."""
    fake = FakeClient()
    monkeypatch.setattr(jobs, "client", lambda: fake)
    return fake
