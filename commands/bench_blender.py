"""What is measured inside Blender, each part in a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ..backend.detail.engines import engine_choice
from ..backend.errors import FurrowError
from ..backend.formats.expressions import EXPRESSIONS
from ..backend.formats.figures import Figure
from ..backend.formats.weights import Weights, write_weights

FPS = 30.0


class Launch(Protocol):
    """Runs the add-on's script in a Blender: :func:`.blender.run` with its first two arguments."""

    def __call__(
        self,
        arguments: Sequence[str],
        quiet: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Exit status of the script with `arguments`."""
        ...


def figures_inside(
    part: str,
    runs: int,
    launch: Launch,
    environment: Mapping[str, str] | None = None,
) -> list[Figure]:
    """Figures of a part that the add-on measures.

    Parameters
    ----------
    part
        Its name there.
    runs
        How often things are repeated.
    environment
        Of the process; None for ours.

    Raises
    ------
    FurrowError
        With what it said, if it failed.
    """
    with tempfile.TemporaryDirectory(prefix="furrow-") as folder:
        path = Path(folder) / "measured.json"
        launch(["measure", part, str(path), str(runs)], True, environment)
        if not path.exists():
            raise FurrowError(
                "Blender ended before it had measured; see furrow doctor.", "internal"
            )
        result = json.loads(path.read_text())
    if "error" in result:
        raise FurrowError(result["error"], "internal")
    return [Figure(name, value, unit) for name, value, unit in result["figures"]]


def addon_start(runs: int, launch: Launch) -> list[Figure]:
    """What loading and registering the add-on adds to Blender's start, files being in memory."""
    with tempfile.TemporaryDirectory(prefix="furrow-") as folder:
        # The bpy module would compile the sources each time; Blender keeps what was compiled.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        figures_inside("start", runs, launch, environment)  # not counted: it compiles
        starts = [
            figures_inside("start", runs, launch, environment)[0].value
            for _ in range(max(1, runs // 4))
        ]
    least = Figure("addon_start_min_ms", min(starts), "ms")
    return [Figure("addon_start_ms", statistics.median(starts), "ms"), least]


def bakes(frames: tuple[int, int], launch: Launch) -> list[Figure]:
    """Frames a second of a bake, every frame another map.

    Parameters
    ----------
    frames
        Of two bakes, whose difference leaves the start of Blender and of the networks out.
    """
    figures = [
        Figure(f"bake_{resolution}_fps", _bake_fps("ort", resolution, frames, launch), "frames/s")
        for resolution in (512, 1024)
    ]
    for engine in engine_choice.measurable():
        if engine.kind != "ort":
            fps = _bake_fps(engine.kind, 1024, frames, launch)
            figures.append(Figure(f"bake_1024_{engine.kind}_fps", fps, "frames/s"))
    return figures


def _bake_fps(engine: str, resolution: int, frames: tuple[int, int], launch: Launch) -> float:
    short, long = (bake_seconds(engine, resolution, count, launch) for count in frames)
    return (frames[1] - frames[0]) / (long - short)


def bake_seconds(engine: str, resolution: int, frames: int, launch: Launch) -> float:
    """Seconds of one bake of random weights; raises FurrowError if it does not make every frame."""
    with tempfile.TemporaryDirectory(prefix="furrow-") as folder:
        weights, output = Path(folder, "weights.npz"), Path(folder, "bake")
        values = np.random.default_rng(0).random((frames, len(EXPRESSIONS)), np.float32)
        write_weights(weights, Weights(values, FPS))
        arguments = ["bake", str(weights), "--output", str(output), "--engine", engine]
        begin = time.perf_counter()
        status = launch([*arguments, "--resolution", str(resolution)], quiet=True)
        seconds = time.perf_counter() - begin
        count = len(list(output.glob("detail/*.exr")))
    if status or count != frames:
        raise FurrowError(f"A bake on {engine} failed; furrow bake says why.", "internal")
    return seconds
