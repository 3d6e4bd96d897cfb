"""The backend's buttons, with the real process."""

from __future__ import annotations

import bpy
import pytest
from furrow.addon.process import jobs
from furrow.backend.formats.files import ASSETS

NETWORKS = pytest.mark.skipif(
    not (ASSETS / "detail" / "generator.onnx").exists(), reason="no networks are trained yet"
)


@pytest.fixture
def backend():
    """The real process, ended after the test."""
    yield
    jobs.stop()


def test_check_installation_says_what_is_wrong(head, monkeypatch, backend, capsys):
    jobs.stop()
    monkeypatch.setenv("FURROW_PYTHON", "/no/such/python")
    assert bpy.ops.furrow.check_installation() == {"FINISHED"}
    said = capsys.readouterr().out
    assert "cannot make detail" in said and "/no/such/python" in said


@NETWORKS
def test_check_installation_makes_a_map(head, backend, capsys):
    assert bpy.ops.furrow.check_installation() == {"FINISHED"}
    said = capsys.readouterr().out
    assert "Furrow works" in said and "A map of 512 pixels took" in said
    assert bpy.ops.furrow.backend_release() == {"FINISHED"}
    assert bpy.ops.furrow.backend_stop() == {"FINISHED"}
    assert jobs.running() is None
