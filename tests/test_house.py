"""The house: packages, arrows between the rooms, versions, and a clone under another name."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import furrow
import pytest

ROOMS = ("addon", "backend", "commands", "training")
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv*", ".cache", ".*_cache", "out", "dist", "build", "wheels", "*.egg-info",
    "__pycache__", ".partial-*",
)  # fmt: skip


@pytest.fixture(scope="module")
def clone(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources in a folder whose name is no identifier."""
    return shutil.copytree(root, tmp_path_factory.mktemp("house") / "my-clone", ignore=NOT_SOURCE)


def modules(root: Path) -> Iterator[Path]:
    for room in ROOMS:
        yield from (path.relative_to(root) for path in sorted((root / room).rglob("*.py")))


def imported(root: Path, module: Path) -> Iterator[str]:
    """Absolute names of what a module imports, those inside functions included."""
    package = ["furrow", *module.parts[:-1]]
    for node in ast.walk(ast.parse((root / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{name}.{alias.name}" for alias in node.names)


def test_wheel_holds_every_module_and_asset(clone: Path, tmp_path: Path) -> None:
    # A package that the search misses imports fine from the checkout and fails once installed.
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", str(tmp_path), str(clone)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assets = (p.relative_to(clone) for p in (clone / "assets").rglob("*") if p.is_file())
    wanted = [Path("__init__.py"), Path("__main__.py"), *modules(clone), *assets]
    missing = [str(path) for path in wanted if f"furrow/{path.as_posix()}" not in names]
    assert not missing


def test_arrows_between_rooms_run_one_way(root: Path) -> None:
    forbidden = {
        "backend": (
            "bpy",
            "bmesh",
            "mathutils",
            "furrow.addon",
            "furrow.commands",
            "furrow.training",
        ),
        "commands": ("bpy", "furrow.addon", "furrow.training"),
        "addon": ("furrow.training", "torch"),
        "training": ("furrow.addon",),
    }
    broken = [
        f"{module} imports {name}"
        for module in modules(root)
        for name in imported(root, module)
        for bad in forbidden[module.parts[0]]
        if name == bad or name.startswith(bad + ".")
    ]
    assert not broken


def test_backend_starts_without_torch_and_blender(root: Path) -> None:
    names = [".".join(("furrow", *m.with_suffix("").parts)) for m in modules(root)
             if m.parts[0] == "backend" and m.name not in ("torch_layers.py", "torch_networks.py", "launch.py")]  # fmt: skip
    script = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        "print(*sorted({'torch', 'bpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_versions_and_pins_agree(root: Path) -> None:
    manifest = tomllib.loads((root / "blender_manifest.toml").read_text())
    assert manifest["version"] == furrow.__version__
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    (pin,) = (p for p in extras["train"] if p.startswith("torch=="))
    assert pin in extras["cuda"]
    assert f"TORCH := {pin}\n" in (root / "Makefile").read_text()


def test_clone_of_another_name_collects_and_types(clone: Path) -> None:
    # The root's __init__.py makes tools take the folder's name for a package's.
    (clone / ".cache" / "types").mkdir(parents=True)
    (clone / ".cache" / "types" / "furrow").symlink_to("../..")
    environment = os.environ | {"MYPYPATH": ".cache/types"}
    for command in (
        ["pytest", "--collect-only", "-q", "tests/test_house.py", "tests/backend"],
        ["mypy", "--follow-imports=silent", "-m", "furrow.backend.formats.identity"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=clone, env=environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_make_names_every_target_it_documents(root: Path) -> None:
    makefile = (root / "Makefile").read_text()
    documented = re.findall(r"^#   make ([\w-]+)", makefile, re.MULTILINE)
    assert {"demo", "test", "test-gui", "extension", "bench", "train-env"} <= set(documented)
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", *documented],
        cwd=root, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
