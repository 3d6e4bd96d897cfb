"""The lock: it fits what pyproject.toml pins, names no address, and is what runs here."""

from __future__ import annotations

import re
from importlib import metadata

import lock
import pytest
from packaging.requirements import Requirement


def versions(environment: str) -> dict[str, str]:
    """The locked version of each package of an environment, stages before it included."""
    names = list(lock.STAGES)
    earlier = names[: names.index(environment)] if environment in names else []
    sections = lock.sections()
    return {
        name: re.split(r"==|\s", entry)[1]
        for section in (*earlier, environment)
        for name, entry in lock.entries(sections[section]).items()
    }


@pytest.mark.parametrize("environment", [*lock.STAGES, *lock.GROUPS])
def test_pins_are_met_by_what_is_locked(environment: str) -> None:
    locked = versions(environment)
    pins = [Requirement(pin) for pin in lock.requirements(environment)]
    broken = [
        f"{pin} is locked as {locked.get(lock.normalised(pin.name))}: make lock"
        for pin in pins
        if pin.name != "torch"  # each of its builds has hashes of its own
        and not pin.specifier.contains(locked.get(lock.normalised(pin.name), "0"))
    ]
    assert not broken


def test_each_file_is_known_by_its_hash_and_none_by_its_address() -> None:
    entry = re.compile(r"[\w.-]+==[\w.]+( \\\n    --hash=sha256:[0-9a-f]{64})+")
    for section in lock.sections().values():
        entries = list(lock.entries(section).values())
        assert entries
        assert "\n".join(entries) == section.strip()
        assert all(entry.fullmatch(text) for text in entries)


def test_what_is_locked_runs_here() -> None:
    # Else these tests say nothing of what others will install.
    locked = versions("dev")
    here = {name: metadata.version(name) for name in locked}
    assert here == locked
