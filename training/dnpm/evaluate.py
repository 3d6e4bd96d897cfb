"""`furrow evaluate dnpm`: what the generator's W+ holds, and how much what it makes is like the corpus."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...backend.detail.engines.torch_networks import Encoder, Synthesis, load
from ...backend.formats.figures import Figure
from ...backend.formats.files import ASSETS
from ...backend.head.bilinear import Head
from ..maps.data import Maps, draw, read
from ..maps.testset import draw_test_set
from ..networks.metrics import psnr_db, resized
from ..space.mapping import Mapping, load_mapping
from ..spine import machine
from .inversion import explained, invert, plain_maps
from .sampling_quality import (
    copy_ratio,
    corpus_features,
    drawn_maps,
    encoded_codes,
    generated_features,
    mapped_codes,
    path_steps,
    quality,
)

CROWD_SEED, CROWD_PEOPLE, CROWD_EACH = 200, 300, 2
"""Of the set that generated maps are compared with by --full."""

PATHS_AT = 512
"""Resolution at which LPIPS looks at ways through W+."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``furrow evaluate dnpm``."""
    parser.add_argument("--data", type=Path, default=Path("out/detail-data"))
    parser.add_argument(
        "--assets", type=Path, default=ASSETS / "detail",
        help="networks to measure: encoder, generator and mapping",
    )  # fmt: skip
    parser.add_argument("--maps", type=int, default=4, help="maps to invert (24 with --full)")
    parser.add_argument(
        "--full", action="store_true",
        help="more maps, and copies among all training maps (needs the training set)",
    )  # fmt: skip
    machine.add_threads(parser)


def run(args: argparse.Namespace) -> list[Figure]:
    """Invert maps, compare generated ones with the corpus, walk through W+; 5 minutes on 2 cores."""
    machine.set_threads(args.threads)
    head = Head.load()
    encoder, synthesis = load(args.assets)
    mapping = load_mapping(args.assets)
    synthesis.requires_grad_(False)
    test = draw_test_set(args.data, head)
    figures = [
        *inversion_figures(encoder, synthesis, test, 24 if args.full else args.maps),
        *path_figures(encoder, synthesis, test, 12 if args.full else 3),
    ]
    if not args.full:
        rows = np.arange(0, len(test.map), 2)
        return figures + sample_figures(encoder, synthesis, mapping, head, test, rows)
    folder = args.data / "crowd1024"
    crowd = draw(folder, head, 1024, CROWD_PEOPLE, CROWD_EACH, CROWD_SEED, True)
    rows = np.arange(len(crowd.map))
    ratio = copy_ratio(synthesis, mapped_codes(mapping, 200, seed=1), read(args.data / "train256"))
    figures += sample_figures(encoder, synthesis, mapping, head, crowd, rows)
    return [*figures, Figure("nearest_ratio", ratio, "ratio")]


def inversion_figures(
    encoder: Encoder, synthesis: Synthesis, test: Maps, count: int
) -> list[Figure]:
    """Maps of unseen people found again in W+, and what the encoder's own W+ explains."""
    size = synthesis.config.resolution
    mask = resized(torch.from_numpy(test.mask)[None, None], size)
    target = plain_maps(test, np.linspace(1, len(test.map) - 1, count).astype(int), size)
    maps = torch.cat([invert(encoder, synthesis, one, mask) for one in target.split(1)])
    rows = np.linspace(0, len(test.map) - 1, 6 * count).astype(int)
    return [
        Figure("inversion_psnr_db", psnr_db(maps, target, mask), "dB"),
        Figure("energy_explained", explained(encoder, synthesis, test, rows), ""),
    ]


def path_figures(encoder: Encoder, synthesis: Synthesis, test: Maps, count: int) -> list[Figure]:
    """How evenly maps change between two people's W+, beside blends of the maps."""
    rows = np.linspace(0, len(test.map) - 1, 2 * count).astype(int)
    with torch.inference_mode():
        a, b = (torch.from_numpy(v[rows]) for v in (test.identity, test.expression))
        codes = encoder(a, b)

    def maps(w: Tensor) -> Tensor:
        return drawn_maps(synthesis, w, PATHS_AT, relief=False)

    through, blended = path_steps(maps, codes)
    return [
        Figure("path_step_ratio", through, "ratio"),
        Figure("path_step_ratio_blend", blended, "ratio"),
    ]


def sample_figures(
    encoder: Encoder,
    synthesis: Synthesis,
    mapping: Mapping,
    head: Head,
    real: Maps,
    rows: np.ndarray,
) -> list[Figure]:
    """Likeness of generated maps to the rows of a set: from random z, and of fresh people's W+."""
    corpus, count = corpus_features(real, rows), (len(rows) + 1) // 2
    figures = []
    for suffix, codes in (
        ("", mapped_codes(mapping, count)),
        ("_encoder", encoded_codes(encoder, head, count)),
    ):
        fake = generated_features(synthesis, codes, real)
        likeness = quality(corpus, real.person[rows], fake)
        figures += [
            Figure(f"frechet_vgg{suffix}", likeness["frechet"], ""),
            Figure(f"precision{suffix}", likeness["precision"], ""),
            Figure(f"recall{suffix}", likeness["recall"], ""),
        ]
    return figures + [
        Figure(f"{name}_floor", likeness[f"{key}_floor"], "")
        for name, key in (
            ("frechet_vgg", "frechet"),
            ("precision", "precision"),
            ("recall", "recall"),
        )
    ]
