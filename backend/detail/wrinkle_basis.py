"""A basis of wrinkle maps for one person, for heads that play without the networks.

    map(b) = exact(neutral) + sum_k c_k(b) B_k

The generator's local bases are linear in W+ (`live`), so each B_k is the mixture's answer to one
direction of W+; the directions are the principal components of what the maps of many expressions
do, and each c_k is a sum of hinges of the 52 weights (`hinges`). Together that is a reduced-rank
regression in the metric of the maps. What the relief adds to the expression is left
out: see docs/portable.md for how much that is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import FurrowError
from ..formats.identity import Identity
from ..head.bilinear import Head
from ..system import memory
from . import hinges, wrinkle_samples
from .detail_model import DetailModel, check_resolution, resample
from .hinges import Hinges
from .map_error import Error, error_of, skin_texels

COMPONENTS = (4, 8, 16, 32)
"""K that may be asked for."""

DEFAULT = 16
"""Twice as many lower the error by a twentieth (docs/portable.md)."""

CORRECTIVES = 256
"""Hinges beside the 52 weights; twice as many gain 1 %, half as many lose 20 %."""

HELD_OUT = 8
"""Exact maps of each kind of expression that a basis is compared with: a second of each."""

_COARSE = 256
"""Texels a side of the maps in which similarity is measured."""

_DIRECTIONS = 224
"""Directions of W+ that are kept for the fit; they hold all but 1e-5 of what samples differ by."""

_CALM_MM = 0.01
"""RMS of a map's change below which errors weigh the same; above, they weigh in proportion."""

Progress = Callable[[float, str], None]


def _silent(_share: float, _text: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, eq=False)
class WrinkleBasis:
    """What a portable head plays.

    Attributes
    ----------
    maps
        float32 (1 + K, R, R) mm: the neutral map, then the components.
    hinges
        F of them.
    coefficients
        float32 (F, K): c = hinges.values(b) @ coefficients.
    errors
        By kind of expression (`wrinkle_samples.held_out`), on expressions that were not fitted to.
    """

    maps: np.ndarray
    hinges: Hinges
    coefficients: np.ndarray
    errors: dict[str, Error]

    def weights(self, expressions: np.ndarray) -> np.ndarray:
        """Return c, float32 (N, K), of expressions (N, 52)."""
        return self.hinges.values(expressions) @ self.coefficients

    def message(self) -> dict[str, Any]:
        """All but the maps, for a message of the backend."""
        return {
            "first": self.hinges.first.tolist(),
            "second": self.hinges.second.tolist(),
            "threshold": self.hinges.threshold.tolist(),
            "coefficients": self.coefficients.tolist(),
            "errors": {kind: asdict(error) for kind, error in self.errors.items()},
        }

    def map(self, expression: np.ndarray) -> np.ndarray:
        """Return the map (R, R) mm of an expression (52,)."""
        weights = self.weights(expression[None])[0]
        return self.maps[0] + np.tensordot(weights, self.maps[1:], 1)


@dataclass(frozen=True, eq=False)
class Source:
    """Who is fitted, and the networks; `guard` is held around each use of them.

    Attributes
    ----------
    relief
        Whose pores to take, if another's.
    """

    model: DetailModel
    identity: Identity
    relief: Identity | None = None
    guard: AbstractContextManager[object] = field(default_factory=contextlib.nullcontext)

    def styles(self, expression: np.ndarray) -> np.ndarray:
        """W+ (num_ws, 512) of an expression."""
        with self.guard:
            return self.model.w_plus(self.identity, expression)

    def mixture(self, w: np.ndarray) -> np.ndarray:
        """The linear part (R, R) mm of styles; of networks without one, the map without pores."""
        engine, size = self.model.engine, self.model.resolution
        nothing = np.zeros((size, size), np.float32)
        compute = engine.mixture if engine.has_mixture else engine.synthesise
        with self.guard:
            return compute(np.ascontiguousarray(w, np.float32), nothing)

    def exact(self, expression: np.ndarray, resolution: int) -> np.ndarray:
        """The exact map (resolution, resolution) mm of an expression."""
        with self.guard:
            return self.model.map(self.identity, expression, resolution, relief=self.relief)


def fit(
    source: Source,
    resolution: int,
    components: int = DEFAULT,
    correctives: int = CORRECTIVES,
    progress: Progress = _silent,
) -> WrinkleBasis:
    """Fit a basis to a person; the same numbers for the same person and networks.

    Parameters
    ----------
    resolution
        R of its maps: 256, 512 or 1024.
    components
        K, one of :data:`COMPONENTS`; networks with fewer degrees of freedom give fewer.
    correctives
        Hinges beside the 52 weights, 0 or more.
    progress
        Told the share that is done and what is being done; may raise to end the work.

    Raises
    ------
    FurrowError
        For another resolution or K, or if memory does not suffice; and as :class:`Regression`.
    """
    check_resolution(resolution)
    if components not in COMPONENTS:
        choices = ", ".join(map(str, COMPONENTS))
        raise FurrowError(f"A basis has {choices} components, not {components}.")
    memory.require(
        _bytes(source.model.resolution, resolution, components),
        "A basis of wrinkles",
        "Close other programs, or choose a lower resolution or fewer components.",
    )
    regression = Regression(source, progress)
    features = regression.choose(correctives, progress)
    basis = regression.basis(features, resolution, components, progress)
    return replace(basis, errors=held_out_errors(source, basis, progress))


def _bytes(own: int, resolution: int, components: int) -> int:
    """About what a fit takes at its height: samples, candidate hinges, maps."""
    samples = len(hinges.candidates()) * 4 * (wrinkle_samples.MIXTURES + wrinkle_samples.SPARSE)
    maps = 4 * (_DIRECTIONS * _COARSE**2 + 2 * (1 + components) * resolution**2 + 16 * own**2)
    return 2 * samples + maps


def _styles_of_bases(source: Source, neutral: np.ndarray) -> list[int]:
    """The styles of W+ that the linear part depends on."""
    still, read = source.mixture(neutral), []
    for style in range(len(neutral)):
        w = neutral.copy()
        w[style] += 1.0
        if not np.array_equal(source.mixture(w), still):
            read.append(style)
    if not read:
        raise FurrowError(
            "These detail networks have no linear part, which a portable head is made of; "
            "use those that come with Furrow.",
            "missing_model",
        )
    return read


class Regression:
    """What expressions do to a person's maps, measured once; bases of any size follow from it.

    Raises
    ------
    FurrowError
        If these networks have no linear part; and as :meth:`.detail.DetailModel.map`.
    """

    def __init__(self, source: Source, progress: Progress = _silent) -> None:
        self._source = source
        self._samples = wrinkle_samples.to_fit()
        self._neutral = source.styles(self._samples[0])
        self._read = _styles_of_bases(source, self._neutral)
        moves = self._moves(progress)
        to_metric, self._from_metric = self._metric(moves, progress)
        self._targets = moves @ to_metric
        importance = 1 / np.hypot(_CALM_MM, np.linalg.norm(self._targets, axis=1))
        self._importance = importance / importance.mean()

    def choose(self, correctives: int, progress: Progress = _silent) -> Hinges:
        """The 52 weights, and as many hinges beside them as `correctives`."""

        def step(share: float) -> None:
            progress(0.5 + 0.2 * share, "Choosing correctives")

        others = hinges.choose(self._samples, self._targets, self._importance, correctives, step)
        return hinges.weights().followed_by(others)

    def basis(
        self, features: Hinges, resolution: int, components: int, progress: Progress = _silent
    ) -> WrinkleBasis:
        """The basis of K components, without its errors: reduced-rank regression on hinges.

        Its maps are rounded to what half floats hold (1 part in 2000): a file that packs them is
        half as large.
        """
        values = features.values(self._samples)
        weighted = values * self._importance[:, None]
        solved = hinges.solve(weighted, self._targets * self._importance[:, None])
        fitted = weighted @ solved
        _, vectors = np.linalg.eigh(fitted.T @ fitted)
        images = vectors[:, : -1 - components : -1].T
        coefficients = solved @ images.T
        largest = np.maximum(np.abs(values @ coefficients).max(0), 1e-12)  # c_k reach 1
        moves = (images * largest[:, None]) @ self._from_metric
        maps = np.empty((1 + len(moves), resolution, resolution), np.float16)
        maps[0] = self._source.exact(self._samples[0], resolution)
        still = self._source.mixture(self._neutral)
        for i, move in enumerate(moves):
            progress(0.7 + 0.1 * i / len(moves), "Making the maps")
            maps[1 + i] = resample(self._source.mixture(self._after(move)) - still, resolution)
        scaled = (coefficients / largest).astype(np.float32)
        return WrinkleBasis(maps.astype(np.float32), features, scaled, {})

    def _moves(self, progress: Progress) -> np.ndarray:
        """How far samples move the styles that are read from neutral: float32 (N, S x 512)."""
        neutral = self._neutral[self._read]
        moves = np.empty((len(self._samples), neutral.size), np.float32)
        for i, expression in enumerate(self._samples):
            moves[i] = (self._source.styles(expression)[self._read] - neutral).ravel()
            if i % 100 == 0:
                progress(0.2 * i / len(self._samples), "Reading expressions")
        return moves

    def _metric(self, moves: np.ndarray, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        """Matrices (S x 512, Q) and (Q, S x 512) between moves and coordinates of what they do.

        The square of a coordinate vector's length is the mean square of the map's change, mm^2.
        """
        values, vectors = np.linalg.eigh((moves.T @ moves).astype(np.float64) / len(moves))
        largest = slice(-1, -1 - min(_DIRECTIONS, len(values)), -1)
        deviation = np.sqrt(np.maximum(values[largest], 1e-12 * values[-1]))
        vectors = vectors[:, largest]
        steps = vectors.T * deviation[:, None]
        still = resample(self._source.mixture(self._neutral), _COARSE)
        images = np.empty((len(steps), still.size), np.float32)
        for i, step in enumerate(steps):
            image = resample(self._source.mixture(self._after(step)), _COARSE)
            images[i] = (image - still).ravel()
            progress(0.2 + 0.3 * i / len(steps), "Comparing maps")
        values, axes = np.linalg.eigh((images @ images.T).astype(np.float64) / still.size)
        real = values > 1e-7 * values[-1]
        size, axes = np.sqrt(values[real]), axes[:, real]
        return (vectors / deviation) @ (axes * size), (axes / size).T @ steps

    def _after(self, move: np.ndarray) -> np.ndarray:
        """W+ after a move of the styles that the linear part reads."""
        w = self._neutral.copy()
        w[self._read] += move.reshape(len(self._read), -1).astype(np.float32)
        return w


def held_out_errors(
    source: Source, basis: WrinkleBasis, progress: Progress = _silent
) -> dict[str, Error]:
    """Compare a basis with exact maps of expressions that it was not fitted to, by their kind."""
    resolution = basis.maps.shape[1]
    skin = skin_texels(Head.load(), resolution)
    errors, count = {}, 0
    expressions = wrinkle_samples.held_out(HELD_OUT)
    for kind, rows in expressions.items():
        differences = []
        for expression in rows:
            progress(0.8 + 0.2 * count / (HELD_OUT * len(expressions)), "Comparing with exact maps")
            exact = source.exact(expression, resolution)
            differences.append(np.abs(basis.map(expression) - exact)[skin])
            count += 1
        errors[kind] = error_of(np.stack(differences))
    return errors
