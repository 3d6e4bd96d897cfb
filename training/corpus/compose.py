"""One person's skin: displacement maps of any expression, by explicit furrows and relief."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.errors import FurrowError
from ...backend.expressions import EXPRESSIONS
from ...backend.identity import Identity, check
from . import layout_fine, muscles, relief
from .chart import chart
from .furrows import carve, rasterise
from .habit import Habit
from .layout_lower import lower
from .layout_upper import upper
from .strain import strain


class Skin:
    """The skin of one identity at one resolution.

    Set-up lays the furrows out and rasterises them; a map then only scales their depths. Maps are
    smooth in the skin coefficients and the expression; the shape coefficients do not enter, since
    the tile belongs to the skin and not to the bones under it.

    Parameters
    ----------
    head
        `backend.head.Head`; its average's chart is computed once per resolution and kept.
    identity
        Whose skin; its `detail_seed` decides :meth:`relief` alone.
    resolution
        Texels along each side of the tile, 64 to 4096.

    Raises
    ------
    FurrowError
        For an identity of another head model or with values that are no numbers or out of range,
        and for a mesh without UV layout or skin.
    """

    def __init__(self, head: Any, identity: Identity, resolution: int) -> None:
        self.identity = check(identity, head.shape_count)
        self.chart = chart(head, resolution)
        self.habit = Habit(identity.skin)
        self.furrows = rasterise(
            upper(self.chart, self.habit) + lower(self.chart, self.habit), self.chart, strain(head)
        )
        self._fine = layout_fine.of(layout_fine.fine(head, resolution), self.habit)
        self._broad = relief.broad(head, resolution, self.habit)
        self._cobbles = relief.cobbles(head, resolution, self.habit)
        middle = np.zeros(1)
        self._chin_pull = muscles.pull("chin", middle)[0] ** 2
        self._relief: np.ndarray | None = None

    def map(self, expression: np.ndarray, relief: bool = True) -> np.ndarray:
        """Return displacement (R, R) float32, millimetres outward, row 0 at v = 1.

        Parameters
        ----------
        expression
            (52,) ARKit weights in [0, 1].
        relief
            Whether to add :meth:`relief`; without it the map follows from (a, b) alone.
        """
        weights = check_expression(expression)
        texels = carve(
            [
                (self.furrows, self.furrows.depths(weights)),
                (self._fine, self._fine.depths(weights)),
            ]
        )
        texels += self._broad + self._cobbles * self._mentalis(weights)
        if relief:
            texels += self._seeded()
        return self.chart.image(texels * self.chart.weight)

    def relief(self) -> np.ndarray:
        """Return the part of every map that follows the detail seed, (R, R) float32 mm."""
        return self.chart.image(self._seeded() * self.chart.weight)

    def _mentalis(self, weights: np.ndarray) -> np.float32:
        activation = min(float(np.sqrt(self._chin_pull @ (weights * weights))), 1.0)
        return np.float32(muscles.excitation(np.array(activation), np.array(0.15)))

    def _seeded(self) -> np.ndarray:
        if self._relief is None:
            self._relief = relief.seeded(self.chart, self.habit, self.identity.detail_seed)
        return self._relief


def check_expression(expression: np.ndarray) -> np.ndarray:
    """Return the weights as float32 (52,); raises FurrowError if they are not 52 numbers in [0, 1]."""
    weights = np.asarray(expression, np.float32)
    if weights.shape != (len(EXPRESSIONS),):
        raise FurrowError(
            f"An expression has {len(EXPRESSIONS)} weights, this one has {weights.size}."
        )
    if not np.isfinite(weights).all():
        raise FurrowError("The expression holds weights that are not numbers.")
    if weights.min() < -1e-6 or weights.max() > 1 + 1e-6:
        raise FurrowError("The expression has weights outside 0 to 1.")
    return weights
