"""`furrow train space`: the mapping network and the sliders' directions, for a generator that is trained."""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path

import torch
from torch import Tensor

from ...backend.detail.engines.torch_networks import Encoder, Synthesis, load
from ...backend.formats.files import ASSETS
from ...backend.head.bilinear import Head
from ..networks.frechet import frechet, precision_recall
from ..networks.schedule import Budget
from . import codes, mapping
from .directions import Search

SEARCH_PEOPLE = 1000
JUDGED = 2000
"""Codes on each side of a comparison of mapping and encoder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``furrow train space``."""
    parser.add_argument("--generator", type=Path, default=ASSETS / "detail", metavar="DIR",
                        help="folder of the networks (default: those that ship)")  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, help="folder to write to (default: the same)")
    parser.add_argument("--only", choices=("mapping", "directions"), help="leave out the other one")
    parser.add_argument("--steps", type=int, default=6000, help="of the mapping network")
    parser.add_argument("--minutes", type=float, help="budget of the mapping network instead")
    parser.add_argument("--people", type=int, default=40000, help="codes that it is fitted to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)


def run(args: argparse.Namespace) -> None:
    """Write ``mapping.onnx``, ``.safetensors``, ``.json`` and ``directions.safetensors``.

    About 5 minutes on one core for a generator of 512 texels that has it alone.
    """
    torch.set_num_threads(args.threads)
    head = Head.load()
    encoder, synthesis = load(args.generator)
    encoder.requires_grad_(False)
    synthesis.requires_grad_(False)
    out = args.out or args.generator
    began = time.monotonic()
    search = Search(encoder, synthesis, head, SEARCH_PEOPLE, args.seed + 1)
    if args.only != "mapping":
        search.find().write(out / "directions.safetensors")
        print(f"directions.safetensors written after {time.monotonic() - began:.0f} s")
    if args.only != "directions":
        _learn_mapping(args, out, head, encoder, synthesis, search)
        print(f"mapping.onnx written after {time.monotonic() - began:.0f} s")


def _learn_mapping(
    args: argparse.Namespace,
    out: Path,
    head: Head,
    encoder: Encoder,
    synthesis: Synthesis,
    search: Search,
) -> None:
    config = mapping.MappingConfig(synthesis.num_ws)
    identity, expression = codes.draw_people(head, args.people + 2 * JUDGED, args.seed + 2)
    relief = search.relief_gradient.view(synthesis.num_ws, -1)
    mask = codes.skin_mask(head, min(codes.LINES_RESOLUTION, synthesis.config.resolution // 2))
    found = codes.components(
        encoder, synthesis, identity, expression, mask, relief, config.coordinates
    )
    print(f"{config.coordinates} coordinates hold {found.shown:.2%} of what maps show of the codes")
    learned, held = found.values[: args.people], found.values[args.people :]
    found = codes.Components(found.mean, found.back, learned, found.shown)
    budget = Budget(args.minutes, None if args.minutes else args.steps)
    network = mapping.fit(found, config, budget, args.seed)
    record = {
        "generator": _digest(args.generator / "generator.safetensors"),
        "encoder": _digest(args.generator / "encoder.safetensors"),
        "people": args.people,
        "seed": args.seed,
        "shown": round(found.shown, 5),
        "codes": judge(network, found, held),
        "codes_of_a_normal_distribution": judge(mapping.gaussian(found, config), found, held),
    }
    for name in ("codes", "codes_of_a_normal_distribution"):
        print(name.replace("_", " "), record[name])
    mapping.export(network, out, record)


@torch.no_grad()
def judge(
    network: mapping.Mapping, found: codes.Components, held: Tensor
) -> dict[str, float | list[float]]:
    """Compare a mapping's samples with codes that it never saw, in the coordinates of `found`.

    Parameters
    ----------
    held
        (2n, k) coordinates of codes.

    Returns
    -------
    dict
        ``frechet_over_floor``, the floor being the distance of two halves of the codes;
        ``precision`` and ``recall``, and those of one half by the other.
    """
    one, two = (part.double().numpy() for part in held.chunk(2))
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(len(one), mapping.Z_SIZE, generator=generator)
    back = torch.linalg.pinv(found.back)
    parts = [(network(part).flatten(1) - found.mean) @ back for part in z.split(500)]
    samples = torch.cat(parts).double().numpy()
    both = (*precision_recall(one, samples), *precision_recall(one, two))
    rounded = [round(value, 3) for value in both]
    return {
        "frechet_over_floor": round(frechet(one, samples) / frechet(one, two), 3),
        "precision_recall": rounded[:2],
        "precision_recall_floor": rounded[2:],
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
