"""How well W+ holds maps of people whom the generator never saw."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...backend.detail.engines.torch_networks import Encoder, Synthesis
from ..maps.data import Maps
from ..networks.losses import furrow_loss
from ..networks.metrics import resized

COARSE = 256
"""Where an inversion takes its first steps, since most of a map is decided there."""

RATE = 0.05
"""Of Adam; it falls to zero over the second half of the steps."""


def invert(
    encoder: Encoder,
    synthesis: Synthesis,
    target: Tensor,
    mask: Tensor,
    steps: tuple[int, int] = (120, 30),
) -> Tensor:
    """Find the W+ whose map, without relief, comes nearest to one map, starting from w_avg.

    Parameters
    ----------
    target
        (1, 1, R, R) mm, at the synthesis's resolution.
    mask
        (1, 1, R, R).
    steps
        How many at `COARSE` or R, if that is less, and how many at R.

    Returns
    -------
    Tensor
        (1, 1, R, R) mm, the map of that W+.
    """
    size = synthesis.config.resolution
    scale: Tensor = synthesis.scale
    w = encoder.w_avg.clone()[None].requires_grad_(True)
    noise = torch.zeros_like(target)
    optimiser = torch.optim.Adam([w], RATE)
    best, best_loss = noise, float("inf")
    for step in range(sum(steps)):
        optimiser.param_groups[0]["lr"] = RATE * min(1.0, 2.0 * (1 - step / sum(steps)))
        if step < steps[0]:
            image = synthesis.lower(w, min(COARSE, size))[1]
        else:
            image = synthesis(w, noise) / scale
        aim, part = (resized(x, image.shape[-1]) for x in (target, mask))
        loss = furrow_loss(image, aim / scale, part)
        if step >= steps[0] and loss.item() < best_loss:
            best, best_loss = image.detach() * scale, loss.item()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return best


def plain_maps(maps: Maps, rows: np.ndarray, resolution: int) -> Tensor:
    """Maps of a set without relief at another resolution: (n, 1, R, R) mm."""
    read = (torch.from_numpy(np.asarray(maps.map[row], np.float32))[None, None] for row in rows)
    return torch.cat([resized(image, resolution) for image in read])


@torch.no_grad()
def explained(encoder: Encoder, synthesis: Synthesis, maps: Maps, rows: np.ndarray) -> float:
    """Share of the maps' energy on the skin, without relief, that the networks explain, at most 1."""
    size = synthesis.config.resolution
    mask = resized(torch.from_numpy(maps.mask)[None, None], size)
    noise = torch.zeros(1, 1, size, size)
    wrong = energy = 0.0
    for row in rows:
        target = plain_maps(maps, row[None], size)
        a, b = (torch.from_numpy(v[row : row + 1]) for v in (maps.identity, maps.expression))
        difference = synthesis(encoder(a, b), noise) - target
        wrong += float((mask * difference.square()).sum())
        energy += float((mask * target.square()).sum())
    return 1.0 - wrong / energy
