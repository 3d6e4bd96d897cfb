"""Identity and expression to a displacement map: W+ = w_avg + E(a, b), adjusted, then the generator."""

from __future__ import annotations

import functools
from collections import OrderedDict
from pathlib import Path

import numpy as np

from ..errors import FurrowError
from ..formats.expressions import check_expression
from ..formats.identity import SKIN, Identity, check
from ..formats.maps import RESOLUTIONS
from ..system.interrupt import Interrupt
from .engines.engines import DETAIL, Engine
from .space import Space

_KEPT_W = 512
_KEPT_MAPS = 16
_KEPT_NOISE = 4


class DetailModel:
    """Makes maps, and remembers the last W+, noise and maps. To be used by one thread at a time.

    Parameters
    ----------
    engine
        The networks, as :func:`.engines.load` returns them.
    folder
        Where they were loaded from; see :class:`.space.Space`.

    Attributes
    ----------
    space
        Moves W+: directions, truncation, mixing, random people.
    resolution
        R of the network; other sizes are resampled from it.
    shape_count
        K of the identities it takes.
    """

    def __init__(self, engine: Engine, folder: Path = DETAIL) -> None:
        self.engine = engine
        self.space = Space(engine, folder)
        self.resolution = engine.resolution
        self.shape_count = engine.identity_size - len(SKIN)
        self._w = functools.lru_cache(_KEPT_W)(self._encode)
        self._noise = functools.lru_cache(_KEPT_NOISE)(self._make_noise)
        self._maps: OrderedDict[tuple[bytes, int, bool], np.ndarray] = OrderedDict()

    def map(
        self,
        identity: Identity,
        expression: np.ndarray,
        resolution: int,
        preview: bool = False,
        interrupt: Interrupt | None = None,
        relief: Identity | None = None,
    ) -> np.ndarray:
        """Return the displacement map.

        Parameters
        ----------
        identity
            With `shape_count` shape components.
        expression
            (52,) weights in [0, 1].
        resolution
            256, 512, 1024 or the network's own.
        preview
            Allow an engine's faster, less exact way (about 1 % off), where it has one.
        interrupt
            Ends the generator's work at once when it is set.
        relief
            As in :meth:`w_plus`.

        Returns
        -------
        ndarray
            (resolution, resolution) float32 millimetres; not to be written to.

        Raises
        ------
        FurrowError
            For an identity of another head, a weight out of range, another resolution; with code
            ``missing_model`` for adjustments without directions; or with code ``cancelled``.
        """
        self._check_resolution(resolution)
        code = self.w_plus(identity, expression, relief)
        return self.synthesise(code, identity.detail_seed, resolution, preview, interrupt)

    def w_plus(
        self, identity: Identity, expression: np.ndarray, relief: Identity | None = None
    ) -> np.ndarray:
        """Return W+ (num_ws, 512) of an identity, its adjustments included, and an expression.

        `relief` is whose pores and other relief to take, if not the identity's own; the seed that
        decides where they are stays the identity's.

        Raises
        ------
        FurrowError
            As :meth:`map`.
        """
        check(identity, self.shape_count)
        code = self._w(identity.vector.tobytes(), check_expression(expression).tobytes())
        code = self.space.adjusted(code, identity.adjustments)
        if relief is None:
            return code
        return self.space.mixed(code, self.w_plus(relief, expression), self.space.relief_layer)

    def synthesise(
        self,
        w: np.ndarray,
        detail_seed: int,
        resolution: int,
        preview: bool = False,
        interrupt: Interrupt | None = None,
    ) -> np.ndarray:
        """Return the map of styles w (num_ws, 512) and a seed; else as :meth:`map`."""
        self._check_resolution(resolution)
        key = (
            np.asarray(w, np.float32).tobytes(),
            detail_seed,
            preview and self.engine.has_preview,
        )
        map_mm = self._maps.get(key)
        if map_mm is None:
            map_mm = self._synthesise(*key, interrupt)
            self._maps[key] = map_mm
            while len(self._maps) > _KEPT_MAPS:
                self._maps.popitem(last=False)
        return resample(map_mm, resolution)

    def synthesise_batch(
        self,
        ws: np.ndarray,
        detail_seed: int,
        resolution: int,
        interrupt: Interrupt | None = None,
    ) -> list[np.ndarray]:
        """Return the maps of several styles (N, num_ws, 512) of one seed; else as :meth:`map`.

        They are not remembered: a bake asks for each of its maps once.
        """
        self._check_resolution(resolution)
        maps = self.engine.synthesise_batch(ws, self._noise(detail_seed), interrupt)
        return [resample(_finite(map_mm), resolution) for map_mm in maps]

    def _check_resolution(self, resolution: int) -> None:
        if (
            resolution != self.resolution
        ):  # which may be a small one, of networks that are tried out
            check_resolution(resolution)

    def _encode(self, identity: bytes, expression: bytes) -> np.ndarray:
        return self.engine.encode(
            np.frombuffer(identity, np.float32), np.frombuffer(expression, np.float32)
        )

    def _make_noise(self, seed: int) -> np.ndarray:
        # RandomState, since NumPy promises its stream for ever: a farm must see the same pores.
        size = (self.resolution, self.resolution)
        return np.random.RandomState(seed).standard_normal(size).astype(np.float32)

    def _synthesise(
        self, w: bytes, seed: int, preview: bool, interrupt: Interrupt | None
    ) -> np.ndarray:
        code = np.frombuffer(w, np.float32).reshape(self.engine.num_ws, -1)
        map_mm = _finite(self.engine.synthesise(code, self._noise(seed), preview, interrupt))
        map_mm.setflags(write=False)  # it is remembered
        return map_mm


def _finite(map_mm: np.ndarray) -> np.ndarray:
    if not np.isfinite(map_mm).all():
        raise FurrowError("The network made values that are not numbers.", "internal")
    return map_mm


def check_resolution(resolution: int) -> None:
    """Raise FurrowError for a size that maps do not have."""
    if resolution not in RESOLUTIONS:
        raise FurrowError(f"Maps have 256, 512 or 1024 texels a side, not {resolution}.")


def resample(map_mm: np.ndarray, resolution: int) -> np.ndarray:
    """Return a square map (R, R) at another size: area means down, Catmull-Rom cubic up.

    Both sizes are powers of two. Down, the mean is kept; up, edges are held.
    """
    size = map_mm.shape[0]
    if resolution < size:
        step = size // resolution
        rows = map_mm.reshape(resolution, step, size).sum(1)
        # Sums of strided views: a reduction over so short an axis takes five times as long.
        means = functools.reduce(np.add, (rows[:, i::step] for i in range(step)))
        return means * np.float32(1 / step**2)
    while map_mm.shape[0] < resolution:
        map_mm = _doubled(_doubled(map_mm, 1), 0)
    return np.ascontiguousarray(map_mm)


def _doubled(values: np.ndarray, axis: int) -> np.ndarray:
    """Twice the rows or columns: new texel centres lie a quarter of a texel beside the old ones."""
    size = values.shape[axis]
    padded = np.pad(values, [(2, 2) if i == axis else (0, 0) for i in (0, 1)], mode="edge")
    after = np.zeros_like(values)
    before = np.zeros_like(values)
    term = np.empty_like(values)
    # Catmull-Rom weights at t = 1/4; the texels before see them mirrored.
    for i, weight in enumerate(np.array([-9, 111, 29, -3], np.float32) / 128):
        for total, first in ((after, 1 + i), (before, 3 - i)):
            taps = padded[first : first + size] if axis == 0 else padded[:, first : first + size]
            total += np.multiply(taps, weight, out=term)
    doubled = np.stack([before, after], axis + 1)
    return doubled.reshape([2 * n if i == axis else n for i, n in enumerate(values.shape)])
