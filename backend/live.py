"""Maps while a slider moves: the networks' linear part, and the rest of the last exact map.

A generator here is a linear mixture of local bases, convolutions and relief (`torch_networks`). The
mixture holds nearly all that an expression does, and costs a thirtieth of the exact map; the rest,
pores above all, hardly moves with the expression. So a slider's map is

    mixture(W+) + rest,    rest = exact(W+') - mixture(W+'),

with W+' the styles of the last exact map that the same head was given.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from .detail import resample
from .engines import Engine

_KEPT = 8
"""Heads whose rest is remembered: 4 MiB each at 1024 texels."""


class LiveMaps:
    """The rests of the last exact maps, by head. To be used by one thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        size = (engine.resolution, engine.resolution)
        self._map = np.empty(size, np.float32)  # fresh memory for each would cost a millisecond
        self._exact: OrderedDict[str, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._rests: dict[str, np.ndarray] = {}

    def settle(self, head: str, w: np.ndarray, map_mm: np.ndarray) -> None:
        """Remember the exact map (R, R) of a head, of styles w (num_ws, 512)."""
        self._exact[head] = (w, map_mm)
        self._exact.move_to_end(head)
        self._rests.pop(head, None)  # made anew when a slider moves
        while len(self._exact) > _KEPT:
            forgotten, _ = self._exact.popitem(last=False)
            self._rests.pop(forgotten, None)

    def map(self, head: str, w: np.ndarray, resolution: int) -> np.ndarray | None:
        """Return the map of styles w, or None before a head's first exact map.

        Returns
        -------
        ndarray
            (resolution, resolution) float32 millimetres; holds until the next call.
        """
        if head not in self._exact:
            return None
        self._exact.move_to_end(head)
        if head not in self._rests:
            exact_w, exact = self._exact[head]
            self._rests[head] = exact - self._engine.mixture(exact_w, np.zeros_like(exact))
        return resample(self._engine.mixture(w, self._rests[head], self._map), resolution)
