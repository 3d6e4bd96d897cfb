"""Many expressions of one identity at once on a device of PyTorch: the formula of `compose`, with tensors."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse

from ...backend.formats.expressions import check_expression
from .compose import Skin

PER_CHUNK = 1 << 25
"""Texels that are worked on at once: 32 maps at 1024, 2 at 4096; a handful of arrays of this size."""


class BatchSkin:
    """The layers of a :class:`compose.Skin` on a device.

    Parameters
    ----------
    skin
        Its matrices are copied; the identity's set-up itself stays on the processor.
    device
        A tensor's: :func:`machine.device`.
    """

    def __init__(self, skin: Skin, device: torch.device) -> None:
        self._resolution = skin.chart.resolution
        self._device = device
        self._layers = _to_device(skin.layers, device)
        self._seeded = _to_device(skin.seeded(), device)

    def maps(self, expressions: Sequence[np.ndarray], relief: bool = True) -> Iterator[np.ndarray]:
        """Yield displacement (R, R) float32 mm of each of the weights (n, 52) in [0, 1].

        They differ from `Skin.map` by rounding: less than 1e-5 mm.

        Raises
        ------
        FurrowError
            For weights that are no numbers in [0, 1].
        """
        weights = np.stack([check_expression(expression) for expression in expressions])
        size = self._resolution
        step = max(PER_CHUNK // size**2, 1)
        for start in range(0, len(weights), step):
            chunk = torch.as_tensor(weights[start : start + step], device=self._device)
            flat = self._layers.maps(chunk, self._seeded if relief else None)
            yield from flat.cpu().numpy().reshape(-1, size, size)


def _to_device(value: Any, device: torch.device) -> Any:
    """Return arrays, sparse matrices, and tuples and dataclasses of them, as tensors on a device."""
    if sparse.issparse(value):
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "Sparse"
            )  # "is in beta", "invariants are not checked"
            return torch.sparse_csr_tensor(
                torch.from_numpy(value.indptr),
                torch.from_numpy(value.indices),
                torch.from_numpy(value.data),
                size=value.shape,
                device=device,
            )
    if isinstance(value, np.ndarray):
        return torch.as_tensor(value, device=device)
    if isinstance(value, tuple):
        return tuple(_to_device(part, device) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **{k: _to_device(v, device) for k, v in fields.items()})
    return value
