"""OpenVINO by a button: from a file, from the network only where that is allowed, and gone again."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from furrow.addon.interface import engine_operators, installation
from furrow.addon.process import jobs
from furrow.addon.process.preferences import Preferences
from furrow.backend.detail.engines import engine_speed
from furrow.backend.detail.engines.engine_speed import Speed
from furrow.backend.process import accelerator

FAKE = "class Core:\n    available_devices = ['CPU']\n"


@pytest.fixture
def wheel(tmp_path, monkeypatch) -> Path:
    """A wheel of the right name that starts, and an empty folder of the user's."""
    name = accelerator.wheel_name()
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("openvino/__init__.py", FAKE)
    digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    monkeypatch.setitem(accelerator._SHA256, name.removesuffix(".whl").split("-", 3)[3], digest)
    monkeypatch.setattr(jobs, "user_folder", lambda create=True: tmp_path / "user")
    installation.read()
    return tmp_path / name


def test_added_from_a_file_used_by_the_backend_and_removed(scene, wheel):
    assert "--site-packages" not in jobs.launch_arguments()
    assert bpy.ops.furrow.openvino_add_file(filepath=str(wheel)) == {"FINISHED"}
    arguments = jobs.launch_arguments()
    folder = Path(arguments[arguments.index("--site-packages") + 1])
    assert (folder / "openvino" / "__init__.py").read_text() == FAKE
    speeds = {"openvino": Speed("openvino", "1", 40.0, "2026-11-23")}
    engine_speed.write(jobs.user_folder(), "any", speeds)
    assert bpy.ops.furrow.openvino_remove() == {"FINISHED"}
    assert engine_operators.lines() == []
    assert "--site-packages" not in jobs.launch_arguments() and not folder.exists()
    with pytest.raises(RuntimeError, match="not added"):
        bpy.ops.furrow.openvino_remove()


def test_another_python_keeps_its_own_packages(scene, wheel, monkeypatch):
    bpy.ops.furrow.openvino_add_file(filepath=str(wheel))
    monkeypatch.setenv("FURROW_PYTHON", "/usr/bin/python3")
    assert "--site-packages" not in jobs.launch_arguments()


def test_networks_of_ones_own_are_what_the_backend_plays(scene, wheel, tmp_path, monkeypatch):
    assert "--networks" not in jobs.launch_arguments()
    assert installation.current().has_directions
    chosen = Preferences(networks=str(tmp_path))
    for module in (jobs, installation):
        monkeypatch.setattr(module, "preferences", lambda: chosen)
    installation.read()
    arguments = jobs.launch_arguments()
    assert arguments[arguments.index("--networks") + 1] == str(tmp_path)
    assert not installation.current().has_directions, "the sliders of the skin are off"


def test_a_wrong_file_is_one_clear_line(scene, wheel, tmp_path):
    wrong = tmp_path / "onnx-1.0-py3-none-any.whl"
    wrong.touch()
    with pytest.raises(RuntimeError, match=r"onnx-1.0-py3-none-any.whl is no wheel of OpenVINO"):
        bpy.ops.furrow.openvino_add_file(filepath=str(wrong))
    with pytest.raises(RuntimeError, match="cannot be read"):
        bpy.ops.furrow.openvino_add_file(filepath=str(tmp_path / "sub" / wheel.name))


def test_nothing_is_downloaded_without_online_access(scene, wheel, monkeypatch):
    monkeypatch.setattr(accelerator, "download", lambda **_: pytest.fail("downloaded"))
    assert not bpy.app.online_access, "the tests' Blender is offline"
    assert not bpy.ops.furrow.openvino_download.poll()
    with pytest.raises(RuntimeError):
        bpy.ops.furrow.openvino_download()


def test_the_panel_says_why_and_how_fast(scene, wheel, monkeypatch):
    assert engine_operators.lines() == []
    speeds = {"ort": Speed("onnxruntime", "1", 72.6, "2026-11-23")}
    engine_speed.write(jobs.user_folder(), "any", speeds)
    installation.read()
    client = SimpleNamespace(info={"why": "the only one here"})
    monkeypatch.setattr(jobs, "running", lambda: client)
    assert engine_operators.lines() == [
        "Why: the only one here",
        "ONNX Runtime: 73 ms a map",
        "Measured on 2026-11-23",
    ]
