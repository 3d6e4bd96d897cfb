"""How much memory is left: the machine's, or less where a container allows less."""

from __future__ import annotations

from pathlib import Path

import pytest
from furrow.backend.errors import FurrowError
from furrow.backend.system import memory


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The control group of a container with 100 MiB, of which 60 are used, 20 of them as cache."""
    (tmp_path / "memory.max").write_text(f"{100 << 20}\n")
    (tmp_path / "memory.current").write_text(f"{60 << 20}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {20 << 20}\nslab 2\n")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    return tmp_path


def test_a_containers_limit_counts_and_its_cache_does_not(group: Path) -> None:
    assert memory.available_bytes() == 60 << 20


def test_without_a_limit_the_machines_memory_counts(group: Path) -> None:
    (group / "memory.max").write_text("max\n")
    assert memory.available_bytes() > 60 << 20


def test_what_does_not_fit_is_refused_with_a_remedy(group: Path) -> None:
    memory.require(50 << 20, "A map", "Make it smaller.")
    with pytest.raises(
        FurrowError, match=r"A map needs 70 MiB .* 60 MiB are free\. Make it smaller"
    ):
        memory.require(70 << 20, "A map", "Make it smaller.")


def test_this_process_holds_memory() -> None:
    assert 1 << 20 < memory.resident_bytes() < 1 << 40
