"""`furrow bench`: what a tick, a map, a bake and a start cost on this machine.

Parts are measured one after the other; one that fails leaves the others as they are.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from ..backend.detail.engines import engines, kinds
from ..backend.errors import FurrowError
from ..backend.formats import figures
from ..backend.formats.figures import Figure
from . import bench_blender, bench_maps, blender, flags, terminal
from .bench_blender import Launch

PACKAGES = ("numpy", *(kind.package for kind in reversed(kinds.KINDS.values())), "bpy")
"""Whose versions are written down."""

PAPER = "the paper's generator"


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes
    ----------
    networks
        Folder of the detail networks that engines are timed with.
    runs
        Repetitions of what takes a tenth of a second; others go by it.
    bake_frames
        See :func:`.bench_blender.bakes`.
    """

    networks: Path = engines.DETAIL
    runs: int = 30
    bake_frames: tuple[int, int] = (6, 46)


@dataclass
class Result:
    """What was measured, and what was not.

    Attributes
    ----------
    absent
        What this installation lacks, by name, and how to add it.
    failed
        Parts that failed, and why.
    """

    figures: list[Figure] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Peers:
    """What maps are comparison with, made by those who have the packages for it.

    Attributes
    ----------
    rivals
        Contenders of :func:`.bench_maps.maps`.
    work
        Figures of how much there is to do for a map.
    absent
        Why there are none, and how to have them.
    """

    rivals: bench_maps.Rivals = field(default_factory=dict)
    work: list[Figure] = field(default_factory=list)
    absent: str = ""


PeersOf = Callable[[Path], Peers]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    flags.add_json(parser)


def run(arguments: argparse.Namespace, script: Path, peers: PeersOf) -> int:
    """Measure, print the table and write it; raises FurrowError if a part failed.

    Parameters
    ----------
    script
        As for :func:`.blender.run`.
    peers
        As for :func:`measure`.
    """
    with terminal.progress_bar() as progress:
        result = measure(progress, peers, functools.partial(blender.run, None, script))
    print(report(result))
    if arguments.json:
        write(arguments.json, result)
    if result.failed:
        raise FurrowError(f"not measured: {', '.join(result.failed)}; the reasons stand above.")
    return 0


def measure(
    progress: terminal.Progress, peers: PeersOf, launch: Launch, plan: Plan | None = None
) -> Result:
    """Measure everything that this installation can do; takes about five minutes on two cores.

    Parameters
    ----------
    peers
        Called with the folder of the detail networks.
    launch
        Runs the add-on's script in a Blender.
    """
    plan, result = plan or Plan(), Result()
    parts = _parts(peers, launch, plan, result)
    for number, (name, part) in enumerate(parts.items()):
        progress(number / len(parts), name)
        with _noting_failure(name, result):
            result.figures += part()
    progress(1.0, "Done")
    return result


@contextlib.contextmanager
def _noting_failure(name: str, result: Result) -> Iterator[None]:
    """What fails inside is named in the result, with its reason, and the rest goes on."""
    try:
        yield
    except FurrowError as error:
        result.failed[name] = str(error)
    except Exception as error:
        if os.environ.get("FURROW_DEBUG"):
            raise
        result.failed[name] = f"{type(error).__name__}: {error}"


def _parts(
    peers: PeersOf, launch: Launch, plan: Plan, result: Result
) -> dict[str, Callable[[], list[Figure]]]:
    def maps() -> list[Figure]:
        for engine in engines.available():
            if engine.reason is not None:
                remedy = kinds.KINDS[engine.kind].remedy
                result.absent[engine.name] = f"{engine.reason} {remedy}".strip()
        comparison = Peers()
        with _noting_failure(PAPER, result):
            comparison = peers(plan.networks)
        if comparison.absent:
            result.absent[PAPER] = comparison.absent
        contenders = []
        for engine in engines.available():
            if engine.reason is None:
                with _noting_failure(engine.name, result):
                    contenders += bench_maps.contenders(engine, plan.networks, plan.runs)
        return comparison.work + bench_maps.maps(contenders, comparison.rivals)

    def inside(part: str) -> Callable[[], list[Figure]]:
        return lambda: bench_blender.figures_inside(part, plan.runs, launch)

    return {
        "maps": maps,
        "backend": inside("backend"),
        "viewport": inside("viewport"),
        "portable": inside("portable"),
        "speech": inside("speech"),
        "start": lambda: bench_blender.addon_start(plan.runs, launch),
        "bake": lambda: bench_blender.bakes(plan.bake_frames, launch),
    }


def write(path: Path, result: Result) -> None:
    """Write a result as `figures.write` does, with the machine in more detail; raises FurrowError."""
    more: dict[str, Any] = {
        "versions": versions(),
        "absent": result.absent,
        "failed": result.failed,
    }
    more["memory_gb"] = round(psutil.virtual_memory().total / 1e9, 1)
    figures.write(path, result.figures, seed=0, more=more)


def report(result: Result) -> str:
    """A result for a terminal."""
    lines = [figures.machine(), figures.table(result.figures)]
    lines += [f"not here: {name}. {how}" for name, how in result.absent.items()]
    lines += [f"FAILED: {name}. {why}" for name, why in result.failed.items()]
    return "\n".join(lines)


def versions() -> dict[str, str]:
    """Versions of the engines' packages and their kin, of those that are installed."""
    installed = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    return installed
