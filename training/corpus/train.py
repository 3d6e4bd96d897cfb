"""`furrow train corpus`: writes a set of displacement maps with their (a, b), in FaceScape's layout."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from ...backend.errors import FurrowError
from . import facescape, sets
from .chart import check_resolution
from .pool import Job, affordable, spread

SEEDS = 2**32

_BYTES = 0.25e9
_BYTES_PER_TEXEL = 520
"""What a process takes: at rest, and for each texel of the tile (measured from 64 to 2048)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `furrow train corpus`."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--set",
        choices=sets.PLANS,
        default="generator",
        help="generator: FaceScape's 20 expressions of 350 people (default); encoder: 8 random "
        "expressions of 875 others; test: 5 mixtures of 50 people who are in neither",
    )
    what.add_argument(
        "--facescape",
        type=Path,
        metavar="DIR",
        help="instead of folding skin, convert the topologically uniform models of a copy of FaceScape",
    )
    parser.add_argument("--people", type=int, metavar="N", help="other than the set's own number")
    parser.add_argument("--resolution", type=int, default=1024, metavar="N", help="default: 1024")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="default: one for each core, as far as memory goes; the files are the same",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        metavar="NAME",
        help="where maps are summed up: cpu (default), or cuda, through PyTorch",
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder (default: out/corpus/SET)"
    )


def run(args: argparse.Namespace) -> None:
    """Write what is missing of a set; one that was stopped goes on where it was.

    Raises
    ------
    FurrowError
        For options that make no set, a folder that holds another set or cannot be written, a full
        disk, a device that is not there, and files of FaceScape that cannot be used.
    """
    if args.processes is not None and args.processes < 1:
        raise FurrowError("--processes must be at least 1.")
    if args.people is not None and args.people < 1:
        raise FurrowError("A set needs at least one person.")
    check_resolution(args.resolution)
    if args.facescape:
        _convert(args)
    else:
        _fold(args)


def _fold(args: argparse.Namespace) -> None:
    plan = sets.PLANS[args.set]
    people = plan.people if args.people is None else args.people
    if not 0 <= args.seed < SEEDS:
        raise FurrowError(f"The seed {args.seed} is outside 0 to {SEEDS - 1}.")
    device = None if args.device == "cpu" else args.device
    if device:
        from ..spine import machine  # imports PyTorch

        machine.device(device)  # an error before anything is written
    output = args.output or Path("out/corpus") / args.set
    sets.claim(output, sets.record(args.set, people, args.resolution, args.seed))
    keys = [f"{number + 1:04d}" for number in range(people)]
    left = {key: len(sets.missing(output, key, plan.names)) for key in keys}
    job = sets.Fold(output, args.set, args.resolution, args.seed, device)
    _work_through(job, left, people * len(plan.names), args, "Folding skin")
    print(f"{output}: {people * len(plan.names)} maps of {people} people")


def _convert(args: argparse.Namespace) -> None:
    if args.device != "cpu":
        raise FurrowError("--device is for folding skin; FaceScape is converted on the processor.")
    source = facescape.open_facescape(args.facescape)
    job = facescape.Convert(source, args.output or Path("out/corpus/facescape"), args.resolution)
    sets.claim(job.folder, facescape.record(args.resolution))
    people = source.people[: args.people]
    left = {key: len(job.missing(key)) for key in people}
    total = sum(len(source.entries[key]) for key in people)
    problems = _work_through(job, left, total, args, "Reading FaceScape")
    if problems:
        raise FurrowError(facescape.complaint(problems))
    print(f"{job.folder}: {total} maps of {len(people)} people; {source.summary()}")


def _work_through(
    job: Job, left: dict[str, int], total: int, args: argparse.Namespace, text: str
) -> list[str]:
    """Do the people who have maps left to do, under a progress bar; return what was wrong."""
    problems: list[str] = []
    waiting = [key for key, count in left.items() if count]
    if not waiting:
        return problems
    each = _BYTES + _BYTES_PER_TEXEL * args.resolution**2
    processes = args.processes or affordable(each)
    there = total - sum(left.values())
    with tqdm(total=total, initial=there, unit="map", desc=text, disable=None) as bar:
        for done, wrong in spread(job, waiting, min(processes, len(waiting))):
            problems += wrong
            bar.update(done)
    return problems
