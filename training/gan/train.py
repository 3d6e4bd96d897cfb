"""`furrow train gan`: the full StyleGAN2-ADA recipe on displacement maps (Karras et al. 2020).

Unconditional GAN with the non-saturating logistic loss; every 16 batches the gradient penalty R1,
every 4 the path length penalty; a moving average of the generator's weights; augmentation whose
probability follows how sure the discriminator is of the data.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from ...backend.errors import FurrowError
from ..networks.stylegan2 import Z_SIZE, Generator
from ..networks.stylegan_pickle import read_networks
from ..spine import machine
from ..spine.guard import check_finite
from ..spine.processes import Processes
from ..spine.schedule import constant
from ..spine.stage import Budget, Row, Stage
from ..spine.stage import run as run_stage
from . import data, files
from .learning import STAGE, Learning
from .recipe import automatic, from_networks, resume

PREVIEWS = 12

DIVERGED = "Lower --learning-rate, or raise --gamma."
TOO_LARGE = "lower --micro-batch, add --bfloat16, or lower --channel-base"


def train(
    learning: Learning,
    out: Path,
    budget: Budget,
    tick_kimg: float,
    preview_ticks: int,
    halt_at: int | None = None,
) -> Stage:
    """Train; writes log, checkpoint, generator.safetensors every tick, and pictures every few.

    Parameters
    ----------
    tick_kimg
        Thousand maps of a row of the log.
    halt_at
        Stop at this step, as if cut off.
    """
    recipe, processes = learning.recipe, learning.processes
    average = learning.average.module
    assert isinstance(average, Generator)
    previews = out / "previews"
    if processes.first and not (previews / "data.png").exists():
        real = learning.maps.at(0, PREVIEWS) * learning.maps.unit_mm
        files.write_preview(previews / "data.png", real)

    def report(stage: Stage, row: Row) -> None:
        last = stage.log[-1] if stage.log else {"kimg": 0.0, "seconds": 0.0}
        row["kimg"] = stage.images / 1000
        row["probability"] = stage.counters["probability"]
        row["seconds_per_kimg"] = (row["seconds"] - last["seconds"]) / (row["kimg"] - last["kimg"])
        at = f"at step {stage.step}"
        check_finite((), average.parameters(), at, out / f"{STAGE}.pt", DIVERGED)
        if not processes.first:
            return
        files.write_generator(out / "generator.safetensors", average, row["kimg"])
        if stage.step == budget.steps or (len(stage.log) + 1) % preview_ticks == 0:
            picture = previews / f"kimg-{row['kimg']:09.3f}.png"
            files.write_preview(picture, samples(average, recipe.seed) * learning.maps.unit_mm)

    stage = learning.stage()
    run_stage(
        stage,
        out,
        budget,
        files.COMMAND,
        schedule=constant,
        log_every=max(1, int(tick_kimg * 1000) // recipe.batch),
        save_every=0,
        report=report,
        processes=processes,
        diverged=DIVERGED,
        memory=TOO_LARGE,
        halt_at=halt_at,
    )
    return stage


@torch.no_grad()
def samples(generator: Generator, seed: int) -> Tensor:
    """Maps (12, 1, R, R) in the generator's unit, from the same z throughout a run."""
    same = torch.Generator().manual_seed(seed)
    z = torch.randn(PREVIEWS, Z_SIZE, generator=same).to(generator.unit_mm.device)
    return torch.cat([generator(row[None]) for row in z]).cpu()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``furrow train gan``; what is left out is StyleGAN2-ADA's automatic configuration."""
    parser.add_argument("--set", type=Path, required=True, metavar="DIR",
                        help="folder of maps: a set of `furrow train corpus`, or a copy of FaceScape")  # fmt: skip
    machine.add_arguments(parser, out=Path("out/gan"))
    parser.add_argument("--start-from", type=Path, metavar="FILE",
                        help="begin with the networks of a stylegan2-ada-pytorch .pkl")  # fmt: skip
    parser.add_argument("--kimg", type=float, default=25000.0, metavar="N",
                        help="end after so many thousand maps (default: 25000)")  # fmt: skip
    parser.add_argument("--tick", type=float, default=4.0, metavar="N",
                        help="thousand maps between checkpoints (default: 4)")  # fmt: skip
    parser.add_argument("--preview-ticks", type=int, default=10, metavar="N",
                        help="ticks between pictures (default: 10)")  # fmt: skip
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
    """Begin a run or go on with it; it leaves gan.pt, gan.csv, previews/ and generator.safetensors."""
    if args.kimg <= 0 or args.tick <= 0 or args.preview_ticks <= 0:
        raise FurrowError("--kimg, --tick and --preview-ticks must be more than 0.")
    processes = Processes(args.device)
    alone = processes.count == 1  # else one thread each, as torchrun has it
    machine.set_threads(1 if args.threads is None and not alone else args.threads)
    torch.backends.cudnn.allow_tf32 = False  # gradient penalties are sensitive to rounding
    try:
        learning = begin(args, processes)
        budget = Budget.of_images(args.kimg * 1000, learning.recipe.batch, args.minutes)
        stage = train(learning, args.out, budget, args.tick, args.preview_ticks)
        if processes.first:
            print(f"{args.out}: the generator has seen {stage.images / 1000:g} kimg.")
    finally:
        processes.close()


def begin(args: argparse.Namespace, processes: Processes) -> Learning:
    """Check the options against those that the run was begun with, read the maps, build the networks."""
    options, before = vars(args), files.read_config(args.out)
    if before is not None:
        recipe = resume(before["recipe"], options, processes.count)
    elif args.start_from:
        recipe = from_networks(read_networks(args.start_from).config, options, processes.count)
    else:
        recipe = automatic({"resolution": 1024} | options, processes.count)
    if processes.first:
        data.prepare(args.set, recipe.resolution, args.out)
    processes.wait()
    maps = data.load(args.out, recipe.seed, recipe.mirror)
    config = {"recipe": asdict(recipe), "set": maps.digest, "unit_mm": maps.unit_mm}
    if before is not None and any(config[key] != before[key] for key in ("set", "unit_mm")):
        raise FurrowError(f"{args.set} is not the set that the run in {args.out} was begun with.")
    if processes.first:
        files.write_config(args.out, config)
    learning = Learning(recipe, maps, processes)
    if args.start_from and before is None:
        learning.start_from(args.start_from)
    return learning
