"""One step of StyleGAN2-ADA (Karras et al. 2020): four phases, and augmentation that adapts."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..networks.stylegan2 import Discriminator, Generator
from ..networks.stylegan_pickle import read_networks
from ..spine.processes import Processes
from ..spine.schedule import averaged
from ..spine.stage import Stage
from . import data, losses
from .recipe import (
    ADA_INTERVAL,
    PATH_DECAY,
    PATH_INTERVAL,
    PATH_SHRINK,
    PATH_WEIGHT,
    R1_INTERVAL,
    Recipe,
)

STAGE = "gan"
"""Name of the stage: gan.pt is its checkpoint, gan.csv its log."""


class Learning:
    """Networks, optimisers and maps of a run, and its step; what else changes lies in the stage.

    The stage's counters: the probability of augmentation, the running mean of the path lengths, and
    the sum and count of the signs of the data's logits since the probability was last moved.
    """

    def __init__(self, recipe: Recipe, maps: data.Maps, processes: Processes) -> None:
        torch.manual_seed(recipe.seed)  # equal networks everywhere
        self.recipe, self.maps, self.processes = recipe, maps, processes
        self.generator = Generator(recipe.config).requires_grad_(False)
        self.discriminator = Discriminator(recipe.config).requires_grad_(False)
        self.generator.unit_mm.fill_(maps.unit_mm)
        for network in (self.generator, self.discriminator):
            network.to(processes.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = averaged(self.generator, self._kept)
        self.optimisers = {
            "generator": _adam(self.generator, recipe.learning_rate, PATH_INTERVAL),
            "discriminator": _adam(self.discriminator, recipe.learning_rate, R1_INTERVAL),
        }
        self.rates = {name: o.param_groups[0]["lr"] for name, o in self.optimisers.items()}

    def start_from(self, path: Path) -> None:
        """Take the weights of a stylegan2-ada-pytorch .pkl."""
        networks = read_networks(path)
        unit = {"unit_mm": self.generator.unit_mm}
        self.average.module.load_state_dict(networks.average | unit)
        self.generator.load_state_dict((networks.generator or networks.average) | unit)
        if networks.discriminator:
            self.discriminator.load_state_dict(networks.discriminator)

    def stage(self) -> Stage:
        """Return the stage that begins."""
        device, recipe, processes = self.processes.device, self.recipe, self.processes
        torch.manual_seed(recipe.seed * processes.count + processes.rank + 1)
        zero = torch.zeros((), device=device)
        counters = {"probability": 0.0, "path_mean": zero, "signs": zero.clone(), "sign_count": 0}
        return Stage(
            STAGE,
            {"generator": self.generator, "discriminator": self.discriminator},
            self.optimisers,
            self.step,
            {"generator": self.average},
            counters,
            recipe.seed,
            recipe.batch,
        )

    def step(self, stage: Stage, _rng: np.random.Generator) -> Mapping[str, Tensor]:
        """Learn from one batch: G_main, now and then G_reg, D_main, now and then D_reg."""
        recipe, device, counters = self.recipe, self.processes.device, stage.counters
        p = counters["probability"]
        share = recipe.batch // self.processes.count
        real = self.maps.at(stage.images + self.processes.rank * share, share).to(device)
        generator, discriminator = self.generator, self.discriminator
        means: dict[str, list[Tensor]] = defaultdict(list)

        def note(name: str, values: Tensor) -> Tensor:
            means[name].append(values.detach().mean())
            return values

        def g_main(part: Tensor) -> Tensor:
            return note("G_main", losses.g_main(generator, discriminator, len(part), device, p))

        def g_reg(part: Tensor) -> Tensor:
            lengths = note("path_lengths", losses.path_lengths(generator, len(part), device))
            mean = self.processes.mean(lengths.detach().mean())
            counters["path_mean"] = counters["path_mean"].lerp(mean, PATH_DECAY)
            return (lengths - counters["path_mean"]).square() * (PATH_WEIGHT * PATH_INTERVAL)

        def d_main(part: Tensor) -> Tensor:
            loss, real_logits, fake_logits = losses.d_main(generator, discriminator, part, p)
            note("scores_real", real_logits)
            note("scores_fake", fake_logits)
            note("signs_real", real_logits.sign())
            return note("D_main", loss)

        def d_reg(part: Tensor) -> Tensor:
            penalty = note("r1_penalty", losses.r1_penalty(discriminator, part, p))
            return penalty * (recipe.gamma / 2 * R1_INTERVAL)

        self._phase("generator", generator, real, g_main)
        if stage.step % PATH_INTERVAL == 0:
            self._phase("generator", generator, real[: max(1, share // PATH_SHRINK)], g_reg)
        self._phase("discriminator", discriminator, real, d_main)
        if stage.step % R1_INTERVAL == 0:
            self._phase("discriminator", discriminator, real, d_reg)
        rows = {name: torch.stack(values).mean() for name, values in means.items()}
        counters["signs"] = counters["signs"] + self.processes.mean(rows["signs_real"])
        counters["sign_count"] += 1
        if (stage.step + 1) % ADA_INTERVAL == 0:
            self._adapt(counters)
        return rows

    def _phase(
        self, name: str, network: nn.Module, maps: Tensor, loss_of: Callable[[Tensor], Tensor]
    ) -> None:
        """One step of an optimiser on the mean loss, computed in parts that fit into memory."""
        optimiser = self.optimisers[name]
        for group in optimiser.param_groups:
            group["lr"] = self.rates[name]  # a run may go on with another than it was begun with
        network.requires_grad_(True)
        optimiser.zero_grad()
        for part in maps.split(self.recipe.micro_batch):
            loss_of(part).mean().mul(len(part) / len(maps)).backward()
        network.requires_grad_(False)
        self.processes.average_gradients(network.parameters())
        optimiser.step()

    def _kept(self, step: int) -> float:
        """Share of the average that stays after a step, from 1; its half-life is short in a young run."""
        life = self.recipe.ema_kimg * 1000
        if self.recipe.ema_ramp:
            life = min(life, (step - 1) * self.recipe.batch * self.recipe.ema_ramp)
        return float(0.5 ** (self.recipe.batch / max(life, 1e-8)))

    def _adapt(self, counters: dict[str, Any]) -> None:
        """Augment more where the discriminator knows the data too well, else less."""
        recipe = self.recipe
        sign = float(counters["signs"]) / counters["sign_count"]
        counters |= {"signs": torch.zeros_like(counters["signs"]), "sign_count": 0}
        if recipe.ada_target:
            move = recipe.batch * ADA_INTERVAL / (recipe.ada_kimg * 1000)
            direction = math.copysign(1.0, sign - recipe.ada_target)
            probability = counters["probability"] + direction * move
            counters["probability"] = min(1.0, max(0.0, probability))


def _adam(network: nn.Module, rate: float, interval: int) -> torch.optim.Adam:
    """Adam that is as fast with a regularisation every `interval` batches as it would be with none."""
    share = interval / (interval + 1)
    betas = (0.0, 0.99**share)
    return torch.optim.Adam(network.parameters(), rate * share, betas, eps=1e-8, fused=True)
