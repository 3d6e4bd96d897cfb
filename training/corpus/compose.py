"""One person's skin: displacement maps of any expression, by explicit furrows and relief."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backend.formats.expressions import check_expression
from ...backend.formats.identity import Identity, check
from . import blemishes, muscles, relief
from .chart import chart
from .furrows import Furrows, carve, rasterise
from .habit import Habit
from .layout import fine
from .layout.face import furrows_of
from .strain import strain


@dataclass(frozen=True)
class Layers:
    """What the maps of one identity are summed from: the formula, for arrays or for tensors.

    Attributes
    ----------
    furrows
        The identity's own, and the fine creases.
    broad
        (N,) mm, relief that follows the skin coefficients, by texel of the skin.
    cobbles
        (N,) mm, the chin's dimples at full contraction of mentalis.
    mentalis
        (52, 1) squared gains of the expressions on that muscle.
    weight
        (N,) in [0, 1], where displacement is allowed.
    nearest
        (R * R,) the skin texel that each texel of the tile shows.
    """

    furrows: tuple[Furrows, ...]
    broad: np.ndarray
    cobbles: np.ndarray
    mentalis: np.ndarray
    weight: np.ndarray
    nearest: np.ndarray

    def maps(self, weights: np.ndarray, seeded: np.ndarray | None) -> np.ndarray:
        """Return displacement (..., R * R) float32 mm of weights (..., 52), with the seeded relief (N,) or without."""
        displacement = carve([(part, part.depths(weights)) for part in self.furrows])
        activation = (((weights * weights) @ self.mentalis) ** 0.5).clip(None, 1.0)
        contraction = muscles.excitation(activation, 0.15)
        displacement = displacement + (self.broad + contraction * self.cobbles)
        if seeded is not None:
            displacement = displacement + seeded
        return (displacement * self.weight)[..., self.nearest]


class Skin:
    """The skin of one identity at one resolution.

    Set-up places the furrows and rasterises them; a map then only scales their depths. Maps are
    smooth in the skin coefficients and the expression; the shape coefficients do not enter, since
    the tile belongs to the skin and not to the bones under it.

    Parameters
    ----------
    head
        `backend.head.bilinear.Head`; its average's chart is computed once per resolution and kept.
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
            furrows_of(self.chart.marks, self.habit) + blemishes.scars(self.habit),
            self.chart,
            strain(head),
        )
        self.layers = Layers(
            furrows=(self.furrows, fine.of(fine.fine(head, resolution), self.habit)),
            broad=relief.broad(head, resolution, self.habit)
            + blemishes.moles(self.chart, self.habit),
            cobbles=relief.cobbles(head, resolution, self.habit),
            mentalis=muscles.pull("chin", np.zeros(1)).T ** 2,
            weight=self.chart.weight,
            nearest=self.chart.nearest,
        )
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
        flat = self.layers.maps(check_expression(expression), self.seeded() if relief else None)
        return flat.reshape(self.chart.resolution, self.chart.resolution)

    def relief(self) -> np.ndarray:
        """Return the part of every map that follows the detail seed, (R, R) float32 mm."""
        return self.chart.image(self.seeded() * self.chart.weight)

    def seeded(self) -> np.ndarray:
        """Return the relief of the detail seed by texel of the skin, (N,) float32 mm; computed once."""
        if self._relief is None:
            self._relief = relief.seeded(self.chart, self.habit, self.identity.detail_seed)
        return self._relief
