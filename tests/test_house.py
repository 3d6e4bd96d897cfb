"""The house: packages, arrows between rooms and wings, versions, and a clone under another name."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import furrow
import pytest

ROOMS = ("addon", "backend", "commands", "training")

NEEDS = {
    "backend": (),
    "commands": ("backend",),
    "addon": ("backend", "commands"),
    "training": ("backend",),
}
"""The rooms that each room may import, and name in its strings; `__main__` connects all of them."""

ELSEWHERE = {
    "backend": ("bpy", "bmesh", "mathutils"),
    "commands": ("bpy",),
    "addon": ("torch",),
    "training": (),
}
"""Packages that a room may not import."""

WINGS = {
    "backend": {
        "errors": "",
        "system": "errors",
        "formats": "errors system",
        "head": "errors formats",
        "detail.engines": "errors system formats",
        "detail": "errors system formats head detail.engines",
        "liveliness": "errors formats",
        "speech": "errors system formats liveliness",
        "process": "errors system formats head detail detail.engines liveliness speech",
    },
    "addon": {
        "package": "",
        "process": "package",
        "head": "",
        "detail": "process head",
        "animation": "head",
        "bake": "process head detail animation",
        "bench": "process head detail animation bake",
        "interface": "package process head detail animation bake",
        "handlers": "process head detail",
        "outside": "bake bench",
    },
}
"""Each wing of a room with the wings that it may import, all of which stand above it in the table."""

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


@pytest.fixture(scope="module")
def architecture(root: Path) -> ModuleType:
    """tools/architecture.py, which reads imports."""
    path = root / "tools" / "architecture.py"
    spec = importlib.util.spec_from_file_location("architecture", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_wheel_holds_every_module_and_asset(clone: Path, tmp_path: Path) -> None:
    # A package that the search misses imports fine from the checkout and fails once installed.
    process = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", str(tmp_path), str(clone)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assets = (p.relative_to(clone) for p in (clone / "assets").rglob("*") if p.is_file())
    wanted = [Path("__init__.py"), Path("__main__.py"), *modules(clone), *assets]
    missing = [str(path) for path in wanted if f"furrow/{path.as_posix()}" not in names]
    assert not missing


def strangers(room: str) -> list[str]:
    """The rooms that a room may not import."""
    return [other for other in ROOMS if other not in (room, *NEEDS[room])]


def test_arrows_between_rooms_run_one_way(root: Path, architecture: ModuleType) -> None:
    broken = []
    for module in modules(root):
        room = module.parts[0]
        forbidden = (*ELSEWHERE[room], *(f"furrow.{other}" for other in strangers(room)))
        package = ".".join(("furrow", *module.parts[:-1]))
        for name in architecture.import_names((root / module).read_text(), package):
            if any(name == bad or name.startswith(f"{bad}.") for bad in forbidden):
                broken.append(f"{module} imports {name}")
    assert not broken


def test_no_room_names_files_of_a_room_that_it_may_not_import(root: Path) -> None:
    # A path in a string is an import that no checker sees.
    broken = []
    for module in modules(root):
        for other in strangers(module.parts[0]):
            pattern = re.compile(rf"{other}|(?s:.*)\b{other}[/.][a-z_]+(?s:.*)")
            for node in ast.walk(ast.parse((root / module).read_text())):
                if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                    continue
                if pattern.fullmatch(node.value):
                    broken.append(f"{module}:{node.lineno} names {other}")
    assert not broken


def test_imports_run_in_no_circle(root: Path, architecture: ModuleType) -> None:
    rings = architecture.circles(architecture.imports(root))
    assert not [" -> ".join([*ring, ring[0]]) for ring in rings]


def test_arrows_between_wings_run_one_way(root: Path, architecture: ModuleType) -> None:
    graph = architecture.imports(root)
    broken = []
    for room in ROOMS:
        arrows: dict[str, set[str]] = {}
        for source, target in architecture.arrows(graph, room):
            arrows.setdefault(source, set()).add(target)
        for ring in architecture.circles(arrows):
            broken.append(f"{room}: " + " -> ".join([*ring, ring[0]]))
        if room in WINGS:
            broken += [
                f"{room}: {source} -> {target}"
                for source, targets in sorted(arrows.items())
                for target in sorted(targets - set(WINGS[room].get(source, "").split()))
            ]
    assert not broken


def test_wings_stand_in_the_order_of_their_arrows() -> None:
    for room, needs in WINGS.items():
        above: set[str] = set()
        for wing, targets in needs.items():
            assert set(targets.split()) <= above, f"{room}: {wing}"
            above.add(wing)


def test_backend_starts_without_torch_and_blender(root: Path) -> None:
    names = [".".join(("furrow", *m.with_suffix("").parts)) for m in modules(root)
             if m.parts[0] == "backend" and not m.name.startswith(("torch_", "stylegan2", "launch"))]  # fmt: skip
    script = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        "print(*sorted({'torch', 'bpy'} & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == ""


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
        process = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=clone, env=environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert process.returncode == 0, process.stdout + process.stderr


def test_make_names_every_target_it_documents(root: Path) -> None:
    makefile = (root / "Makefile").read_text()
    documented = re.findall(r"^#   make ([\w-]+)", makefile, re.MULTILINE)
    assert {"demo", "test", "test-gui", "extension", "bench", "train-env"} <= set(documented)
    process = subprocess.run(
        ["make", "--dry-run", "--always-make", *documented],
        cwd=root, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
