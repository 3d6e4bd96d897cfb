"""What the pages about the house name is there: files, links, and the functions of each way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = ("CONTRIBUTING.md", "docs/README.md", "docs/architecture.md", "docs/architecture/*.md")


@pytest.fixture(scope="module")
def pages(root: Path) -> list[Path]:
    return [path for pattern in PAGES for path in sorted(root.glob(pattern))]


def test_links_lead_to_files(pages: list[Path]) -> None:
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken


def test_paths_lead_to_files(root: Path, pages: list[Path]) -> None:
    path = re.compile(r"`((?:addon|assets|backend|commands|docs|tests|tools|training)/[\w/.-]+)`")
    broken = [
        f"{page.name}: {name}"
        for page in pages
        for name in path.findall(page.read_text())
        if not (root / name).exists()
    ]
    assert not broken


def resolves(root: Path, name: str) -> bool:
    """Whether wing.module, module.function or module.Class.method is there, wherever the wing is."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        pattern = "/".join(parts[:end]) + ".py"
        for file in [
            f
            for room in ("addon", "backend", "commands")
            for f in root.glob(f"{room}/**/{pattern}")
        ]:
            definition = rf"^\s*(?:def|class) {parts[-1]}\b"
            if end == len(parts) or re.search(definition, file.read_text(), re.MULTILINE):
                return True
    return False


def test_the_ways_name_functions_that_are_there(root: Path) -> None:
    text = (root / "docs" / "architecture" / "ways.md").read_text()
    names = re.findall(r"`((?:\w+\.)+\w+)(?:\([^`]*\))?`", text)
    assert len(names) > 40
    prefixes = ("DetailModel", "Engine", "LiveMaps")  # classes whose module stands before them
    broken = [
        name
        for name in names
        if not name.startswith(prefixes)
        and not resolves(root, re.sub(r"^(?:backend|commands)\.", "", name))
    ]
    assert not broken
