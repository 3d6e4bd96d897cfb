"""`furrow train space`: the mapping network and the sliders' directions, for a generator that is trained."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...backend.detail.engines.torch_networks import load
from ...backend.formats.files import ASSETS, sha256, write_whole
from ...backend.head.bilinear import Head
from ..networks.frechet import frechet, precision_recall
from ..spine import machine
from ..spine.files import claim
from ..spine.stage import Budget
from . import codes, mapping
from .directions import Search

COMPARED = 2000
"""Codes on each side of a comparison of mapping and encoder."""


@dataclass(frozen=True)
class SpaceOptions:
    """What a run of this part learns, and from how many people.

    Attributes
    ----------
    budget, batch, rate
        Of the mapping network.
    people
        Codes that it is fitted to.
    direction_people
        Codes among which directions are sought.
    """

    budget: Budget
    batch: int = mapping.BATCH
    rate: float = mapping.RATE
    people: int = 40_000
    direction_people: int = 1_000
    seed: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``furrow train space``."""
    parser.add_argument("--generator", type=Path, default=ASSETS / "detail", metavar="DIR",
                        help="folder of the networks (default: those that ship)")  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, help="folder to write to (default: the same)")
    parser.add_argument("--state", type=Path, default=Path("out/space"), metavar="DIR",
                        help="of the run, which goes on where it stopped (default: out/space)")  # fmt: skip
    parser.add_argument("--only", choices=("mapping", "directions"), help="leave out the other one")
    parser.add_argument("--steps", type=int, default=6000, help="of the mapping network")
    parser.add_argument("--people", type=int, default=40000, help="codes that it is fitted to")
    parser.add_argument("--seed", type=int, default=0)
    machine.add_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Write ``mapping.onnx``, ``.safetensors``, ``.json`` and ``directions.safetensors``.

    About 5 minutes on one core for a generator of 512 texels that has it alone.
    """
    where = machine.begin(args)
    budget = Budget(args.steps, args.minutes)
    options = SpaceOptions(budget, people=args.people, seed=args.seed)
    learn(args.generator, args.out or args.generator, args.state, options, where, args.only)


def learn(
    generator: Path,
    out: Path,
    state: Path,
    options: SpaceOptions,
    where: torch.device,
    only: str | None = None,
) -> None:
    """Learn mapping and directions of the networks in `generator`, and write them to `out`.

    Parameters
    ----------
    state
        Folder of the run: its checkpoint and log.
    only
        "mapping" or "directions", to leave out the other one.
    """
    head = Head.load()
    encoder, synthesis = load(generator)
    encoder.requires_grad_(False)
    synthesis.requires_grad_(False)
    began = time.monotonic()
    search = Search(encoder, synthesis, head, options.direction_people, options.seed + 1)
    sources = {n: sha256(generator / f"{n}.safetensors") for n in ("generator", "encoder")}
    if only != "mapping":
        _find_directions(out / "directions.safetensors", state, search, sources, options)
        print(f"directions.safetensors there after {time.monotonic() - began:.0f} s")
    if only != "directions":
        claim(state, sources | settings(options), "space.json")
        _learn_mapping(out, state, head, search, options, where, sources)
        print(f"mapping.onnx written after {time.monotonic() - began:.0f} s")


def settings(options: SpaceOptions) -> dict[str, Any]:
    """What decides a run: all options but the ceiling in minutes."""
    return {
        "steps": options.budget.steps,
        "batch": options.batch,
        "rate": options.rate,
        "people": options.people,
        "direction_people": options.direction_people,
        "seed": options.seed,
    }


def _find_directions(
    path: Path, state: Path, search: Search, sources: dict[str, str], options: SpaceOptions
) -> None:
    """Write the sliders' directions, unless the file is the one that this run has written."""
    record = state / "directions.json"
    inputs = sources | {"direction_people": options.direction_people, "seed": options.seed}
    whole = path.is_file() and record.is_file()
    if whole and json.loads(record.read_text()) == inputs | {"sha256": sha256(path)}:
        return
    search.find().write(path)
    state.mkdir(parents=True, exist_ok=True)
    write_whole(record, json.dumps(inputs | {"sha256": sha256(path)}, indent=1).encode())


def _learn_mapping(
    out: Path,
    state: Path,
    head: Head,
    search: Search,
    options: SpaceOptions,
    where: torch.device,
    sources: dict[str, str],
) -> None:
    synthesis, people = search.synthesis, options.people
    config = mapping.MappingConfig(synthesis.num_ws)
    identity, expression = codes.draw_people(head, people + 2 * COMPARED, options.seed + 2)
    relief = search.relief_gradient.view(synthesis.num_ws, -1)
    mask = codes.skin_mask(head, min(codes.LINES_RESOLUTION, synthesis.config.resolution // 2))
    components = codes.components(
        search.encoder, synthesis, identity, expression, mask, relief, config.coordinates
    )
    count = components.values.shape[1]  # fewer than asked for where the codes have no more
    config = dataclasses.replace(config, coordinates=count)
    print(f"{count} coordinates hold {components.shown:.2%} of what maps show of the codes")
    training, validation = components.values[:people], components.values[people:]
    components = dataclasses.replace(components, values=training)
    network = mapping.fit(
        components, config, options.budget, options.seed, state, where, options.batch, options.rate
    )
    record = {
        **sources,
        "people": people,
        "seed": options.seed,
        "shown": round(components.shown, 5),
        "codes": compare(network, components, validation),
        "codes_of_a_normal_distribution": compare(
            mapping.gaussian(components, config), components, validation
        ),
    }
    for name in ("codes", "codes_of_a_normal_distribution"):
        print(name.replace("_", " "), record[name])
    mapping.export(network, out, record)


@torch.no_grad()
def compare(
    network: mapping.Mapping, components: codes.Components, validation: Tensor
) -> dict[str, float | list[float]]:
    """Compare a mapping's samples with codes that it never saw, in the coordinates of `components`.

    Parameters
    ----------
    validation
        (2n, k) coordinates of codes.

    Returns
    -------
    dict
        ``frechet_over_floor``, the floor being the distance of two halves of the codes;
        ``precision`` and ``recall``, and those of one half by the other.
    """
    one, two = (part.double().numpy() for part in validation.chunk(2))
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(len(one), mapping.Z_SIZE, generator=generator)
    back = torch.linalg.pinv(components.back)
    parts = [(network(part).flatten(1) - components.mean) @ back for part in z.split(500)]
    samples = torch.cat(parts).double().numpy()
    both = (*precision_recall(one, samples), *precision_recall(one, two))
    rounded = [round(value, 3) for value in both]
    return {
        "frechet_over_floor": round(frechet(one, samples) / frechet(one, two), 3),
        "precision_recall": rounded[:2],
        "precision_recall_floor": rounded[2:],
    }
