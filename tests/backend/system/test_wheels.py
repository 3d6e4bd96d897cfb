"""Packages out of wheels: the right ones, in one step, nowhere else."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import threading
import zipfile
from pathlib import Path

import pytest
from furrow.backend.errors import FurrowError
from furrow.backend.system import wheels

TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"
linux = pytest.mark.skipif(
    sysconfig.get_platform() != "linux-x86_64", reason="tags are those of Linux"
)


def wheel(folder: Path, name: str, files: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return folder / name


@linux
@pytest.mark.parametrize(
    ("tags", "fits"),
    [
        (f"{TAG}-{TAG}-manylinux_2_27_x86_64.manylinux_2_28_x86_64", True),
        ("py3-none-any", True),
        ("py2.py3-none-manylinux_2_28_x86_64", True),
        ("cp38-abi3-manylinux2014_x86_64", True),
        ("cp399-abi3-manylinux2014_x86_64", False),
        ("cp310-cp310-manylinux2014_x86_64", False),
        (f"{TAG}-{TAG}t-manylinux2014_x86_64", False),
        (f"{TAG}-{TAG}-manylinux2014_aarch64", False),
        (f"{TAG}-{TAG}-musllinux_1_2_x86_64", False),
        (f"{TAG}-{TAG}-win_amd64", False),
        ("py2-none-any", False),
    ],
)
def test_tags(tags, fits):
    assert wheels.fits(f"package-1.0-{tags}.whl") is fits


def test_fitting_wheels_become_one_importable_folder(tmp_path):
    source = tmp_path / "wheels"
    wheel(
        source,
        "one-1-py3-none-any.whl",
        {"one/__init__.py": "X = 1", "one-1.data/purelib/three.py": ""},
    )
    wheel(source, "two-1-cp27-cp27m-win32.whl", {"two.py": ""})
    folder = wheels.unpack(source, tmp_path / "to")
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.py")) == [
        "one/__init__.py",
        "three.py",
    ]
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import one; print(one.X)"
    process = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert process.stdout == "1\n"


def test_unpacked_once_and_anew_for_other_wheels(tmp_path):
    source = tmp_path / "wheels"
    wheel(source, "one-1-py3-none-any.whl", {"one.py": ""})
    first = wheels.unpack(source, tmp_path / "to")
    (first / "mark").touch()
    assert wheels.unpack(source, tmp_path / "to") == first and (first / "mark").exists()
    wheel(source, "two-1-py3-none-any.whl", {"two.py": ""})
    second = wheels.unpack(source, tmp_path / "to")
    assert [p.name for p in (tmp_path / "to").iterdir()] == [second.name] != [first.name]


@pytest.mark.parametrize("name", ["../evil.py", "/tmp/evil.py", "a/../../evil.py", "..\\evil.py"])
def test_nothing_is_written_outside(tmp_path, name):
    source = tmp_path / "wheels"
    wheel(source, "bad-1-py3-none-any.whl", {"good.py": "", name: ""})
    with pytest.raises(FurrowError, match="outside"):
        wheels.unpack(source, tmp_path / "to")
    assert not list(tmp_path.rglob("*evil.py")) and not Path("/tmp/evil.py").exists()
    assert not list((tmp_path / "to").iterdir())


def test_damaged_wheel_leaves_nothing(tmp_path):
    source = tmp_path / "wheels"
    path = wheel(source, "one-1-py3-none-any.whl", {"one.py": "x = 1\n" * 1000})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FurrowError, match="is damaged"):
        wheels.unpack(source, tmp_path / "to")
    assert not list((tmp_path / "to").iterdir())


def test_no_wheel_for_this_python(tmp_path):
    source = tmp_path / "wheels"
    wheel(source, "one-1-cp27-cp27m-win32.whl", {"one.py": ""})
    with pytest.raises(FurrowError, match="no packages for Python") as failure:
        wheels.unpack(source, tmp_path / "to")
    assert failure.value.code == "engine_unavailable"


def test_folder_that_cannot_be_written(tmp_path):
    source = tmp_path / "wheels"
    wheel(source, "one-1-py3-none-any.whl", {"one.py": ""})
    (tmp_path / "file").touch()
    with pytest.raises(FurrowError) as failure:
        wheels.unpack(source, tmp_path / "file" / "to")
    assert failure.value.code == "write_failed"


def test_two_at_once_agree(tmp_path):
    source = tmp_path / "wheels"
    wheel(source, "one-1-py3-none-any.whl", {f"one/m{i}.py": "x" * 1000 for i in range(300)})
    folders: list[Path] = []
    threads = [
        threading.Thread(target=lambda: folders.append(wheels.unpack(source, tmp_path / "to")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 4 and len(set(folders)) == 1
    assert len(list(folders[0].rglob("*.py"))) == 300
    assert [p.name for p in (tmp_path / "to").iterdir()] == [folders[0].name]
