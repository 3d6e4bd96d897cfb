"""What the pages about the house name is there: files and links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = (
    "CONTRIBUTING.md",
    "docs/README.md",
    "docs/architecture.md",
    "docs/backend.md",
    "docs/ways.md",
    "docs/architecture/*.md",
)


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
        if not (root / name).exists() and not re.search(r"\b[A-Z]+/", name)  # PART stands for any
    ]
    assert not broken
