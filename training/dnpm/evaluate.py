"""`furrow evaluate dnpm`: how well the generator's W+ holds maps of people it never saw."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...backend.figures import Figure
from ...backend.files import ASSETS
from ...backend.torch_networks import Encoder, Synthesis, load
from ..networks.losses import furrow_loss
from ..networks.metrics import psnr_db
from .data import Maps, draw

TEST_SEED, TEST_PEOPLE, TEST_EACH = 100, 60, 4
"""Of the test set that `evaluate encoder` uses too, as `data.draw` takes them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``furrow evaluate dnpm``."""
    parser.add_argument("--data", type=Path, default=Path("out/detail-data"))
    parser.add_argument("--assets", type=Path, default=ASSETS / "detail", help="networks to judge")
    parser.add_argument("--maps", type=int, default=8, help="maps to invert (240 with --full)")
    parser.add_argument("--steps", type=int, default=150, help="steps of the inversion")
    parser.add_argument("--full", action="store_true", help="invert the whole test set")
    parser.add_argument("--threads", type=int, default=2)


def invert(
    encoder: Encoder, synthesis: Synthesis, target: Tensor, mask: Tensor, steps: int
) -> Tensor:
    """Find the W+ whose map, without relief, comes nearest to one map, starting from w_avg.

    Parameters
    ----------
    target
        (1, 1, R, R) mm, at the synthesis's resolution.
    mask
        (1, 1, R, R).

    Returns
    -------
    Tensor
        (1, 1, R, R) mm, the map of that W+.
    """
    w = encoder.w_avg.clone()[None].requires_grad_(True)  # type: ignore[operator]
    noise = torch.zeros_like(target)
    optimiser = torch.optim.Adam([w], lr=0.05)
    best, best_loss = torch.zeros_like(target), float("inf")
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.05 * min(1.0, 2.0 * (1 - step / steps))
        image = synthesis(w, noise)
        loss = furrow_loss(image / synthesis.scale, target / synthesis.scale, mask)
        if loss.item() < best_loss:
            best, best_loss = image.detach(), loss.item()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return best


@torch.no_grad()
def explained(encoder: Encoder, synthesis: Synthesis, maps: Maps) -> float:
    """Share of the maps' energy on the skin, without relief, that the networks explain, at most 1."""
    size = synthesis.config.resolution
    mask, noise = torch.from_numpy(maps.mask), torch.zeros(1, 1, size, size)
    wrong = energy = 0.0
    for i in range(len(maps.map)):
        target = torch.from_numpy(np.asarray(maps.map[i], np.float32))
        a, b = (torch.from_numpy(v[i : i + 1]) for v in (maps.identity, maps.expression))
        difference = synthesis(encoder(a, b), noise)[0, 0] - target
        wrong += float((mask * difference.square()).sum())
        energy += float((mask * target.square()).sum())
    return 1.0 - wrong / energy


@torch.no_grad()
def without_convolutions(synthesis: Synthesis) -> Synthesis:
    """A copy that draws only the mixture of its constant images, and relief."""
    plain = copy.deepcopy(synthesis)
    for layer in (plain.first_to_map, *(block.to_map for block in plain.blocks)):
        layer.weight.zero_()  # type: ignore[union-attr, operator]
    return plain


def run(args: argparse.Namespace) -> list[Figure]:
    """Invert maps of unseen people, and leave the convolutions out; about 4 minutes on 2 cores."""
    from ...backend.head import Head

    torch.set_num_threads(args.threads)
    test: Maps = draw(args.data / "test512", Head.load(), 512, 60, 4, TEST_SEED, True)
    encoder, synthesis = load(args.assets)
    synthesis.requires_grad_(False)
    count = len(test.map) if args.full else args.maps
    rows = np.linspace(1, len(test.map) - 1, count).astype(int)
    mask = torch.from_numpy(test.mask)[None, None]
    target = torch.from_numpy(np.asarray(test.map[rows], np.float32))[:, None]
    found = torch.cat([invert(encoder, synthesis, t, mask, args.steps) for t in target.split(1)])
    plain = without_convolutions(synthesis)
    return [
        Figure("inversion_psnr_db", psnr_db(found, target, mask), "dB"),
        Figure("energy_explained", explained(encoder, synthesis, test), ""),
        Figure("energy_explained_no_convolutions", explained(encoder, plain, test), ""),
    ]
