"""`furrow train dnpm`: learn encoder and synthesis together, as an auto-decoder, stage by stage.

1. Bases: principal components of the corpus's maps, local by patches, in closed form (`bases.py`).
2. Encoder: regression from (a, b) to the bases' styles, on many people and no image
   (`samples.py`, `regression.py`).
3. Relief: seeded noise learns the look of pores, adversarially (`relief.py`).
4. Export, and on the exported networks the mapping network and the sliders' directions
   (`furrow train space`), curves and figures.

Each stage leaves NAME.pt and NAME.csv in the run's folder: a run that was cut off goes on where it
stopped, and a stage that is complete is not repeated.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...backend.detail.engines.torch_networks import load
from ...backend.errors import FurrowError
from ...backend.formats import figures
from ...backend.formats.figures import Figure
from ...backend.head.bilinear import Head
from ..export.detail import centre_styles, export
from ..maps.data import Maps, draw
from ..maps.sets import from_set
from ..maps.testset import draw_test_set
from ..space import train as space
from ..spine import machine
from ..spine.curves import write_curves
from ..spine.files import claim
from ..spine.stage import run as run_stage
from .bases import Bases, fit_bases
from .inversion import explained
from .regression import regression, restore_amplitude, spread_styles
from .relief import adversarial, begin
from .samples import Samples, correct, draw_samples, joined, samples_of
from .setup import SHIPPED, Networks, Options, networks, read_options, settings

COMMAND = "furrow train dnpm"

SMALLEST = 64
"""Texels that the corpus draws at least."""


@dataclass(frozen=True)
class Sets:
    """What a run learns from.

    Attributes
    ----------
    half
        Maps at R / 2, for the bases.
    full
        Maps at R, with relief.
    """

    half: Maps
    full: Maps


def drawn_sets(options: Options, head: Head, data: Path) -> Sets:
    """Sets drawn from the corpus's sampler, kept in `data`.

    Raises
    ------
    FurrowError
        If a quarter of the resolution, at which most people are drawn, is too small to draw.
    """
    size = options.resolution
    if size // 4 < SMALLEST:
        raise FurrowError(
            f"People are drawn at a quarter of the resolution too: {size} is less than {4 * SMALLEST}."
        )
    seed = options.seed + 1
    half = draw(
        data / f"train{size // 2}", head, size // 2, options.people, options.expressions, seed
    )
    full = draw(data / f"train{size}", head, size, options.relief_people, 2, seed, relief=True)
    return Sets(half, full)


def sets_on_disk(options: Options, folder: Path, data: Path) -> Sets:
    """Sets that `furrow train corpus` wrote, FaceScape's among them."""
    size = options.resolution
    return Sets(
        from_set(folder, data, size // 2, relief=True),
        from_set(folder, data, size, relief=True),
    )


def learn_encoder(
    model: Networks,
    options: Options,
    bases: Bases,
    validation: Samples,
    training: Samples,
    out: Path,
    where: torch.device,
) -> None:
    """The encoder's stage, and what follows from it in closed form on people whom it never saw."""
    encoder, choice = model.encoder, options.encoder
    variance = torch.stack([bases.coarse_variance, bases.fine_variance])
    stage = regression(
        encoder.to(where), training, variance, options.styles, choice,
        options.weight_decay, options.bfloat16, options.seed,
    )  # fmt: skip
    run_stage(stage, out, choice.budget, COMMAND)
    encoder.load_state_dict(stage.averages["encoder"].module.state_dict())
    encoder.cpu()
    both = (bases.coarse, bases.fine)
    restore_amplitude(
        encoder, both, validation, options.styles, options.amplitude, options.basis_gains
    )
    spread_styles(encoder, validation, options.styles)


def learn_relief(
    model: Networks, options: Options, full: Maps, out: Path, where: torch.device
) -> None:
    """The relief's stage; it needs nothing of the others."""
    relief, choice = model.synthesis.relief, options.relief
    torch.manual_seed(options.seed)
    begin(relief, full, options.unit_mm)
    stage = adversarial(
        relief.to(where), full, options.unit_mm, choice.batch, choice.rate, options.seed
    )
    run_stage(stage, out, choice.budget, COMMAND)
    relief.load_state_dict(stage.averages["relief"].module.state_dict())
    relief.cpu()


SamplesOf = Callable[[Bases], tuple[Samples, Samples]]
"""From the bases to the encoder's samples: of people who are held back, and of those it learns from."""


def train(
    options: Options, sets: Sets, samples: SamplesOf, out: Path, where: torch.device
) -> Networks:
    """Run all stages up to the export; returns the networks, with the averages of every stage."""
    half, full = sets.half, sets.full
    torch.manual_seed(options.seed)
    model = networks(options, (half.identity.shape[1], half.expression.shape[1]), full.texel_mm)
    rows = np.flatnonzero(half.person < options.bases_people)
    bases = fit_bases(model.synthesis, half, rows, out / "bases.pt")
    validation, training = samples(bases)
    learn_encoder(model, options, bases, validation, training, out, where)
    learn_relief(model, options, full, out, where)
    centre_styles(model.encoder, *validation.inputs())
    return model


def drawn_samples(options: Options, head: Head, sets: Sets, data: Path) -> SamplesOf:
    """The encoder's samples from the corpus's sampler: both styles of some people, the coarse one of many."""
    size, seed = options.resolution, options.seed + 1

    def samples(bases: Bases) -> tuple[Samples, Samples]:
        validation = samples_of(bases, sets.half, np.arange(len(sets.half.map)))
        fine = draw_samples(
            data, head, bases, options.people, options.fine_people,
            options.fine_expressions, seed, size // 2,
        )  # fmt: skip
        # From the first person on: those of the set at R / 2 show what the coarser drawing changes.
        coarse = draw_samples(
            data, head, bases, 0, options.people + options.coarse_people,
            options.expressions, seed, size // 4,
        )  # fmt: skip
        return validation, joined(fine, correct(coarse, validation))

    return samples


def samples_on_disk(sets: Sets) -> SamplesOf:
    """The encoder's samples where there are maps alone: nine tenths of the people; the others are held back."""

    def samples(bases: Bases) -> tuple[Samples, Samples]:
        people = sets.half.person
        back = people < max(1, people.max() // 10)
        validation, training = (
            samples_of(bases, sets.half, np.flatnonzero(rows)) for rows in (back, ~back)
        )
        return validation, training

    return samples


def measure(assets: Path, data: Path, people: int) -> list[Figure]:
    """Share of the energy of unseen people's maps that networks explain."""
    encoder, synthesis = load(assets)
    test = draw_test_set(data, Head.load(), synthesis.config.resolution, people)
    rows = np.arange(len(test.map))
    return [Figure("energy_explained", explained(encoder, synthesis, test, rows), "")]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``furrow train dnpm``."""
    parser.add_argument(
        "--config", type=Path, default=SHIPPED, help="a JSON file; without it the shipped recipe"
    )
    parser.add_argument(
        "--set", type=Path, metavar="DIR",
        help="learn from a set that furrow train corpus wrote, instead of drawing maps",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, default=Path("out/detail-data"))
    parser.add_argument(
        "--assets", type=Path, metavar="DIR",
        help="folder to export to (default: networks, in the run's folder)",
    )  # fmt: skip
    machine.add_arguments(parser, Path("out/dnpm"), minutes=False)


def run(args: argparse.Namespace) -> None:
    """Draw or read the data, run the stages, export, and learn the space of what was exported."""
    where = machine.begin(args)
    options = read_options(args.config)
    decisive = settings(options)
    claim(args.out, decisive)
    head = Head.load()
    if args.set:
        sets = sets_on_disk(options, args.set, args.data)
        samples = samples_on_disk(sets)
    else:
        sets = drawn_sets(options, head, args.data)
        samples = drawn_samples(options, head, sets, args.data)
    digests = {"half": sets.half.digest, "full": sets.full.digest}
    claim(args.out, digests, "data.json")
    model = train(options, sets, samples, args.out, where)
    assets = args.assets or args.out / "networks"
    export(model.encoder, model.synthesis, assets, {"data": digests, "config": decisive})
    write_curves(args.out)
    if args.set:  # of other people, and perhaps on another chart, than the corpus's
        print("furrow train space and the figures go by the corpus's people: they are left out.")
        return
    space.learn(assets, assets, args.out, space_options(options), where)
    write_curves(args.out)
    results = measure(assets, args.data, options.test_people)
    print(figures.table(results))
    figures.write(args.out / "figures.json", results, seed=options.seed)


def space_options(options: Options) -> space.SpaceOptions:
    """What ``furrow train space`` learns as a part of a run."""
    stage = options.mapping
    return space.SpaceOptions(
        stage.budget, stage.batch, stage.rate,
        options.mapping_people, options.direction_people, options.seed,
    )  # fmt: skip
