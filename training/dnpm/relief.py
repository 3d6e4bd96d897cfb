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
from ..spine.schedule import averaged
from ..spine.stage import Stage
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
    """Crops (N, 1, 64, 64) of relief, and whose and from where (N, 18), to logits (N,)."""

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
        embedding = self.condition(torch.cat([condition, *waves], 1))
        x = F.leaky_relu(self.first(crops * SCALE), 0.2)
        for conv in self.convs:
            x = F.avg_pool2d(F.leaky_relu(conv(x), 0.2), 2)
        x = x.mean((2, 3))
        return (x * embedding).sum(1) / math.sqrt(x.shape[1]) + self.out(x)[:, 0]


@torch.no_grad()
def begin(relief: Relief, maps: Maps, unit: float) -> None:
    """Start the strengths at the mean local amplitude of the corpus's relief, by band."""
    size = relief.place.shape[-1]
    total = torch.zeros(1, 1, size, size)
    count = min(40, len(maps.relief))
    for image in maps.relief[:count]:
        relief_raw = torch.from_numpy(np.asarray(image, np.float32))[None, None] / unit
        total += F.adaptive_avg_pool2d(relief_raw.square(), size) / count
    amplitude = F.avg_pool2d(total, 5, 1, 2).sqrt().clamp(min=2e-3)
    # The variance is shared by the three bands; the texture adds to them as it learns.
    relief.place.copy_(torch.log(torch.expm1(amplitude / math.sqrt(3))).expand_as(relief.place))
    relief.texture2.normal_(std=0.05)


class Crops:
    """Draws crops of the corpus's relief, with what a network needs to make others of the same kind.

    Parameters
    ----------
    maps
        At the full resolution, with relief.
    unit
        Millimetres of one raw unit.
    """

    def __init__(self, maps: Maps, unit: float, where: torch.device) -> None:
        self.maps, self.unit, self.where = maps, unit, where
        resolution = maps.mask.shape[0]
        inside = F.avg_pool2d(torch.from_numpy(maps.mask)[None, None], CROP, 8)[0, 0] > ON_SKIN
        corners = inside.nonzero().numpy() * 8
        margin = (corners >= MARGIN).all(1) & (corners <= resolution - CROP - MARGIN).all(1)
        self.corners = corners[margin]

    def draw(
        self, rng: np.random.Generator, batch: int
    ) -> tuple[Tensor, Tensor, Tensor, np.ndarray]:
        """Real crops (N, 1, 64, 64) in raw units, styles (N, 512), conditions (N, 18), corners (N, 2)."""
        maps = self.maps
        people = rng.integers(len(maps.relief), size=batch)
        places = self.corners[rng.integers(len(self.corners), size=batch)]
        crops = [
            np.asarray(maps.relief[p, r : r + CROP, c : c + CROP], np.float32)
            for p, (r, c) in zip(people, places, strict=True)
        ]
        identity = torch.from_numpy(maps.identity[np.searchsorted(maps.person, people)])
        style = relief_style(identity)
        place = torch.from_numpy(places / len(maps.mask) * 2 - 1).float()
        condition = torch.cat([style[:, : len(SKIN)], place], 1)
        real = torch.from_numpy(np.stack(crops))[:, None] / self.unit
        return real.to(self.where), style.to(self.where), condition.to(self.where), places


def generate(relief: Relief, style: Tensor, places: np.ndarray, noise: Tensor) -> Tensor:
    """Crops (N, 1, 64, 64) of relief for styles (N, 512) at corners (N, 2), without the margin."""
    side = noise.shape[-1]
    crops = [
        relief(style[i : i + 1], noise[i : i + 1], (int(r) - MARGIN, int(c) - MARGIN, side))
        for i, (r, c) in enumerate(places)
    ]
    return torch.cat(crops)[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def adversarial(
    relief: Relief, maps: Maps, unit: float, batch: int, rate: float, seed: int = 0
) -> Stage:
    """The stage, where the relief lies; `maps` at the full resolution, with relief."""
    where = relief.place.device
    discriminator = ReliefDiscriminator().to(where)
    optimisers = {
        "relief": torch.optim.Adam(relief.parameters(), lr=rate, betas=(0.0, 0.99)),
        "discriminator": torch.optim.Adam(discriminator.parameters(), lr=rate, betas=(0.0, 0.99)),
    }
    data = Crops(maps, unit, where)
    side = CROP + 2 * MARGIN

    def move(name: str, loss: Tensor) -> None:
        optimisers[name].zero_grad()
        loss.backward()
        optimisers[name].step()

    def learn(stage: Stage, rng: np.random.Generator) -> dict[str, Tensor]:
        real, style, condition, places = data.draw(rng, batch)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        noise = torch.randn(batch, 1, side, side, generator=generator).to(where)
        fake = generate(relief, style, places, noise)
        discriminator.requires_grad_(False)
        loss = F.softplus(discriminator(real, condition) - discriminator(fake, condition)).mean()
        energies = [band_energies(x, maps.texel_mm) + 1e-6 for x in (fake, real)]
        uneven = (energies[0].log() - energies[1].log()).abs().mean()
        move("relief", loss + ENERGY_WEIGHT * uneven)

        discriminator.requires_grad_(True)
        crops = [x.detach().requires_grad_(True) for x in (real, fake)]
        logits = [discriminator(x, condition) for x in crops]
        relativistic = F.softplus(logits[1] - logits[0]).mean()
        total = relativistic
        if (stage.step + 1) % PENALTY_EVERY == 0:
            for x, logit in zip(crops, logits, strict=True):
                total = total + PENALTY / 2 * PENALTY_EVERY * gradient_penalty(x, logit)
        move("discriminator", total)
        return {"generator": loss, "discriminator": relativistic, "energy": uneven}

    networks = {"relief": relief, "discriminator": discriminator}
    averages = {"relief": averaged(relief)}
    return Stage("relief", networks, optimisers, learn, averages, seed=seed, batch=batch)


def gradient_penalty(crops: Tensor, logits: Tensor) -> Tensor:
    """Mean squared norm of the gradient of logits (N,) by the crops that they are of."""
    (gradient,) = torch.autograd.grad(logits.sum(), crops, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()
