"""The losses of StyleGAN2-ADA, by its names: G_main, D_main, R1 and the path lengths.

They are non-saturating logistic (Goodfellow et al. 2014); R1 is the gradient penalty of Mescheder et
al. 2018, the path lengths are those of Karras et al. 2020.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks.augment import augment
from ..networks.stylegan2 import Z_SIZE, Discriminator, Generator
from .recipe import STYLE_MIXING


def random_styles(generator: Generator, count: int, device: torch.device) -> Tensor:
    """Draw styles W+ (count, num_ws, 512), mostly of one w, now and then of two; the mean w follows."""
    w = generator.mapping(torch.randn(count, Z_SIZE, device=device))
    generator.mapping.track(w.detach())
    other = generator.mapping(torch.randn(count, Z_SIZE, device=device))
    change = int(torch.randint(1, generator.num_ws, ()))
    if float(torch.rand(())) >= STYLE_MIXING:
        change = generator.num_ws
    layer = torch.arange(generator.num_ws, device=device)[:, None]
    return torch.where(layer < change, w[:, None], other[:, None])


def g_main(
    generator: Generator, discriminator: Discriminator, count: int, device: torch.device, p: float
) -> Tensor:
    """The generator's loss (count,): -log of the probability that its maps pass for data.

    `p` is the probability of augmentation.
    """
    maps = generator.synthesis(random_styles(generator, count, device))
    return F.softplus(-discriminator(augment(maps, p)))[:, 0]


def path_lengths(generator: Generator, count: int, device: torch.device) -> Tensor:
    """How far maps move for a step in W+ in random directions of map space: (count,)."""
    styles = random_styles(generator, count, device)
    maps = generator.synthesis(styles)
    direction = torch.randn_like(maps) / math.sqrt(maps[0].numel())
    (gradient,) = torch.autograd.grad((maps * direction).sum(), styles, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def d_main(
    generator: Generator, discriminator: Discriminator, real: Tensor, p: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The discriminator's loss (N,), and its logits (N,) for maps of the data and of the generator."""
    with torch.no_grad():
        fake = generator.synthesis(random_styles(generator, len(real), real.device))
    fake_logits = discriminator(augment(fake, p))[:, 0]
    real_logits = discriminator(augment(real, p))[:, 0]
    return F.softplus(fake_logits) + F.softplus(-real_logits), real_logits, fake_logits


def r1_penalty(discriminator: Discriminator, real: Tensor, p: float) -> Tensor:
    """Squared gradient (N,) of the discriminator at maps (N, 1, R, R) of the data: R1 without its weight."""
    real = real.detach().requires_grad_(True)
    logits = discriminator(augment(real, p))
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return gradient.square().sum((1, 2, 3))
