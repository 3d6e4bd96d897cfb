"""Figures of `evaluate` and `bench`: measured numbers with the machine and the commit they belong to."""

from __future__ import annotations

import json
import math
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import FurrowError
from ..system import processor
from .files import write_whole


@dataclass(frozen=True)
class Figure:
    """One measured number: a name that checks read, its value, and the value's unit (mm, ms, dB ...)."""

    name: str
    value: float
    unit: str


def write(
    path: str | Path, figures: Sequence[Figure], seed: int, more: Mapping[str, Any] | None = None
) -> None:
    """Write figures as JSON: ``{"machine", "commit", "seed", "figures": [{"name", "value", "unit"}]}``.

    `more` goes beside them.

    Raises
    ------
    FurrowError
        If a figure is no finite number, or the file cannot be written.
    """
    for figure in figures:
        if not math.isfinite(figure.value):
            raise FurrowError(f"The figure {figure.name} is {figure.value}, not a number.")
    data = {
        "machine": machine(),
        "commit": commit(),
        "seed": seed,
        **(more or {}),
        "figures": [asdict(figure) | {"value": float(figure.value)} for figure in figures],
    }
    write_whole(path, json.dumps(data, indent=1).encode() + b"\n")


def table(figures: Sequence[Figure]) -> str:
    """Return figures as aligned lines for a terminal, four significant digits each."""
    if not figures:
        return ""
    width = max(len(figure.name) for figure in figures)
    return "\n".join(
        f"{figure.name:<{width}}  {figure.value:>12.4g} {figure.unit}" for figure in figures
    )


def machine() -> str:
    """Return processor, usable cores, system and Python in one line."""
    return (
        f"{processor.name()}, {processor.usable_cores()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def commit() -> str:
    """Return the checkout's commit, with "-dirty" if tracked files differ from it.

    An installed package has no checkout; then it is "unknown".
    """
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / ".git").exists():
        return (
            "unknown"  # without this, git would answer for a checkout around the installed package
        )
    command = [
        "git",
        "-C",
        str(root),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return process.stdout.strip()
