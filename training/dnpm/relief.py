"""The relief's stage: seeded noise learns the look of the corpus's pores, adversarially, on crops.

Pores lie elsewhere under every seed, so no map can be compared with another texel by texel. A
discriminator sees crops of the corpus's relief and of the network's, of the same person at the
same place, and is told both: the texture must fit age, pore size and region. Its loss is
relativistic with gradient penalties on both kinds of crops (R3GAN, Huang et al. 2024); beside it
the energies of four octaves of wavelengths shall agree.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backend.detail.engines.torch_layers import Relief
from ...backend.formats.identity import SKIN
from ..maps.data import Maps
from ..networks.losses import band_energies
from .loop import Stage
from .regression import relief_style

CROP = 64
MARGIN = 8
"""Texels around a crop that are made and cut off, where filters see the border."""

ON_SKIN = 0.4
"""Least share of a crop that is skin: rims of lids and lips are learned too."""

SCALE = 5.0
"""Of relief in raw units before the discriminator: about unit variance."""

PENALTY = 1.0
PENALTY_EVERY = 4

ENERGY_WEIGHT = 1.0


class ReliefDiscriminator(nn.Module):
    """Judges crops (N, 1, 64, 64) of relief, given whose and from where: (N, 18) to logits (N,)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w = width
        self.first = nn.Conv2d(1, w, 3)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3) for a, b in ((w, w), (w, 2 * w), (2 * w, 4 * w), (4 * w, 4 * w))
        )
        self.condition = nn.Sequential(
            nn.Linear(len(SKIN) + 14, 128), nn.LeakyReLU(0.2), nn.Linear(128, 4 * w)
        )
        self.out = nn.Linear(4 * w, 1)

    def forward(self, crops: Tensor, condition: Tensor) -> Tensor:
        place = condition[:, -2:]
        waves = [f(math.pi * k * place) for k in (1, 2, 4) for f in (torch.sin, torch.cos)]
        known = self.condition(torch.cat([condition, *waves], 1))
        x = F.leaky_relu(self.first(crops * SCALE), 0.2)
        for conv in self.convs:
            x = F.avg_pool2d(F.leaky_relu(conv(x), 0.2), 2)
        x = x.mean((2, 3))
        return (x * known).sum(1) / math.sqrt(x.shape[1]) + self.out(x)[:, 0]


class Pair(nn.Module):
    """Relief and discriminator, for the checkpoint."""

    def __init__(self, relief: Relief) -> None:
        super().__init__()
        self.relief, self.discriminator = relief, ReliefDiscriminator()


@torch.no_grad()
def begin(relief: Relief, maps: Maps, unit: float) -> None:
    """Start the strengths at the mean local amplitude of the corpus's relief, by band."""
    size = relief.place.shape[-1]
    total = torch.zeros(1, 1, size, size)
    count = min(40, len(maps.relief))
    for image in maps.relief[:count]:
        seen = torch.from_numpy(np.asarray(image, np.float32))[None, None] / unit
        total += F.adaptive_avg_pool2d(seen.square(), size) / count
    amplitude = F.avg_pool2d(total, 5, 1, 2).sqrt().clamp(min=2e-3)
    # The variance is shared by the three bands; the texture adds to them as it learns.
    relief.place.copy_(torch.log(torch.expm1(amplitude / math.sqrt(3))).expand_as(relief.place))
    relief.texture2.normal_(std=0.05)


def adversarial(relief: Relief, maps: Maps, unit: float, batch: int, rate: float) -> Stage:
    """The stage; `maps` at the full resolution, with relief."""
    pair = Pair(relief)
    judge = pair.discriminator
    optimisers = {
        "relief": torch.optim.Adam(relief.parameters(), lr=rate, betas=(0.0, 0.99)),
        "discriminator": torch.optim.Adam(judge.parameters(), lr=rate, betas=(0.0, 0.99)),
    }
    skin = maps.mask
    resolution = skin.shape[0]
    inside = F.avg_pool2d(torch.from_numpy(skin)[None, None], CROP, 8)[0, 0] > ON_SKIN
    corners = inside.nonzero().numpy() * 8
    margin = (corners >= MARGIN).all(1) & (corners <= resolution - CROP - MARGIN).all(1)
    corners = corners[margin]
    cut = (slice(None), slice(None), slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    side = CROP + 2 * MARGIN

    def draw(rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Real crops, fake crops and what the discriminator is told."""
        people = rng.integers(len(maps.relief), size=batch)
        places = corners[rng.integers(len(corners), size=batch)]
        real = np.stack(
            [
                np.asarray(maps.relief[p, r : r + CROP, c : c + CROP], np.float32)
                for p, (r, c) in zip(people, places, strict=True)
            ]
        )
        identity = torch.from_numpy(maps.identity[np.searchsorted(maps.person, people)])
        style = relief_style(identity)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        noise = torch.randn(batch, 1, side, side, generator=generator)
        fakes = [
            relief(style[i : i + 1], noise[i : i + 1], (int(r) - MARGIN, int(c) - MARGIN, side))
            for i, (r, c) in enumerate(places)
        ]
        where = torch.from_numpy(places / resolution * 2 - 1).float()
        told = torch.cat([style[:, : len(SKIN)], where], 1)
        return torch.from_numpy(real)[:, None] / unit, torch.cat(fakes)[cut], told

    steps = 0

    def step(rng: np.random.Generator) -> dict[str, float]:
        nonlocal steps
        real, fake, told = draw(rng)
        judge.requires_grad_(False)
        loss = F.softplus(judge(real, told) - judge(fake, told)).mean()
        energies = [band_energies(x, maps.texel_mm) + 1e-6 for x in (fake, real)]
        uneven = (energies[0].log() - energies[1].log()).abs().mean()
        optimisers["relief"].zero_grad()
        (loss + ENERGY_WEIGHT * uneven).backward()
        optimisers["relief"].step()

        judge.requires_grad_(True)
        pictures = [x.detach().requires_grad_(True) for x in (real, fake)]
        logits = [judge(x, told) for x in pictures]
        judged = F.softplus(logits[1] - logits[0]).mean()
        total = judged
        steps += 1
        if steps % PENALTY_EVERY == 0:
            for x, logit in zip(pictures, logits, strict=True):
                (gradient,) = torch.autograd.grad(logit.sum(), x, create_graph=True)
                penalty = gradient.square().sum((1, 2, 3)).mean()
                total = total + PENALTY / 2 * PENALTY_EVERY * penalty
        optimisers["discriminator"].zero_grad()
        total.backward()
        optimisers["discriminator"].step()
        return {"generator": loss.item(), "discriminator": judged.item(), "energy": uneven.item()}

    return Stage("relief", pair, optimisers, step)
