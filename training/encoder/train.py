"""`furrow train encoder`: another encoder for a trained generator, whose weights stay as they are.

`furrow train dnpm` learns encoder and generator together, the encoder mainly on coefficients. This
fits an encoder of any size, the paper's 113 M parameters included, by the maps alone, as the paper
does: Adam at 5e-4 with cosine decay.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from ...backend.detail.engines.torch_networks import Encoder, EncoderConfig, Synthesis, load
from ...backend.errors import FurrowError
from ...backend.formats.files import ASSETS
from ..dnpm.data import Maps, draw
from ..dnpm.export import centre_styles, export
from ..dnpm.setup import Networks
from ..networks.losses import furrow_loss
from ..networks.schedule import Budget, learning_rate

RATE = 5e-4


def fit(
    encoder: Encoder,
    synthesis: Synthesis,
    maps: Maps,
    budget: Budget,
    resolution: int,
    batch: int = 8,
    seed: int = 0,
) -> list[float]:
    """Train `encoder` in place on maps at `resolution`; returns the loss of every step."""
    synthesis.requires_grad_(False).eval()
    optimiser = torch.optim.Adam(encoder.parameters(), lr=RATE, betas=(0.9, 0.99))
    unit = float(synthesis.scale)  # type: ignore[arg-type]
    factor = maps.map.shape[1] // resolution
    mask = F.avg_pool2d(torch.from_numpy(maps.mask)[None, None].clamp(min=0.02), factor)
    losses: list[float] = []
    with tqdm(total=100, desc="encoder", unit="%", bar_format="{l_bar}{bar}") as bar:
        while (fraction := budget.fraction(len(losses))) < 1.0:
            bar.update(int(100 * fraction) - bar.n)
            optimiser.param_groups[0]["lr"] = RATE * learning_rate(len(losses), fraction)
            rows = np.random.default_rng((seed, len(losses))).integers(len(maps.map), size=batch)
            target = torch.from_numpy(np.stack([np.asarray(maps.map[r], np.float32) for r in rows]))
            w = encoder(
                torch.from_numpy(maps.identity[rows]), torch.from_numpy(maps.expression[rows])
            )
            _, image = synthesis.lower(w, resolution)
            loss = furrow_loss(image, F.avg_pool2d(target[:, None], factor) / unit, mask)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    return losses


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``furrow train encoder``."""
    parser.add_argument("--minutes", type=float, default=60.0, help="wall-clock budget")
    parser.add_argument("--hidden", default="512,512,256,256,128", metavar="WIDTHS",
                        help="two widths: the paper's form (7680,7680 is its size); "
                        "five: linear heads")  # fmt: skip
    parser.add_argument("--resolution", type=int, default=128, help="of the maps compared")
    parser.add_argument("--data", type=Path, default=Path("out/detail-data"))
    parser.add_argument(
        "--generator", type=Path, default=ASSETS / "detail", help="folder of the trained generator"
    )
    parser.add_argument("-o", "--out", type=Path, default=Path("out/encoder"), help="export folder")
    parser.add_argument("--identities", type=int, default=6000)
    parser.add_argument("--expressions", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)


def run(args: argparse.Namespace) -> None:
    """Fit an encoder and export it with its generator to --out."""
    from ...backend.head.bilinear import Head

    hidden = tuple(int(width) for width in args.hidden.split(","))
    if len(hidden) not in (2, 5):
        raise FurrowError(f"--hidden {args.hidden}: write two widths or five, as in 512,512.")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    known, synthesis = load(args.generator)
    maps = draw(
        args.data / "train256", Head.load(), 256, args.identities, args.expressions, args.seed + 1
    )
    sizes = known.config
    encoder = Encoder(EncoderConfig(sizes.identity, sizes.expression, sizes.split, hidden))
    encoder.shift.copy_(known.shift)  # type: ignore[operator, arg-type]
    encoder.gain.copy_(known.gain)  # type: ignore[operator, arg-type]
    fit(encoder, synthesis, maps, Budget(args.minutes, None), args.resolution, seed=args.seed)
    rows = np.arange(0, len(maps.map), max(1, len(maps.map) // 2000))
    centre_styles(
        encoder, torch.from_numpy(maps.identity[rows]), torch.from_numpy(maps.expression[rows])
    )
    detail = json.loads((args.generator / "detail.json").read_text())
    sizes = ("format", "resolution", "num_ws", "channels", "synthesis", "encoder")
    record = {key: value for key, value in detail.items() if key not in sizes}
    record["data"] = detail["data"] | {"train256": maps.digest}
    record["encoder_command"] = (
        f"furrow train encoder --minutes {args.minutes:g} --hidden {args.hidden}"
    )
    args.out.mkdir(parents=True, exist_ok=True)
    export(Networks(encoder, synthesis), args.out, record)
