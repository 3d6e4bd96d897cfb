"""OpenVINO's wheel: the right one, whole or not at all, downloaded by pip."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from furrow.backend.errors import FurrowError
from furrow.backend.process import accelerator
from furrow.backend.system import wheels

NAME = accelerator.wheel_name()
TAGS = NAME.removesuffix(".whl").split("-", 3)[3]
WORKS = "class Core:\n    available_devices = ['CPU']\n"


def nothing(_fraction: float, _text: str) -> None:
    """Progress that nobody watches."""


def never() -> bool:
    return False


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """Make a wheel whose hash is taken for the right one."""

    def make(code: str = WORKS) -> Path:
        path = tmp_path / NAME
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("openvino/__init__.py", code)
            facts = f"openvino-{accelerator.VERSION}.dist-info"
            version = f"Metadata-Version: 2.1\nName: openvino\nVersion: {accelerator.VERSION}\n"
            archive.writestr(f"{facts}/METADATA", version)
            archive.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\n")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setitem(accelerator._SHA256, TAGS, digest)
        return path

    return make


def test_added_with_progress_and_removed(wheel, tmp_path):
    steps: list[tuple[float, str]] = []
    user = tmp_path / "user"
    old = user / f"openvino-2025.0.0-{wheels.python_tag()}"
    old.mkdir(parents=True)
    folder = accelerator.add(wheel(), user, lambda *step: steps.append(step), never)
    assert accelerator.installed(user) == folder and (folder / "openvino").is_dir()
    assert steps == sorted(steps) and steps[-1][1] == "Starting OpenVINO"
    assert [p.name for p in user.iterdir()] == [folder.name], "an older version is gone"
    accelerator.remove(user)
    assert accelerator.installed(user) is None and not list(user.iterdir())


def is_refused(path: Path, user: Path) -> FurrowError:
    with pytest.raises(FurrowError) as failure:
        accelerator.add(path, user, nothing, never)
    assert "\n" not in str(failure.value)
    assert not user.exists() or not list(user.iterdir()), "whole or not at all"
    return failure.value


def test_bad_wheels_are_refused_and_leave_nothing(wheel, tmp_path):
    user, good = tmp_path / "user", wheel()
    whole = good.read_bytes()
    good.write_bytes(whole[:-30])
    assert "damaged, or was altered" in str(is_refused(good, user))
    good.write_bytes(whole)
    for name, output in (
        ("holiday.whl", "no wheel of OpenVINO"),
        (NAME.replace(TAGS, "cp27-cp27m-win32"), "another Python or system"),
        (NAME.replace(accelerator.VERSION, "2020.1.0"), "another version"),
    ):
        error = is_refused(good.rename(tmp_path / name), user)
        assert output in str(error) and NAME in str(error), "says which file is wanted"
        (tmp_path / name).rename(good)
    assert is_refused(tmp_path / "absent" / NAME, user).code == "missing_file"


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("raise ImportError('libtbb.so.12 is missing')", "libtbb.so.12 is missing"),
        ("class Core:\n    available_devices = []", "does not find the processor"),
        ("import os; os._exit(3)", "exit status 3"),
    ],
)
def test_what_does_not_start_is_not_added(wheel, tmp_path, code, output):
    error = is_refused(wheel(code), tmp_path / "user")
    assert output in str(error) and error.code == "engine_unavailable"


def test_cancelled_and_unwritable_leave_nothing(wheel, tmp_path):
    path = wheel()
    with pytest.raises(FurrowError) as failure:
        accelerator.add(path, tmp_path / "user", nothing, lambda: True)
    assert failure.value.code == "cancelled" and not list((tmp_path / "user").iterdir())
    (tmp_path / "file").touch()
    for act in (lambda: accelerator.add(path, tmp_path / "file", nothing, never),
                lambda: accelerator.download(tmp_path / "file", nothing, never)):  # fmt: skip
        with pytest.raises(FurrowError) as failure:
            act()
        assert failure.value.code == "write_failed"


def test_downloaded_by_pip_from_where_it_is_set_up_to_look(wheel, tmp_path, monkeypatch):
    index = wheel().parent
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    folder = accelerator.download(tmp_path / "user", nothing, never)
    assert (folder / "openvino" / "__init__.py").read_text() == WORKS
    assert [p.name for p in (tmp_path / "user").iterdir()] == [folder.name]


def test_a_download_that_fails_says_why_and_what_else_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(FurrowError, match="No matching distribution found") as failure:
        accelerator.download(tmp_path / "user", nothing, never)
    assert failure.value.code == "engine_unavailable" and NAME in str(failure.value)
    assert not list((tmp_path / "user").iterdir())


def test_a_download_is_cancelled(tmp_path, monkeypatch):
    monkeypatch.setattr(
        accelerator, "_pip", lambda: [sys.executable, "-c", "import time; time.sleep(60)"]
    )
    with pytest.raises(FurrowError) as failure:
        accelerator.download(tmp_path / "user", nothing, lambda: True)
    assert failure.value.code == "cancelled" and not list((tmp_path / "user").iterdir())


def test_a_python_without_pip_uses_the_one_it_carries(monkeypatch):
    ensurepip = pytest.importorskip("ensurepip")
    monkeypatch.setattr(
        accelerator.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1)
    )
    if not list((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")):
        with pytest.raises(FurrowError, match="no pip"):
            accelerator._pip()
        return
    command = accelerator._pip()
    monkeypatch.undo()
    run = subprocess.run([*command, "--version"], capture_output=True, text=True)
    assert run.stdout.startswith("pip "), run.stderr


def test_a_system_without_a_wheel_is_told(monkeypatch):
    monkeypatch.setattr(wheels.sysconfig, "get_platform", lambda: "linux-riscv64")
    with pytest.raises(FurrowError, match=r"no OpenVINO .* on linux-riscv64"):
        accelerator.wheel_name()


def test_the_pin_is_the_extras(root):
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert extras["optional-dependencies"]["openvino"] == [f"openvino=={accelerator.VERSION}"]
