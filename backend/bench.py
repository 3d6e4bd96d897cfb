"""`furrow bench`: what a tick, a map, a bake and a start cost on this machine.

Times are medians of several runs after a first that is not counted; expressions differ from run to
run, so that nothing is answered from a memory of earlier maps.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import blender, engines
from .detail import DetailModel
from .errors import FurrowError
from .expressions import EXPRESSIONS
from .figures import Figure
from .identity import Identity
from .protocol import decode, encode, receive
from .weights import Weights, write_weights

LAUNCHER = Path(__file__).resolve().parent / "launch.py"
RUNS = 9
STARTS = 3
BAKES = (6, 66)
"""Frames of two bakes; their difference leaves the start of Blender out."""

Progress = Callable[[float, str], None]


def measure(progress: Progress) -> list[Figure]:
    """Measure everything that this installation can do; takes about two minutes on two cores.

    Raises
    ------
    FurrowError
        If a part that ships is missing.
    """
    figures: list[Figure] = []
    parts = (_process, _engines, _blender, _bake)
    for number, part in enumerate(parts):
        progress(number / len(parts), part.__doc__ or "")
        figures += part()
    progress(1.0, "Done")
    return figures


def _process() -> list[Figure]:
    """Backend process"""
    starts = []
    for _ in range(STARTS):
        begin = time.perf_counter()
        with _backend():
            starts.append(time.perf_counter() - begin)
    with _backend() as ask:
        model = DetailModel(engines.load())  # for its sizes only
        person = Identity(np.zeros(model.shape_count, np.float32)).request()

        def tick(expression: np.ndarray) -> None:
            params = {
                "identity": person,
                "expression": expression.tolist(),
                "resolution": model.resolution,
                "layout": "blender",
                "preview": True,
            }
            receive(ask("map", params)["array"])

        milliseconds = _median_ms(tick)
        memory = ask("status", {})["memory_bytes"]
    return [
        Figure("backend_start_s", statistics.median(starts), "s"),
        Figure(f"tick_backend_{model.resolution}_ms", milliseconds, "ms"),
        Figure("backend_rss_mb", memory / 1e6, "MB"),
    ]


def _engines() -> list[Figure]:
    """Exact maps"""
    figures = []
    for engine in engines.available():
        if engine.reason is not None:
            continue
        model = DetailModel(engines.load(engine.kind))
        person = Identity(np.zeros(model.shape_count, np.float32))

        def exact(
            expression: np.ndarray, model: DetailModel = model, person: Identity = person
        ) -> None:
            model.map(person, expression, model.resolution)

        name = f"exact_{model.resolution}_{engine.kind}_ms"
        figures.append(Figure(name, _median_ms(exact), "ms"))
    return figures


def _blender() -> list[Figure]:
    """Start of the add-on, ten minutes of keys"""
    with tempfile.TemporaryDirectory(prefix="furrow-") as folder:
        path = Path(folder) / "measured.json"
        status = blender.run(None, ["measure", str(path)], quiet=True)
        if status or not path.exists():
            raise FurrowError("Blender could not be measured; see furrow doctor.", "internal")
        measured = json.loads(path.read_text())
    return [Figure(name, value, unit) for name, value, unit in measured]


def _bake() -> list[Figure]:
    """Bake"""
    resolution = 1024
    random = np.random.default_rng(0)
    seconds = []
    with tempfile.TemporaryDirectory(prefix="furrow-") as folder:
        for frames in BAKES:
            weights = Path(folder) / f"{frames}.npz"
            values = random.random((frames, len(EXPRESSIONS)), np.float32)
            write_weights(weights, Weights(values, 30.0))
            output = Path(folder) / f"bake-{frames}"
            arguments = ["bake", str(weights), "--output", str(output)]
            begin = time.perf_counter()
            if blender.run(None, [*arguments, "--resolution", str(resolution)], quiet=True):
                raise FurrowError("The bake failed; see furrow doctor.", "internal")
            seconds.append(time.perf_counter() - begin)
    fps = (BAKES[1] - BAKES[0]) / (seconds[1] - seconds[0])
    return [Figure(f"bake_{resolution}_fps", fps, "frames/s")]


def _median_ms(work: Callable[[np.ndarray], Any]) -> float:
    """Median time of `work`, called with other expressions each time."""
    random = np.random.default_rng(0)
    times = []
    for _ in range(RUNS + 1):
        expression = random.random(len(EXPRESSIONS), np.float32)
        begin = time.perf_counter()
        work(expression)
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times[1:])


@contextlib.contextmanager
def _backend() -> Iterator[Callable[[str, dict[str, Any]], dict[str, Any]]]:
    """Start the backend process, wait for ``ready``, yield a function that asks and waits."""
    with subprocess.Popen(
        [sys.executable, "-I", str(LAUNCHER)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        incoming = map(decode, process.stdout)
        numbers = iter(range(1, sys.maxsize))

        def send(message: dict[str, Any]) -> None:
            process.stdin.write(encode(message))  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]

        def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
            number = next(numbers)
            send({"id": number, "method": method, "params": params})
            for message in incoming:
                if message.get("id") != number or "progress" in message:
                    continue
                if "error" in message:
                    raise FurrowError(message["error"]["message"], message["error"]["code"])
                result = message["result"]
                if "array" in result:
                    sent.append(result["array"]["name"])
                    if len(sent) > 1:  # the one before has been copied by now
                        send({"release": sent.pop(0)})
                return result
            raise FurrowError("The backend process ended.", "backend_died")

        sent: list[str] = []
        if next(incoming, {}).get("event") != "ready":
            raise FurrowError(
                "The backend process does not start; see furrow doctor.", "backend_died"
            )
        yield ask
        process.stdin.close()
