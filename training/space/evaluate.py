"""`furrow evaluate space`: random people of the mapping network, directions, truncation; pictures."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...backend.detail.engines.torch_networks import Encoder, Synthesis, load
from ...backend.formats.figures import Figure
from ...backend.formats.files import ASSETS
from ...backend.formats.identity import ADJUSTMENTS
from ...backend.head.bilinear import Head
from ..networks.frechet import features, frechet, precision_recall
from ..spine import machine
from .attributes import Attributes
from .codes import draw_people, drawn_lines, principal_axes, skin_mask
from .directions import effects, read_directions
from .mapping import Z_SIZE, load_mapping
from .pictures import Pictures

SEED = 300
"""Of the people whose codes and maps are the measure; training draws none of them."""

AGE_PEOPLE = 800
"""From whose maps age is learned anew, so that directions are not judged by what they were found on."""

EFFECTS_ON = 60
"""Of the people that follow, on whom the sliders are tried."""

RESOLUTION = 256
"""Texels of the maps that are compared, without relief."""


LEVELS = (0.0, 0.5, 0.7, 1.0, 1.3)
"""psi of truncation."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``furrow evaluate space``."""
    parser.add_argument(
        "--assets", type=Path, default=ASSETS / "detail", help="networks to measure"
    )
    parser.add_argument("--space", type=Path, metavar="DIR",
                        help="where mapping and directions lie (default: with the networks)")  # fmt: skip
    parser.add_argument("--maps", type=int, default=200, help="of each kind that are compared")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="also draw space-*.jpg there")
    parser.add_argument("--pictures-only", action="store_true", help="measure nothing")
    machine.add_threads(parser)


@torch.no_grad()
def run(args: argparse.Namespace) -> list[Figure]:
    """Figures of W+; about 5 minutes on 2 cores."""
    machine.set_threads(args.threads)
    head = Head.load()
    encoder, synthesis = load(args.assets)
    folder = args.space or args.assets
    mapping = load_mapping(folder)
    directions = read_directions(folder / "directions.safetensors", synthesis.num_ws)

    def sample(count: int, seed: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return mapping(torch.randn(count, Z_SIZE, generator=generator))

    if args.pictures:
        Pictures(encoder, synthesis, head, directions, sample).write(args.pictures)
        if args.pictures_only:
            return []
    identity, expression = draw_people(head, AGE_PEOPLE + 2 * args.maps, SEED)
    w = encoder(identity, expression)
    ages = identity[:, -16]
    attributes = Attributes(synthesis, head, w[:AGE_PEOPLE], ages[:AGE_PEOPLE])
    figures = []
    read = attributes.measure(w[AGE_PEOPLE:], 0)[0][:, 0]
    unexplained = (read - ages[AGE_PEOPLE:]).square().mean() / ages[AGE_PEOPLE:].var()
    figures.append(Figure("age_read_r2", 1.0 - float(unexplained), ""))
    people = w[AGE_PEOPLE : AGE_PEOPLE + EFFECTS_ON]
    for slider, values in effects(directions, attributes, people, 8).items():
        for sign, (mean, deviation) in zip(("minus", "plus"), values.values(), strict=True):
            for name, change in zip(ADJUSTMENTS, mean, strict=True):
                figures.append(Figure(f"{slider}_{sign}_{name}", float(change), ""))
            own = float(deviation[ADJUSTMENTS.index(slider)])
            figures.append(Figure(f"{slider}_{sign}_deviation", own, ""))
    figures += truncation(encoder, synthesis, skin_mask(head, RESOLUTION), sample(60))
    return figures + distribution(synthesis, head, w[AGE_PEOPLE:], sample)


def distribution(
    synthesis: Synthesis, head: Head, w: Tensor, sample: Callable[[int], Tensor]
) -> list[Figure]:
    """How near random maps come to maps of unseen people, on features of VGG16, relief left out.

    The real maps are halves of `w` (2n, num_ws, 512). A normal distribution of the codes' mean and
    covariance stands beside the mapping network.
    """
    mask = skin_mask(head, RESOLUTION)
    n = len(w) // 2

    def seen(codes: Tensor) -> np.ndarray:
        return features(drawn_lines(synthesis, codes, RESOLUTION), mask)

    one, two = seen(w[:n]), seen(w[n:])
    centred = (w - w.mean(0)).flatten(1)
    axes, _ = principal_axes(centred, len(centred))
    draws = torch.randn(n, len(axes), generator=torch.Generator().manual_seed(2))
    normal = w.mean(0) + (draws @ axes).unflatten(1, w.shape[1:])
    figures = [Figure("space_frechet_floor", frechet(one, two), "")]
    rows = (("halves", two), ("mapping", seen(sample(n))), ("normal", seen(normal)))
    for name, sample_features in rows:
        precision, recall = precision_recall(one, sample_features)
        figures += [
            Figure(f"space_{name}_frechet", frechet(one, sample_features), ""),
            Figure(f"space_{name}_precision", precision, ""),
            Figure(f"space_{name}_recall", recall, ""),
        ]
    return figures


def truncation(encoder: Encoder, synthesis: Synthesis, mask: Tensor, w: Tensor) -> list[Figure]:
    """Depth (RMS mm) of truncated random maps, and how far they lie apart (RMS mm from their mean)."""
    w_avg: Tensor = encoder.w_avg
    figures = []
    for psi in LEVELS:
        maps = drawn_lines(synthesis, w_avg + psi * (w - w_avg), mask.shape[-1])
        spread = maps - maps.mean(0)
        for name, values in (("depth", maps), ("spread", spread)):
            size = float(((values.square() * mask).sum() / mask.sum() / len(values)).sqrt())
            figures.append(Figure(f"truncation_{psi:.1f}_{name}_mm", size, "mm"))
    return figures
