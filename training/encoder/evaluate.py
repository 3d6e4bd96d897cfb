"""`furrow evaluate encoder`: the shipped networks on people and expressions that training never saw."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ...backend.errors import FurrowError
from ...backend.figures import Figure
from ...backend.files import ASSETS
from ...backend.torch_networks import load
from ..corpus.chart import chart
from ..dnpm.data import Maps, draw, read
from ..dnpm.evaluate import TEST_SEED
from ..dnpm.pictures import write_comparison
from ..networks.metrics import band_errors_db, psnr_db, ssim
from ..networks.perceptual import evaluate_lpips
from . import baselines

REGIONS = ("forehead", "brow", "nose", "cheeks", "eyelids", "lips", "chin")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``furrow evaluate encoder``."""
    parser.add_argument("--data", type=Path, default=Path("out/detail-data"))
    parser.add_argument("--assets", type=Path, default=ASSETS / "detail", help="networks to judge")
    parser.add_argument(
        "--full", action="store_true", help="compute the baselines anew (needs the training set)"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--picture", type=Path, metavar="FILE.png", help="also draw truth beside the networks' maps"
    )


def predict(folder: Path, maps: Maps, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps of the networks in `folder` for a set's samples, (N, 1, R, R) mm: without and with relief."""
    encoder, synthesis = load(folder)
    resolution = synthesis.config.resolution
    generator = torch.Generator().manual_seed(seed)
    plain, full = [], []
    with torch.inference_mode():
        for i in range(len(maps.map)):
            w = encoder(
                torch.from_numpy(maps.identity[i : i + 1]),
                torch.from_numpy(maps.expression[i : i + 1]),
            )
            noise = torch.randn(1, 1, resolution, resolution, generator=generator)
            plain.append(synthesis(w, torch.zeros_like(noise)))
            full.append(synthesis(w, noise))
    return torch.cat(plain), torch.cat(full)


def run(args: argparse.Namespace) -> list[Figure]:
    """Figures on 240 maps of 60 unseen people; about 3 minutes on 2 cores.

    `psnr_db`, `ssim` and the baselines are taken without relief, which follows the seed and not
    (a, b), at 128, where all baselines can be had; `psnr_512_db` at the full resolution.
    `lpips` and `band_error_worst_db` are taken on whole maps at 512, relief included.
    """
    from ...backend.head import Head

    torch.set_num_threads(args.threads)
    head = Head.load()
    test = draw(args.data / "test512", head, 512, 60, 4, TEST_SEED, True)
    plain, full = predict(args.assets, test)
    target = torch.from_numpy(np.asarray(test.map, np.float32))[:, None]
    mask = torch.from_numpy(test.mask)[None, None]
    relief = np.repeat(np.asarray(test.relief, np.float32), test.per_identity, axis=0)
    skin_chart = chart(head, 512)
    regions = {}
    for name in REGIONS:
        image = np.zeros((512, 512), bool)
        image.ravel()[skin_chart.texels] = (skin_chart.groups[name] > 0.8) & (
            skin_chart.weight > 0.5
        )
        if image.sum() > 200:
            regions[name] = image
    bands = band_errors_db(
        full[:, 0].numpy(), target[:, 0].numpy() + relief, regions, test.texel_mm
    )
    if args.picture:
        top, left = 20, 100
        front = (slice(top, top + 420), slice(left, left + 320))  # the face, without its rim
        # The most folded map of every twentieth person: flat ones show nothing.
        rows = [
            int(target[i : i + 4].square().sum((1, 2, 3)).argmax()) + i for i in range(0, 240, 80)
        ]
        pairs = [
            ((target[r, 0].numpy() + relief[r])[front], full[r, 0].numpy()[front]) for r in rows
        ]
        write_comparison(args.picture, pairs, test.texel_mm)
    factor = 512 // baselines.RESOLUTION
    low = [F.avg_pool2d(t, factor) for t in (plain, target, mask)]
    best = max(_baselines(args, test).values())
    whole = target + torch.from_numpy(relief)[:, None]
    return [
        Figure("psnr_db", psnr_db(*low), "dB"),
        Figure("psnr_512_db", psnr_db(plain, target, mask), "dB"),
        Figure("psnr_best_baseline_db", best, "dB"),
        Figure("ssim", ssim(plain, target, mask), ""),
        Figure("lpips", evaluate_lpips(whole, full, mask), ""),
        Figure("band_error_worst_db", max(abs(v) for v in bands.values()), "dB"),
    ]


def _baselines(args: argparse.Namespace, test: Maps) -> dict[str, float]:
    trained_on = json.loads((args.assets / "detail.json").read_text())["data"]["train256"]
    if not args.full:
        results = baselines.kept(trained_on, test)
        if results is None:
            raise FurrowError(
                "The recorded baselines are of other data than these networks. Run: "
                "furrow train dnpm --draw-only, then furrow evaluate encoder --full.",
                "missing_file",
            )
        return results
    train = read(args.data / "train256")
    if train.digest != trained_on:
        raise FurrowError(
            f"{args.data} does not hold the set that the networks in {args.assets} learned from."
        )
    results = baselines.compute(train, test)
    baselines.keep(results, train, test)
    return results
