"""The learned constant images' start: principal components of the maps, and their coefficients.

Convolutions learn slowly on a CPU, principal components come at once. Each block's constant images
begin as the components of what the coarser blocks leave over, and the encoder begins as their
regression; joint training then moves both and adds what a linear basis cannot do.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...backend.torch_networks import Synthesis

GRAM_SAMPLES = 1500
"""Maps that the components are found on; the coefficients come from all of them."""


def batches(maps: np.ndarray, resolution: int, unit: float, size: int = 100) -> Iterator[Tensor]:
    """Maps (N, R, R) in mm, in units of `unit` mm and at a lower resolution: (n, 1, r, r) each."""
    for start in range(0, len(maps), size):
        chunk = torch.from_numpy(np.asarray(maps[start : start + size], np.float32))[:, None] / unit
        factor = chunk.shape[-1] // resolution
        yield F.avg_pool2d(chunk, factor) if factor > 1 else chunk


@torch.no_grad()
def fit_constants(
    synthesis: Synthesis, maps: np.ndarray, mask: np.ndarray, unit: float, first: int, last: int
) -> dict[int, Tensor]:
    """Set the constant images of the blocks at resolutions `first` to `last`; train nothing.

    Parameters
    ----------
    maps
        (N, R, R) mm, R >= `last`.
    mask
        (R, R), how much each texel counts.
    unit
        Millimetres of one unit of the network's raw output.

    Returns
    -------
    dict
        By resolution: coefficients (N, K) of every map on that block's constants, of unit
        variance; the block's style should yield them.
    """
    n = len(maps)
    coefficients: dict[int, Tensor] = {}
    chosen = np.sort(np.random.default_rng(0).choice(n, min(n, GRAM_SAMPLES), replace=False))
    resolution = first
    while resolution <= last:
        block = synthesis.blocks[int(np.log2(resolution)) - 3]
        weight = torch.from_numpy(mask)[None, None]
        weight = F.avg_pool2d(weight, mask.shape[0] // resolution).flatten()
        residual = _residual(synthesis, maps[chosen], coefficients, chosen, resolution, unit)
        gram = (residual * weight) @ residual.T
        values, vectors = torch.linalg.eigh(gram.double())
        count = block.const
        values, vectors = values.flip(0)[:count].clamp(min=1e-9), vectors.flip(1)[:, :count]
        # Scaled such that coefficients have unit mean square over the maps.
        images = (vectors.T.float() @ residual) / len(chosen) ** 0.5
        projector = (images * weight).T / (values.float() / len(chosen))
        found = []
        for start in range(0, n, 200):
            rows = np.arange(start, min(n, start + 200))
            part = _residual(synthesis, maps[rows], coefficients, rows, resolution, unit)
            found.append(part @ projector)
        block.noise_const.copy_(images.unflatten(1, (resolution, resolution)))
        coefficients[resolution] = torch.cat(found)
        resolution *= 2
    return coefficients


def _residual(
    synthesis: Synthesis,
    maps: np.ndarray,
    coefficients: dict[int, Tensor],
    rows: np.ndarray,
    resolution: int,
    unit: float,
) -> Tensor:
    """What the coarser blocks' constants leave of the maps: (n, r * r)."""
    target = torch.cat(list(batches(maps, resolution, unit)))
    image: Tensor | None = None
    for level, values in coefficients.items():
        block = synthesis.blocks[int(np.log2(level)) - 3]
        part = (values[rows] @ block.noise_const.flatten(1)).unflatten(1, (1, level, level))
        image = part if image is None else _double(image) + part
    return (target if image is None else target - _double(image)).flatten(1)


def _double(image: Tensor) -> Tensor:
    return F.interpolate(image, scale_factor=2.0, mode="bilinear")
