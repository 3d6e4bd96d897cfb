"""A button that cannot work here is grey and says why."""

from __future__ import annotations

import bpy
import pytest
from furrow.addon.interface import (
    backend_operators,
    detail_operators,
    engine_operators,
    head_operators,
    installation,
    motion_operators,
)
from furrow.addon.interface.operator_bases import FurrowOperator
from furrow.addon.process import jobs
from furrow.backend.errors import FurrowError
from furrow.backend.process import accelerator

ALWAYS = {"furrow.backend_start", "furrow.check_installation"}
"""What can be tried anywhere."""

ANYWHERE = {
    *ALWAYS,
    "mesh.furrow_head_add",
    "furrow.backend_stop",
    "furrow.backend_release",
    "furrow.openvino_add_file",
    "furrow.openvino_download",
    "furrow.openvino_remove",
}
"""What needs no object."""

READING = {"furrow.identity_save", "furrow.stage_add"}
"""What works on a head that is linked from another file."""


def idname(cls: type[FurrowOperator]) -> str:
    module, name = cls.__name__.split("_OT_")
    return f"{module.lower()}.{name}"


CLASSES = {
    idname(cls): cls
    for module in (
        head_operators,
        detail_operators,
        motion_operators,
        backend_operators,
        engine_operators,
    )
    for cls in module.CLASSES
    if issubclass(cls, FurrowOperator)
}


def nothing(scene, tmp_path, monkeypatch) -> None:
    bpy.context.view_layer.objects.active = None


def cube(scene, tmp_path, monkeypatch) -> None:
    bpy.ops.mesh.primitive_cube_add()


def camera(scene, tmp_path, monkeypatch) -> None:
    bpy.ops.object.camera_add()


def edit_mode(scene, tmp_path, monkeypatch) -> None:
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")


def linked_head(scene, tmp_path, monkeypatch) -> None:
    bpy.ops.mesh.furrow_head_add()
    path = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(path, link=True) as (_source, target):
        target.objects = ["Head"]
    bpy.context.scene.collection.objects.link(target.objects[0])
    bpy.context.view_layer.objects.active = target.objects[0]


def no_backend(scene, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(jobs, "running", lambda: None)


def no_wheel(scene, tmp_path, monkeypatch) -> None:
    def refuse() -> str:
        raise FurrowError("OpenVINO has no wheel for this Python.")

    monkeypatch.setattr(accelerator, "wheel_name", refuse)


def no_openvino(scene, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(jobs, "user_folder", lambda create=True: tmp_path)
    installation.read()


def offline(scene, tmp_path, monkeypatch) -> None:
    assert not bpy.app.online_access, "the tests' Blender is offline"


NO_HEAD = "Select a Furrow head first"
NO_FACE = "Select a Furrow head, or a mesh"
OF_A_FACE = {"furrow.speech_import", "furrow.motion_import", "furrow.motion_export"}
OF_A_HEAD = CLASSES.keys() - ANYWHERE - OF_A_FACE
CASES = (
    (nothing, OF_A_HEAD, NO_HEAD),
    (cube, OF_A_HEAD, NO_HEAD),
    (linked_head, OF_A_HEAD - READING, '"Head" is linked from another file'),
    (nothing, OF_A_FACE, NO_FACE),
    (camera, OF_A_FACE, NO_FACE),
    (edit_mode, {"mesh.furrow_head_add"}, "Object Mode"),
    (no_backend, {"furrow.backend_stop", "furrow.backend_release"}, "does not run"),
    (no_wheel, {"furrow.openvino_add_file"}, "no wheel"),
    (offline, {"furrow.openvino_download"}, "Allow Online Access"),
    (no_openvino, {"furrow.openvino_remove"}, "not added"),
)


def operator(name: str):
    module, function = name.split(".")
    return getattr(getattr(bpy.ops, module), function)


@pytest.mark.parametrize(
    ("situation", "names", "reason"), CASES, ids=[case[0].__name__ for case in CASES]
)
def test_a_button_that_cannot_work_says_why(
    situation, names, reason, scene, client, tmp_path, monkeypatch
):
    situation(scene, tmp_path, monkeypatch)
    for name in sorted(names):
        assert not operator(name).poll(), name
        with pytest.raises(RuntimeError) as caught:
            operator(name)()
        said = str(caught.value)
        assert reason in said and "Traceback" not in said, name
        assert CLASSES[name].disabled_reason(bpy.context) in said


def test_a_button_that_can_work_is_not_grey(head, client, monkeypatch, tmp_path):
    monkeypatch.setattr(jobs, "running", lambda: client)
    monkeypatch.setattr(accelerator, "installed", lambda folder: tmp_path)
    installation.read()
    grey = {name for name in CLASSES if not operator(name).poll()}
    installation.read()
    assert grey == {"furrow.openvino_download"}  # the tests' Blender is offline


def test_every_operator_of_ours_explains_itself():
    tried = {name for _situation, names, _reason in CASES for name in names}
    assert tried == CLASSES.keys() - ALWAYS
    ours = {
        f"{module}.{name}"
        for module in ("furrow", "mesh")
        for name in dir(getattr(bpy.ops, module))
        if module == "furrow" or name.startswith("furrow")
    }
    assert ours == set(CLASSES)
