"""Maps of a bake: files are written while the next maps are made, and memory stays bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from .files import sha256
from .maps import write_map


def write_maps(maps: Iterable[tuple[str | Path, np.ndarray]], threads: int) -> Iterator[str]:
    """Write maps as they come and yield the SHA-256 of each file, in their order.

    The next map is asked for while others are compressed, which needs neither Python nor the engine;
    besides that one at most `threads` maps are held.

    Parameters
    ----------
    maps
        Paths (.exr or .png) and maps (H, W) in millimetres; made on demand, in the caller's thread.
    threads
        That compress and write.

    Raises
    ------
    FurrowError
        What making a map raises, or as :func:`.maps.write_map`; maps before it are written.
    """
    under_way: deque[Future[str]] = deque()
    with ThreadPoolExecutor(threads, "map-writer") as pool:
        for path, map_mm in maps:
            under_way.append(pool.submit(_write, path, map_mm))
            del map_mm  # or the loop would hold one more while the next is made
            while under_way and (len(under_way) > threads or under_way[0].done()):
                yield under_way.popleft().result()
        for future in under_way:
            yield future.result()


def _write(path: str | Path, map_mm: np.ndarray) -> str:
    write_map(path, map_mm)
    return sha256(path)
