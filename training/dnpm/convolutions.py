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
from ..spine import machine
from ..spine.schedule import averaged
from ..spine.stage import Stage
from .bases import weights_of

CROP = 256
BORDER = 8
"""Texels of a crop that do not count, where convolutions see its border."""

SHARES = (0.45, 0.4, 0.15)
"""How often a step is at R / 4, R / 2 and R."""


class Pairs:
    """Maps of a set with the encoder's styles for them, and the generator's loss on them.

    Parameters
    ----------
    dtype
        Of the activations.
    """

    def __init__(
        self, encoder: Encoder, synthesis: Synthesis, maps: Maps, batch: int, dtype: torch.dtype
    ) -> None:
        self.encoder, self.synthesis, self.maps = encoder, synthesis, maps
        self.batch, self.dtype = batch, dtype
        self.where = encoder.w_avg.device
        self.mask = weights_of(maps.mask).to(self.where)

    def whole(self, rng: np.random.Generator) -> Tensor:
        """Loss of whole maps at half the set's resolution."""
        rows = rng.integers(len(self.maps.map), size=self.batch)
        w, target = self._pair(rows)
        _, image = self.synthesis.lower(w, target.shape[-1] // 2, self.dtype)
        return furrow_loss(image, F.avg_pool2d(target, 2), F.avg_pool2d(self.mask, 2))

    def cropped(self, rng: np.random.Generator) -> Tensor:
        """Loss of crops of the last block, with what is below at rest."""
        size = self.maps.map.shape[1]
        crop = min(CROP, size)
        rows = rng.integers(len(self.maps.map), size=max(1, self.batch // 2))
        row, column = (int(v) * 8 for v in rng.integers((size - crop) // 8 + 1, size=2))
        w, target = self._pair(rows)
        with torch.no_grad():
            x, image = self.synthesis.lower(w, size // 2, self.dtype)
        top, left, side = row // 2, column // 2, crop // 2
        part = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
        index = int(np.log2(size)) - 3
        _, image = self.synthesis.block(index, x[part], image[part], w, (row, column, crop))
        region = (..., slice(row, row + crop), slice(column, column + crop))
        mask = self.mask[region].clone()
        inner = torch.zeros_like(mask)
        inner[..., BORDER:-BORDER, BORDER:-BORDER] = 1.0
        return furrow_loss(image, target[region], mask * inner + 1e-4)

    def _pair(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Styles (n, num_ws, 512) and maps (n, 1, R, R) in raw units."""
        maps = self.maps
        a, b = (torch.from_numpy(v[rows]).to(self.where) for v in (maps.identity, maps.expression))
        images = np.stack([np.asarray(maps.map[r], np.float32) for r in rows])
        with torch.no_grad():
            w = self.encoder(a, b)
        return w, (torch.from_numpy(images)[:, None].to(self.where) / self.synthesis.scale)


def convolutions(
    encoder: Encoder,
    synthesis: Synthesis,
    half: Maps,
    full: Maps,
    batch: int,
    rate: float,
    bfloat16: bool = True,
    seed: int = 0,
) -> Stage:
    """The stage, where the networks lie; `half` holds maps at R / 2, `full` at R."""
    encoder.requires_grad_(False).eval()
    synthesis.requires_grad_(False).train()
    parameters = [
        parameter
        for name, parameter in synthesis.named_parameters()
        if ".basis." not in name and not name.startswith("relief.")
    ]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimiser = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.99), fused=True)
    dtype = machine.precision(encoder.w_avg.device, bfloat16)
    coarse, fine = (Pairs(encoder, synthesis, maps, batch, dtype) for maps in (half, full))

    def learn(stage: Stage, rng: np.random.Generator) -> dict[str, Tensor | float]:
        kind = int(rng.choice(3, p=SHARES))
        loss = coarse.whole(rng) if kind == 0 else (coarse if kind == 1 else fine).cropped(rng)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return {"kind": kind, "loss": loss}

    networks, averages = {"synthesis": synthesis}, {"synthesis": averaged(synthesis)}
    optimisers = {"synthesis": optimiser}
    return Stage("convolutions", networks, optimisers, learn, averages, seed=seed, batch=batch)
