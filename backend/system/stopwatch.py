"""Times of repeated work."""

from __future__ import annotations

import time
from collections.abc import Callable


def timed(work: Callable[[int], object], runs: int, first: int = 0) -> list[float]:
    """Seconds of calls ``work(first)``, ``work(first + 1)``, ..."""
    seconds = []
    for number in range(first, first + runs):
        begin = time.perf_counter()
        work(number)
        seconds.append(time.perf_counter() - begin)
    return seconds
