"""`furrow train gan`: the full StyleGAN2-ADA recipe on displacement maps (Karras et al. 2020).

Unconditional GAN with the non-saturating logistic loss; every 16 batches the gradient penalty R1,
every 4 the path length penalty; a moving average of the generator's weights; augmentation whose
probability follows how sure the discriminator is of the data.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ...backend.errors import FurrowError
from ..networks.stylegan2 import Z_SIZE, Discriminator, Generator
from ..networks.stylegan_pickle import read_networks
from ..spine.files import write_checkpoint
from ..spine.guard import check_finite, enough_memory, restoring
from ..spine.processes import Processes
from . import data, files, losses
from .recipe import (
    ADA_INTERVAL,
    PATH_DECAY,
    PATH_INTERVAL,
    PATH_SHRINK,
    PATH_WEIGHT,
    R1_INTERVAL,
    Recipe,
    automatic,
    imported,
    resumed,
)

PREVIEWS = 12


class Training:
    """One run: its networks, optimisers and everything that going on needs."""

    def __init__(self, recipe: Recipe, maps: data.Maps, processes: Processes) -> None:
        torch.manual_seed(recipe.seed)  # equal networks everywhere
        self.recipe, self.maps, self.processes = recipe, maps, processes
        device = processes.device
        self.generator = Generator(recipe.config).requires_grad_(False)
        self.discriminator = Discriminator(recipe.config).requires_grad_(False)
        self.generator.unit_mm.fill_(maps.unit_mm)
        for network in (self.generator, self.discriminator):
            network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).eval()
        self.optimisers = {
            "generator": _adam(self.generator, recipe.learning_rate, PATH_INTERVAL),
            "discriminator": _adam(self.discriminator, recipe.learning_rate, R1_INTERVAL),
        }
        self.seen = 0
        self.spent = 0.0
        self.probability = 0.0
        self.path_mean = torch.zeros((), device=device)
        self.signs: list[Tensor] = []
        self.sums: dict[str, list[Tensor]] = defaultdict(list)
        self.log: list[dict[str, float]] = []
        torch.manual_seed(recipe.seed * processes.count + processes.rank + 1)

    def step(self) -> None:
        """Learn from one batch."""
        recipe, device, p = self.recipe, self.processes.device, self.probability
        share = recipe.batch // self.processes.count
        number = self.seen // recipe.batch
        real = self.maps.at(self.seen + self.processes.rank * share, share).to(device)
        generator, discriminator = self.generator, self.discriminator

        def fooling(part: Tensor) -> Tensor:
            loss = losses.fooling(generator, discriminator, len(part), device, p)
            return self._noted("loss_generator", loss)

        def path(part: Tensor) -> Tensor:
            lengths = losses.path_lengths(generator, len(part), device)
            self.path_mean.lerp_(self.processes.mean(lengths.detach().mean()), PATH_DECAY)
            self._noted("path_length", lengths)
            return (lengths - self.path_mean.clone()).square() * (PATH_WEIGHT * PATH_INTERVAL)

        def telling(part: Tensor) -> Tensor:
            loss, for_real, for_made = losses.telling(generator, discriminator, part, p)
            self._noted("score_real", for_real)
            self._noted("score_generated", for_made)
            self.signs.append(self._noted("sign_real", for_real.sign()).detach().mean())
            return self._noted("loss_discriminator", loss)

        def penalty(part: Tensor) -> Tensor:
            r1 = self._noted("r1", losses.gradient_penalty(discriminator, part, p))
            return r1 * (recipe.gamma / 2 * R1_INTERVAL)

        self._learn("generator", generator, real, fooling)
        if number % PATH_INTERVAL == 0:
            self._learn("generator", generator, real[: max(1, share // PATH_SHRINK)], path)
        self._learn("discriminator", discriminator, real, telling)
        if number % R1_INTERVAL == 0:
            self._learn("discriminator", discriminator, real, penalty)
        self._follow()
        self.seen += recipe.batch
        if (number + 1) % ADA_INTERVAL == 0:
            self._adapt()

    def _learn(
        self, name: str, network: nn.Module, maps: Tensor, loss_of: Callable[[Tensor], Tensor]
    ) -> None:
        """One step of an optimiser on the mean loss, computed in parts that fit into memory."""
        optimiser = self.optimisers[name]
        network.requires_grad_(True)
        optimiser.zero_grad()
        for part in maps.split(self.recipe.micro_batch):
            loss_of(part).mean().mul(len(part) / len(maps)).backward()
        network.requires_grad_(False)
        self.processes.average_gradients(network.parameters())
        optimiser.step()

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the averaged generator; its half-life is short in a young run."""
        life = self.recipe.ema_kimg * 1000
        if self.recipe.ema_ramp:
            life = min(life, self.seen * self.recipe.ema_ramp)
        keep = 0.5 ** (self.recipe.batch / max(life, 1e-8))
        both = zip(self.average.parameters(), self.generator.parameters(), strict=True)
        for averaged, current in both:
            averaged.lerp_(current, 1.0 - keep)
        for old, new in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            old.copy_(new)

    def _adapt(self) -> None:
        """Augment more where the discriminator knows the data too well, else less."""
        recipe = self.recipe
        sure = float(self.processes.mean(torch.stack(self.signs).mean()))
        self.signs = []
        if recipe.ada_target:
            move = recipe.batch * ADA_INTERVAL / (recipe.ada_kimg * 1000)
            way = math.copysign(1.0, sure - recipe.ada_target)
            self.probability = min(1.0, max(0.0, self.probability + way * move))

    def _noted(self, name: str, values: Tensor) -> Tensor:
        self.sums[name].append(values.detach().mean())
        return values

    def tick(self, since: float, maps: int, checkpoint: Path) -> None:
        """Add the means since the last tick to the log.

        Raises
        ------
        FurrowError
            If the run has diverged; `checkpoint` is then the last good state.
        """
        row = {"kimg": self.seen / 1000, "probability": self.probability}
        measured: list[float] = []
        for name in ("loss_generator", "loss_discriminator", "score_real", "score_generated",
                     "sign_real", "r1", "path_length"):  # fmt: skip
            values = self.sums.pop(name, None)
            row[name] = math.nan
            if values:  # every process regularises at the same batches
                row[name] = float(self.processes.mean(torch.stack(values).mean()))
                measured.append(row[name])
        good = self.log[-1]["kimg"] if self.log else 0.0
        networks = itertools.chain(self.generator.parameters(), self.discriminator.parameters())
        remedy = "Lower --learning-rate, or raise --gamma."
        check_finite(measured, networks, f"after {good:g} kimg", checkpoint, remedy)
        seconds = time.monotonic() - since
        self.spent += seconds
        row |= {"hours": self.spent / 3600, "seconds_per_kimg": seconds / maps * 1000}
        self.log.append(row)

    def state(self) -> dict[str, Any]:
        """Everything that going on needs, the random numbers of every process included."""
        device = self.processes.device
        mine = {"cpu": torch.get_rng_state()}
        if device.type == "cuda":
            mine["cuda"] = torch.cuda.get_rng_state(device)
        networks = ("generator", "discriminator", "average")
        plain = ("seen", "spent", "probability", "path_mean", "log")
        return {
            "format": files.FORMAT,
            "recipe": asdict(self.recipe),
            "digest": self.maps.digest,
            "unit_mm": self.maps.unit_mm,
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
            "random": self.processes.gather(mine),
            "signs": self.processes.gather([value.cpu() for value in self.signs]),
            **{name: getattr(self, name).state_dict() for name in networks},
            **{name: getattr(self, name) for name in plain},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state; on another number of processes with other random numbers."""
        rank, device = self.processes.rank, self.processes.device
        for name in ("generator", "discriminator", "average"):
            getattr(self, name).load_state_dict(state[name])
        for name, optimiser in self.optimisers.items():
            rates = [group["lr"] for group in optimiser.param_groups]
            optimiser.load_state_dict(state["optimisers"][name])
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate  # which may have been changed
        for name in ("seen", "spent", "probability", "log"):
            setattr(self, name, state[name])
        self.path_mean.copy_(state["path_mean"])
        if len(state["random"]) != self.processes.count:
            torch.manual_seed(self.recipe.seed * self.processes.count + rank + 1 + self.seen)
            return
        self.signs = [value.to(device) for value in state["signs"][rank]]
        torch.set_rng_state(state["random"][rank]["cpu"])
        if device.type == "cuda" and "cuda" in state["random"][rank]:
            torch.cuda.set_rng_state(state["random"][rank]["cuda"], device)

    def start_from(self, path: Path) -> None:
        """Take the weights of a stylegan2-ada-pytorch .pkl."""
        read = read_networks(path)
        unit = {"unit_mm": self.generator.unit_mm}
        self.average.load_state_dict(read.average | unit)
        self.generator.load_state_dict((read.generator or read.average) | unit)
        if read.discriminator:
            self.discriminator.load_state_dict(read.discriminator)


def _adam(network: nn.Module, rate: float, interval: int) -> torch.optim.Adam:
    """Adam that is as fast with a regularisation every `interval` batches as it would be with none."""
    share = interval / (interval + 1)
    betas = (0.0, 0.99**share)
    return torch.optim.Adam(network.parameters(), rate * share, betas, eps=1e-8, fused=True)


def train(
    training: Training, output: Path, kimg: float, tick_kimg: float, preview_ticks: int
) -> None:
    """Train until `kimg` thousand maps were seen; write curves, pictures and checkpoints on the way."""
    recipe, first = training.recipe, training.processes.first
    checkpoint = output / "checkpoint.pt"
    tick, end = max(recipe.batch, int(tick_kimg * 1000)), int(kimg * 1000)
    bar = tqdm(initial=training.seen, total=end, unit="map", unit_scale=True,
               disable=None if first else True)  # fmt: skip
    if first and training.seen == 0:
        real = training.maps.at(0, PREVIEWS) * training.maps.unit_mm
        files.write_preview(output / "previews" / "data.png", real)
    since, begun = time.monotonic(), training.seen
    while training.seen < end:
        training.step()
        bar.update(recipe.batch)
        over = training.seen >= end
        if not over and training.seen // tick == (training.seen - recipe.batch) // tick:
            continue
        training.tick(since, training.seen - begun, checkpoint)
        since, begun = time.monotonic(), training.seen
        state, row = training.state(), training.log[-1]
        bar.set_postfix(p=f"{row['probability']:.3f}", sign=f"{row['sign_real']:.2f}")
        if first:
            write_checkpoint(checkpoint, state)
            files.write_curves(output / "curves.csv", training.log)
            files.write_generator(output / "generator.safetensors", training.average, row["kimg"])
            if over or (training.seen // tick) % preview_ticks == 0:
                picture = output / "previews" / f"kimg-{row['kimg']:09.3f}.png"
                files.write_preview(picture, _samples(training))
    bar.close()


@torch.no_grad()
def _samples(training: Training) -> Tensor:
    """Maps (12, 1, R, R) in mm of the averaged generator, from the same z throughout a run."""
    same = torch.Generator().manual_seed(training.recipe.seed)
    z = torch.randn(PREVIEWS, Z_SIZE, generator=same).to(training.processes.device)
    maps = [training.average(row[None]) for row in z]
    return torch.cat(maps).cpu() * training.maps.unit_mm


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``furrow train gan``; what is left out is StyleGAN2-ADA's automatic configuration."""
    parser.add_argument("--set", type=Path, required=True, metavar="DIR",
                        help="folder of maps: a set of `furrow train corpus`, or a copy of FaceScape")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, default=Path("out/gan"), metavar="DIR",
                        help="folder of the run (default: out/gan)")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output")
    parser.add_argument("--start-from", type=Path, metavar="FILE",
                        help="begin with the networks of a stylegan2-ada-pytorch .pkl")  # fmt: skip
    parser.add_argument("--kimg", type=float, default=25000.0, metavar="N",
                        help="end after so many thousand maps (default: 25000)")  # fmt: skip
    parser.add_argument("--tick", type=float, default=4.0, metavar="N",
                        help="thousand maps between checkpoints (default: 4)")  # fmt: skip
    parser.add_argument("--preview-ticks", type=int, default=10, metavar="N",
                        help="ticks between pictures (default: 10)")  # fmt: skip
    parser.add_argument("--device", metavar="NAME", help="cuda where there is one, else cpu")
    settings = (
        ("resolution", int, "of the maps (default: 1024)"),
        ("channel-base", int, "channels at r are base / r (default: 32768 from 512, else 16384)"),
        ("channel-max", int, "at most so many channels (default: base / 32, but 512 at most)"),
        ("mapping-layers", int, "default: 2"),
        ("batch", int, "maps of a step, on all GPUs together"),
        ("micro-batch", int, "maps that a GPU computes at once; lower it if memory runs out"),
        ("learning-rate", float, "default: 0.002 from 1024, else 0.0025"),
        ("gamma", float, "weight of R1 (default: 0.0002 R^2 / batch)"),
        ("ada-target", float, "default: 0.6; 0 turns augmentation off"),
        ("ada-kimg", float, "thousand maps for the probability to move by 1 (default: 500)"),
        ("seed", int, "default: 0"),
    )
    for name, kind, text in settings:
        parser.add_argument(f"--{name}", type=kind, metavar="N", help=text, default=argparse.SUPPRESS)  # fmt: skip
    parser.add_argument("--mirror", action=argparse.BooleanOptionalAction,
                        default=argparse.SUPPRESS, help="learn from mirror images too")  # fmt: skip
    parser.add_argument("--bfloat16", action=argparse.BooleanOptionalAction,
                        default=argparse.SUPPRESS, help="compute the highest 4 resolutions in bfloat16")  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Begin or resume a run; its files are the checkpoint, curves.csv, previews/ and generator.safetensors."""
    processes = Processes(args.device)
    torch.backends.cudnn.allow_tf32 = False  # gradient penalties are sensitive to rounding
    try:
        with enough_memory("lower --micro-batch, add --bfloat16, or lower --channel-base"):
            train(_begun(args, processes), args.output, args.kimg, args.tick, args.preview_ticks)
    finally:
        processes.close()


def _begun(args: argparse.Namespace, processes: Processes) -> Training:
    """Check the options, read the maps, and set the run up."""
    if args.kimg <= 0 or args.tick <= 0 or args.preview_ticks <= 0:
        raise FurrowError("--kimg, --tick and --preview-ticks must be more than 0.")
    checkpoint, given = args.output / "checkpoint.pt", vars(args)
    state = files.load_run(checkpoint) if args.resume else None
    if state is None and checkpoint.exists():
        raise FurrowError(f"{args.output} holds a run. Go on with it by --resume, or choose another folder.")  # fmt: skip
    if state is not None:
        with restoring(checkpoint, files.COMMAND):
            recipe = resumed(state["recipe"], given, processes.count)
    elif args.start_from:
        recipe = imported(read_networks(args.start_from).config, given, processes.count)
    else:
        recipe = automatic({"resolution": 1024} | given, processes.count)
    if processes.first:
        data.prepare(args.set, recipe.resolution, args.output)
    processes.wait()
    maps = data.load(args.output, recipe.seed, recipe.mirror)
    training = Training(recipe, maps, processes)
    if state is not None:
        if (maps.digest, maps.unit_mm) != (state["digest"], state["unit_mm"]):
            raise FurrowError(f"{args.set} is not the set that the run in {args.output} was begun with.")  # fmt: skip
        with restoring(checkpoint, files.COMMAND):
            training.restore(state)
        if training.seen >= args.kimg * 1000:
            raise FurrowError(
                f"The run has seen {training.seen / 1000:g} kimg; give a larger --kimg."
            )
    elif args.start_from:
        training.start_from(args.start_from)
    return training
