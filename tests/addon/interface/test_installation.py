"""Panels draw many times a second: none of them reads the disk, or makes anything on it."""

from __future__ import annotations

import builtins
import contextlib
import io
import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from furrow.addon.detail import portable_mode
from furrow.addon.head import head_state
from furrow.addon.interface import (
    backend_operators,
    detail_operators,
    engine_operators,
    head_operators,
    installation,
    motion_operators,
    panels,
    preferences,
)
from furrow.addon.interface.operator_bases import FurrowOperator
from furrow.addon.process import jobs
from furrow.backend.detail.engines import engine_speed, network_files
from furrow.backend.detail.engines.engine_speed import Speed

DISK = (
    (builtins, "open"),
    (io, "open"),
    *((os, name) for name in ("open", "stat", "lstat", "mkdir", "makedirs", "listdir", "scandir")),
    *(
        (Path, name)
        for name in ("open", "stat", "exists", "is_file", "is_dir", "mkdir", "read_text")
    ),
    (json, "load"),
    (json, "loads"),
    (subprocess, "Popen"),
)


OPERATORS = [
    cls
    for module in (
        backend_operators,
        detail_operators,
        engine_operators,
        head_operators,
        motion_operators,
    )
    for cls in module.CLASSES
    if issubclass(cls, FurrowOperator)
]
"""Their poll() runs with each drawing of their buttons."""


@pytest.fixture(autouse=True)
def read_afterwards():
    """Other tests see what is there."""
    yield
    installation.read()


@contextlib.contextmanager
def no_disk() -> Iterator[None]:
    """Whatever touches the disk, or reads JSON, fails inside."""

    def touched(*_arguments, **_options):
        raise AssertionError("a panel touched the disk")

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in DISK:
            patch.setattr(owner, name, touched)
        yield


@pytest.fixture
def portable(head) -> bpy.types.Object:
    """A head with a basis that holds no maps, but its errors."""
    modifier = head.modifiers.new(portable_mode.MODIFIER, "NODES")
    group = modifier.node_group = bpy.data.node_groups.new("Basis", "GeometryNodeTree")
    group["furrow_person"] = portable_mode.person(head)
    group["furrow_errors"] = json.dumps({"speech": {"rms": 1.5}, "strong": {"rms": 12.0}})
    portable_mode.recall(head)
    return head


def test_no_panel_touches_the_disk(portable, client, draw, monkeypatch):
    monkeypatch.setattr(client, "messages", ["It runs."], raising=False)
    monkeypatch.setattr(client, "state", "ready", raising=False)
    monkeypatch.setattr(client, "info", {}, raising=False)
    monkeypatch.setattr(jobs, "running", lambda: client)
    rna = preferences.FurrowPreferences.bl_rna
    shown = []
    modes = itertools.product(("LIVE", "PORTABLE", "BAKED"), ("DISPLACED", "SHADED"))
    for mode, viewport in modes:
        with head_state.quiet(portable):
            portable.furrow.detail_mode, portable.furrow.detail_viewport = mode, viewport
        with no_disk():
            for panel in panels.CLASSES:
                if hasattr(panel, "poll"):
                    panel.poll(bpy.context)
                shown.append(draw(panel).text())
                if hasattr(panel, "draw_header"):
                    draw(panel, "draw_header")
    with no_disk():
        draw(preferences.FurrowPreferences, bl_rna=rna)
        draw(engine_operators.FURROW_MT_openvino_add)
        for operator in OPERATORS:
            operator.poll(bpy.context)
    assert any("Within 1.5 µm in speech, 12 µm in strong mixtures" in text for text in shown)


def test_what_lies_on_the_disk_is_shown_once_it_was_read(head, monkeypatch, tmp_path):
    folder = tmp_path / "user"
    monkeypatch.setattr(jobs, "user_folder", lambda create=True: folder)
    monkeypatch.setattr(network_files, "DETAIL", tmp_path)
    installation.read()
    assert installation.current() == installation.Installation((), False, has_directions=False)
    assert not folder.exists()
    folder.mkdir()
    engine_speed.write(folder, "any", {"ort": Speed("onnxruntime", "1", 72.6, "2026-11-23")})
    (tmp_path / network_files.DIRECTIONS).touch()
    assert not installation.current().speeds
    installation.read()
    lines = ("ONNX Runtime: 73 ms a map", "Measured on 2026-11-23")
    assert installation.current() == installation.Installation(lines, False, has_directions=True)


def test_a_window_reads_again_what_is_stale_after_the_drawing(monkeypatch):
    timers: list = []
    stand_in = SimpleNamespace(
        register=lambda function, first_interval: timers.append(function),
        is_registered=lambda function: function in timers,
    )
    app = SimpleNamespace(background=False, timers=stand_in)
    monkeypatch.setattr(installation, "bpy", SimpleNamespace(app=app))
    reads: list = []

    def read() -> installation.Installation:
        reads.append(1)
        return installation.Installation()

    monkeypatch.setattr(installation, "_read", read)
    monkeypatch.setattr(jobs, "redraw_panels", lambda: None)
    monkeypatch.setattr(installation, "_read_at", -1e9)
    installation.current()
    installation.current()
    assert len(timers) == 1 and not reads
    timers.pop()()
    installation.current()
    assert reads == [1] and not timers
