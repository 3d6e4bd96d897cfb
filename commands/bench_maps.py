"""What maps cost: each engine here, and beside it, in turns, what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..backend.detail.detail_model import DetailModel
from ..backend.detail.engines import engines
from ..backend.detail.engines.engine import Engine
from ..backend.formats.expressions import EXPRESSIONS
from ..backend.formats.figures import Figure
from ..backend.formats.identity import Identity
from ..backend.formats.maps import RESOLUTIONS
from . import timing
from .timing import Contender, latency, rate

ROUNDS = 6
COPIED = 64 << 20
"""Bytes of the array that is copied: more than a processor's cache holds."""

SIDE = 2048
"""Of the square matrices that are multiplied."""

FLOOR_RUNS = 2
"""A round."""

Rivals = Mapping[str, Callable[[], object]]
"""What is timed beside our maps, by the name of its figures; seconds each."""


def floors() -> list[Contender]:
    """What this machine can do at most: copying, and products of matrices in float32."""
    source = np.ones(COPIED // 4, np.float32)
    target = np.zeros_like(source)
    square = np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32)
    product = np.empty_like(square)
    return [
        Contender("floor_copy", lambda _: np.copyto(target, source), FLOOR_RUNS),
        Contender("floor_matmul", lambda _: np.matmul(square, square, out=product), FLOOR_RUNS),
    ]


def floor_rates(limits: Sequence[Contender]) -> list[Figure]:
    """Bytes read and written, and operations, a second: the best of what :func:`floors` took."""
    copying, multiplying = (min(contender.seconds) for contender in limits)
    return [
        Figure("floor_copy_gb_s", 2 * COPIED / copying / 1e9, "GB/s"),
        Figure("floor_matmul_gflop_s", 2 * SIDE**3 / multiplying / 1e9, "GFLOP/s"),
    ]


def maps(ours: Sequence[Contender], rivals: Rivals) -> list[Figure]:
    """Exact maps and mixtures of engines (:func:`contenders`), rivals, and what the machine can do."""
    contenders = [*ours, *(Contender(name, _any(work), 1) for name, work in rivals.items())]
    limits = floors()
    timing.race([*limits, *contenders], ROUNDS)
    figures = floor_rates(limits)
    for contender in contenders:
        figures += latency(contender.name, contender.seconds)
        figures.append(rate(contender.name, contender.seconds))
    return figures + speedup(figures)


def contenders(availability: engines.Availability, networks: Path, runs: int) -> list[Contender]:
    """Exact maps by resolution, and mixtures, of an engine.

    Parameters
    ----------
    networks
        Folder of the detail networks.
    runs
        Counted maps of each resolution.

    Raises
    ------
    FurrowError
        If the engine does not start.
    """
    runs = max(1, runs // ROUNDS)
    engine = engines.load(availability.kind, networks)
    model = DetailModel(engine, networks)
    sizes = [size for size in RESOLUTIONS if size <= model.resolution]
    if availability.kind == "torch" and availability.device == "CPU":
        runs, sizes = 1, sizes[-1:]  # takes a second, and is nobody's choice
    names = {"openvino": ("fp32", "fast"), "torch": ("torch", "torch_fast")}
    exact, fast = names.get(availability.kind, (availability.kind, ""))
    maps = [
        Contender(f"exact_{size}_{exact}", _exact(model, size, preview=False), runs)
        for size in sizes
    ]
    if engine.has_preview:
        name = f"exact_{model.resolution}_{fast}"
        maps.append(Contender(name, _exact(model, model.resolution, preview=True), runs))
    name = f"mixture_{model.resolution}_{availability.kind}"
    return [*maps, Contender(name, _mixture(engine, model), 10 * runs)]


def _exact(model: DetailModel, resolution: int, preview: bool) -> Callable[[int], object]:
    """Makes maps of one person and another expression each time: none is remembered."""
    person = Identity(np.zeros(model.shape_count, np.float32))

    def work(number: int) -> object:
        seed = (number, resolution, preview)
        return model.map(person, _expression(*seed), resolution, preview)

    return work


def _mixture(engine: Engine, model: DetailModel) -> Callable[[int], object]:
    person = Identity(np.zeros(model.shape_count, np.float32))
    ws = [model.w_plus(person, _expression(number)) for number in range(8)]
    rest, out = np.zeros((2, model.resolution, model.resolution), np.float32)
    return lambda number: engine.mixture(ws[number % len(ws)], rest, out)


def _any(work: Callable[[], object]) -> Callable[[int], object]:
    """Work that does the same each time."""
    return lambda _number: work()


def _expression(*seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(len(EXPRESSIONS), np.float32)


def speedup(figures: Sequence[Figure]) -> list[Figure]:
    """How many times as long the paper's generator takes, if both were measured."""
    by_name = {figure.name: figure.value for figure in figures}
    paper, ours = by_name.get("paper_1024_eager_ms"), by_name.get("exact_1024_ort_ms")
    if paper is None or ours is None:
        return []
    return [Figure("speedup_vs_paper", paper / ours, "x")]
