"""The convolutions' stage: what the bases cannot draw, on maps of people whom the encoder never saw.

On people whom the encoder knows its errors are small and of another kind than on unseen people;
convolutions that learn there help those people and harm all others. Blocks up to R / 4 see whole
maps, those at R / 2 and R see crops.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...backend.detail.engines.torch_networks import Encoder, Synthesis
from ..maps.data import Maps
from ..networks.losses import furrow_loss
from .bases import weights_of
from .loop import Stage

CROP = 256
BORDER = 8
"""Texels of a crop that do not count, where convolutions see its border."""

SHARES = (0.45, 0.4, 0.15)
"""How often a step is at R / 4, R / 2 and R."""


def convolutions(
    encoder: Encoder,
    synthesis: Synthesis,
    half: Maps,
    full: Maps,
    batch: int,
    rate: float,
    dtype: torch.dtype,
) -> Stage:
    """The stage; `half` holds maps at R / 2, `full` at R."""
    encoder.requires_grad_(False).eval()
    synthesis.requires_grad_(False).train()
    learned = [
        parameter
        for name, parameter in synthesis.named_parameters()
        if ".basis." not in name and not name.startswith("relief.")
    ]
    for parameter in learned:
        parameter.requires_grad_(True)
    optimiser = torch.optim.Adam(learned, lr=rate, betas=(0.9, 0.99), fused=True)
    resolution = synthesis.config.resolution
    unit = float(synthesis.scale)  # type: ignore[arg-type]

    def styles(maps: Maps, rows: np.ndarray) -> Tensor:
        with torch.no_grad():
            return encoder(
                torch.from_numpy(maps.identity[rows]), torch.from_numpy(maps.expression[rows])
            )

    def whole(maps: Maps, rows: np.ndarray) -> Tensor:
        images = np.stack([np.asarray(maps.map[r], np.float32) for r in rows])
        return torch.from_numpy(images)[:, None] / unit

    def coarse_step(rng: np.random.Generator) -> Tensor:
        rows = rng.integers(len(half.map), size=batch)
        target = F.avg_pool2d(whole(half, rows), 2)
        _, image = synthesis.lower(styles(half, rows), resolution // 4, dtype)
        return furrow_loss(image, target, F.avg_pool2d(weights_of(half.mask), 2))

    def crop_step(rng: np.random.Generator, maps: Maps) -> Tensor:
        """The last blocks on crops, with what is below at rest."""
        size = maps.map.shape[1]
        crop = min(CROP, size)
        rows = rng.integers(len(maps.map), size=max(1, batch // 2))
        row, column = (int(v) * 8 for v in rng.integers((size - crop) // 8 + 1, size=2))
        w = styles(maps, rows)
        with torch.no_grad():
            x, image = synthesis.lower(w, size // 2, dtype)
        top, left, side = row // 2, column // 2, crop // 2
        part = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
        index = int(np.log2(size)) - 3
        _, image = synthesis.block(index, x[part], image[part], w, (row, column, crop))
        region = (..., slice(row, row + crop), slice(column, column + crop))
        mask = weights_of(maps.mask)[region].clone()
        inner = torch.zeros_like(mask)
        inner[..., BORDER:-BORDER, BORDER:-BORDER] = 1.0
        return furrow_loss(image, whole(maps, rows)[region], mask * inner + 1e-4)

    def step(rng: np.random.Generator) -> dict[str, float]:
        kind = int(rng.choice(3, p=SHARES))
        loss = coarse_step(rng) if kind == 0 else crop_step(rng, half if kind == 1 else full)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return {"kind": kind, "loss": loss.item()}

    return Stage("convolutions", synthesis, {"synthesis": optimiser}, step)
