"""Maps while a slider moves: the networks' linear part, and the rest of the last exact map.

The generator that ships is a linear mixture of local bases and relief (`torch_networks`). The
mixture holds nearly all that an expression does, and costs a small part of the exact map; the rest,
pores above all, hardly moves with the expression. So a slider's map is

    mixture(W+) + rest,    rest = exact(W+') - mixture(W+'),

with W+' the styles of the last exact map that the same head was given.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from .detail_model import resample
from .engines.engines import Engine

_KEPT = 8
"""Heads whose rest is remembered: 4 MiB each at 1024 texels."""


class LiveMaps:
    """The rests of the last exact maps, by head. To be used by one thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        size = (engine.resolution, engine.resolution)
        self._map = np.empty(size, np.float32)  # fresh memory for each would cost a millisecond
        self._nothing = np.zeros(size, np.float32)
        self._rests: OrderedDict[str, np.ndarray] = OrderedDict()

    def settle(self, head: str, w: np.ndarray, map_mm: np.ndarray) -> None:
        """Remember what an exact map (R, R) of a head, of styles w (num_ws, 512), has besides w's mixture."""
        self._rests[head] = map_mm - self._engine.mixture(w, self._nothing, self._map)
        self._rests.move_to_end(head)
        while len(self._rests) > _KEPT:
            self._rests.popitem(last=False)

    def map(self, head: str, w: np.ndarray, resolution: int) -> np.ndarray | None:
        """Return the map of styles w, or None before a head's first exact map.

        Returns
        -------
        ndarray
            (resolution, resolution) float32 millimetres; holds until the next call of either method.
        """
        rest = self._rests.get(head)
        if rest is None:
            return None
        self._rests.move_to_end(head)
        return resample(self._engine.mixture(w, rest, self._map), resolution)
