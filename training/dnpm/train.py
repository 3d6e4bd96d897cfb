"""`furrow train dnpm`: learn encoder and synthesis together, as an auto-decoder, stage by stage.

1. Bases: principal components of the corpus's maps, local by patches, in closed form (`bases.py`).
2. Encoder: regression from (a, b) to the bases' styles, on many people and no image
   (`samples.py`, `regression.py`).
3. Relief: seeded noise learns the look of pores, adversarially (`relief.py`).
4. Convolutions: what the bases leave, on people whom the encoder never saw (`convolutions.py`).

Each stage leaves NAME.pt and NAME.csv in the run's folder: a run that was cut off goes on where it
stopped, and a stage that is complete is not repeated.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...backend.errors import FurrowError
from ...backend.formats.files import write_whole
from ..export.detail import centre_styles, export
from ..maps.data import Maps, draw
from ..maps.sets import from_set
from .bases import Bases, fit_bases
from .convolutions import convolutions
from .loop import run_stage
from .pictures import write_curves
from .regression import regression, restore_amplitude, spread_styles
from .relief import adversarial, begin
from .samples import Samples, correct, draw_samples, joined, samples_of
from .setup import SHIPPED, Networks, Options, networks, read_options


@dataclass(frozen=True)
class Sets:
    """What a run learns from.

    Attributes
    ----------
    half
        Maps at R / 2, for bases and convolutions.
    full
        Maps at R, with relief.
    """

    half: Maps
    full: Maps


def drawn_sets(options: Options, head: Any, data: Path) -> Sets:
    """Sets drawn from the corpus's sampler, kept in `data`."""
    size = options.resolution
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
    model: Networks, options: Options, bases: Bases, held: Samples, known: Samples, out: Path
) -> None:
    """The encoder's stage, and what follows from it in closed form; `held` are unseen people's."""
    encoder = model.encoder
    variance = torch.stack([bases.coarse_variance, bases.fine_variance])
    stage_options = options.encoder
    stage = regression(
        encoder,
        known,
        variance,
        options.wanted,
        stage_options.batch,
        stage_options.rate,
        options.weight_decay,
        options.bfloat16,
    )
    average = run_stage(stage, out, stage_options.minutes, stage_options.steps, options.seed)
    encoder.load_state_dict(average.state_dict())
    both = (bases.coarse, bases.fine)
    restore_amplitude(encoder, both, held, options.wanted, options.amplitude, options.basis_gains)
    spread_styles(encoder, held, options.wanted)


def learn_relief(model: Networks, options: Options, full: Maps, out: Path) -> None:
    """The relief's stage; it needs nothing of the others."""
    relief, choice = model.synthesis.relief, options.relief
    torch.manual_seed(options.seed)
    begin(relief, full, options.unit_mm)
    stage = adversarial(relief, full, options.unit_mm, choice.batch, choice.rate)
    pair = run_stage(stage, out, choice.minutes, choice.steps, options.seed)
    relief.load_state_dict(pair.relief.state_dict())  # type: ignore[operator, union-attr]


def learn_convolutions(model: Networks, options: Options, sets: Sets, out: Path) -> None:
    """The convolutions' stage, for an encoder that is trained."""
    half, choice = sets.half, options.convolutions
    rows = np.linspace(0, len(half.map) - 1, 4).astype(int)
    a, b = torch.from_numpy(half.identity[rows]), torch.from_numpy(half.expression[rows])
    with torch.no_grad():
        model.synthesis.calibrate(model.encoder(a, b), options.resolution)
    dtype = torch.bfloat16 if options.bfloat16 else torch.float32
    stage = convolutions(
        model.encoder, model.synthesis, half, sets.full, choice.batch, choice.rate, dtype
    )
    average = run_stage(stage, out, choice.minutes, choice.steps, options.seed)
    model.synthesis.load_state_dict(average.state_dict())


def train(options: Options, sets: Sets, samples: Any, out: Path) -> Networks:
    """Run all stages; `samples` yields samples held back and the encoder's, given the bases.

    Returns the trained networks, with the averages of every stage.
    """
    half, full = sets.half, sets.full
    torch.manual_seed(options.seed)
    model = networks(options, (half.identity.shape[1], half.expression.shape[1]), full.texel_mm)
    fitted = np.flatnonzero(half.person < options.bases_people)
    bases = fit_bases(model.synthesis, half, fitted, out / "bases.pt")
    held, known = samples(bases)
    learn_encoder(model, options, bases, held, known, out)
    learn_relief(model, options, full, out)
    learn_convolutions(model, options, sets, out)
    centre_styles(model.encoder, torch.from_numpy(held.identity), torch.from_numpy(held.expression))
    return model


def drawn_samples(options: Options, head: Any, sets: Sets, data: Path) -> Any:
    """The encoder's samples from the corpus's sampler: both styles of some people, the coarse one of many."""
    size, seed = options.resolution, options.seed + 1

    def samples(bases: Bases) -> tuple[Samples, Samples]:
        held = samples_of(bases, sets.half, np.arange(len(sets.half.map)))
        fine = draw_samples(
            data / "samples-fine", head, bases, options.people, options.fine_people,
            options.fine_expressions, seed, size // 2,
        )  # fmt: skip
        # From the first person on: those of the set at R / 2 show what the coarser drawing changes.
        many = draw_samples(
            data / "samples-coarse", head, bases, 0, options.people + options.coarse_people,
            options.expressions, seed, size // 4,
        )  # fmt: skip
        return held, joined(fine, correct(many, held))

    return samples


def samples_on_disk(sets: Sets) -> Any:
    """The encoder's samples where there are maps alone: nine tenths of the people; the others are held back."""

    def samples(bases: Bases) -> tuple[Samples, Samples]:
        people = sets.half.person
        back = people < max(1, people.max() // 10)
        return tuple(samples_of(bases, sets.half, np.flatnonzero(r)) for r in (back, ~back))  # type: ignore[return-value]

    return samples


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
    parser.add_argument("-o", "--out", type=Path, default=Path("out/dnpm"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--assets", type=Path, help="folder to export to when the run ends")


def run(args: argparse.Namespace) -> None:
    """Draw or read the data, run the stages, leave checkpoints and curves in --out, and export."""
    from ...backend.head.bilinear import Head

    torch.set_num_threads(args.threads)
    options = read_options(args.config)
    args.out.mkdir(parents=True, exist_ok=True)
    begun = args.out / "config.json"
    content = json.dumps(asdict(options), indent=1) + "\n"
    if begun.exists() and begun.read_text() != content:
        raise FurrowError(
            f"{args.out} holds a run of another configuration. Choose another folder with -o."
        )
    write_whole(begun, content.encode())
    head = Head.load()
    if args.set:
        sets = sets_on_disk(options, args.set, args.data)
        samples = samples_on_disk(sets)
    else:
        sets = drawn_sets(options, head, args.data)
        samples = drawn_samples(options, head, sets, args.data)
    model = train(options, sets, samples, args.out)
    write_curves(args.out)
    if args.assets:
        record = {
            "data": {"half": sets.half.digest, "full": sets.full.digest},
            "config": asdict(options),
        }
        export(model, args.assets, record)
