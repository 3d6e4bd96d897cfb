"""Work timed in turns, and figures of times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..backend.formats.figures import Figure
from ..backend.system.stopwatch import timed

_ENOUGH = 20
"""Of fewer values the 95th percentile is the largest: chance."""


@dataclass
class Contender:
    """Something to be timed beside others.

    Attributes
    ----------
    name
        Of its figures, as exact_1024_ort.
    work
        What is timed; gets the number of the call, so that it can take other input each time.
    runs
        How often, in each round.
    seconds
        What was measured.
    """

    name: str
    work: Callable[[int], object]
    runs: int
    seconds: list[float] = field(default_factory=list)


def race(contenders: Sequence[Contender], rounds: int) -> None:
    """Time contenders in turns, so that what else the machine does meets all of them alike.

    Each begins its turn with a call that is not counted, for caches are full of the one before; one
    that runs once a round, since it takes seconds, does so in the first alone.
    """
    for turn in range(rounds):
        for contender in contenders:
            first = turn * (contender.runs + 1)
            if turn == 0 or contender.runs > 1:
                contender.work(first)
            contender.seconds += timed(contender.work, contender.runs, first + 1)


def latency(name: str, seconds: Sequence[float]) -> list[Figure]:
    """``NAME_ms``, the median; ``NAME_min_ms``; of at least 20 ``NAME_p95_ms``: 95 of 100 took no longer."""
    p50, p95 = 1000 * np.quantile(seconds, (0.5, 0.95))
    tail = [Figure(f"{name}_p95_ms", p95, "ms")] if len(seconds) >= _ENOUGH else []
    least = Figure(f"{name}_min_ms", 1000 * min(seconds), "ms")
    return [Figure(f"{name}_ms", p50, "ms"), *tail, least]


def rate(name: str, seconds: Sequence[float]) -> Figure:
    """``NAME_maps_s``: maps a second, one after the other."""
    return Figure(f"{name}_maps_s", len(seconds) / sum(seconds), "maps/s")


def peak_bytes(pid: int | str = "self") -> int | None:
    """The most memory that a process has held; None for other processes where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        if pid != "self":
            return None
    try:
        import resource
    except ImportError:  # Windows
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes, others KiB
