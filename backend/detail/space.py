"""Moving in W+, the generator's space of styles: directions, truncation, mixing, random people.

W+ is (num_ws, 512), coarse styles first; w_avg, its mean over people and expressions, lies in the
encoder's weights.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import FurrowError
from ..formats.identity import ADJUSTMENTS
from ..formats.tensors import damaged, read_tensors
from .engines.engines import Engine, load_mapping
from .engines.network_files import DIRECTIONS, MAPPING

Z_SIZE = 512
"""Numbers of z, which the mapping network turns into W+."""

TRUNCATION_LIMIT = 1.5
"""Largest psi; beyond it the generator has seen nothing like the styles it is given."""


class Space:
    """W+ of one generator; what a request needs is read from `folder` when it is first needed.

    Parameters
    ----------
    engine
        The networks, whose styles these are.
    folder
        Where they came from: holds ``directions.safetensors`` (for each detail adjustment a vector
        (num_ws, 512) of its name, and where its step grows with W+ a gain (num_ws,), NAME_gain),
        ``encoder.safetensors`` (for w_avg) and ``mapping.onnx``.

    Attributes
    ----------
    relief_layer
        The style that decides pores and other relief: the last.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.num_ws = engine.num_ws
        self.relief_layer = engine.num_ws - 1
        self._folder = folder

    def adjusted(self, w: np.ndarray, adjustments: np.ndarray) -> np.ndarray:
        """Return w + the sum of value x (vector + gain w) for `adjustments` (4,), each in [-1, 1].

        Raises
        ------
        FurrowError
            With code ``missing_model`` if one is not 0 and the directions are missing or damaged.
        """
        if not adjustments.any():
            return w
        vectors, gains = self._directions
        return w + np.tensordot(adjustments, vectors, 1) + (adjustments @ gains)[:, None] * w

    def truncated(self, w: np.ndarray, psi: float) -> np.ndarray:
        """Return w_avg + psi (w - w_avg): psi 0 is the mean face, 1 leaves W+ as it is.

        Raises
        ------
        FurrowError
            If psi is outside 0 to 1.5, or the file of w_avg is missing or damaged.
        """
        if not 0 <= psi <= TRUNCATION_LIMIT:  # true for NaN too
            raise FurrowError(f"The truncation {psi:g} is outside 0 to {TRUNCATION_LIMIT:g}.")
        if psi == 1:
            return w
        return self._w_avg + np.float32(psi) * (w - self._w_avg)

    def mixed(self, w: np.ndarray, other: np.ndarray, layer: int) -> np.ndarray:
        """Return W+ whose styles from `layer` on (0 to num_ws) are those of `other`; raises FurrowError."""
        if not 0 <= layer <= self.num_ws:
            raise FurrowError(f"There is no style layer {layer}; there are 0 to {self.num_ws}.")
        return np.concatenate([w[:layer], other[layer:]])

    def random(self, seed: int) -> np.ndarray:
        """Return W+ (num_ws, 512) of the random person with this seed; raises FurrowError."""
        # RandomState, since NumPy promises its stream for ever.
        z = np.random.RandomState(seed).standard_normal(Z_SIZE).astype(np.float32)
        w = self._mapping(z)
        if not np.isfinite(w).all():
            raise damaged(self._folder / MAPPING, "it makes values that are not numbers")
        return w

    @functools.cached_property
    def _directions(self) -> tuple[np.ndarray, np.ndarray]:
        """Vectors (4, num_ws, 512) and gains (4, num_ws), in the order of ADJUSTMENTS."""
        path = self._folder / DIRECTIONS
        if not path.is_file():
            raise FurrowError(
                f"{', '.join(ADJUSTMENTS)} need the file {path}, which is missing. "
                "Set them to 0, or install Furrow again.",
                "missing_model",
            )
        tensors = read_tensors(path)
        none = np.zeros(self.num_ws, np.float32)
        vectors, gains = [], []
        for name in ADJUSTMENTS:
            vectors.append(self._fitting(path, name, tensors.get(name), self.num_ws, 512))
            gain = f"{name}_gain"
            gains.append(self._fitting(path, gain, tensors.get(gain, none), self.num_ws))
        return np.stack(vectors), np.stack(gains)

    @functools.cached_property
    def _w_avg(self) -> np.ndarray:
        path = self._folder / "encoder.safetensors"
        w_avg = read_tensors(path, ("w_avg",))["w_avg"]
        return self._fitting(path, "w_avg", w_avg, self.num_ws, 512)

    @functools.cached_property
    def _mapping(self) -> Callable[[np.ndarray], np.ndarray]:
        return load_mapping(self._folder / MAPPING, Z_SIZE, self.num_ws)

    @staticmethod
    def _fitting(path: Path, name: str, tensor: np.ndarray | None, *shape: int) -> np.ndarray:
        if tensor is None:
            raise damaged(path, f"it holds no {name}")
        if tensor.shape != shape:
            has, needs = (" x ".join(map(str, sizes)) for sizes in (tensor.shape, shape))
            raise damaged(path, f"{name} is {has}, this generator needs {needs}")
        return tensor
