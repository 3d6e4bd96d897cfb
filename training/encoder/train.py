"""`furrow train encoder`: another encoder for a trained generator, whose weights stay as they are.

`furrow train dnpm` learns encoder and generator together, the encoder mainly on coefficients. This
fits an encoder of any size, the paper's 113 M parameters included, by the maps alone, as the paper
does: Adam at 5e-4 with cosine decay. The generator is one of `furrow train dnpm`, or the paper's,
which `furrow train gan` trains; then this is the second half of the paper's recipe.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...backend.detail.engines.stylegan2 import SeededSynthesis
from ...backend.detail.engines.torch_encoder import Encoder, EncoderConfig
from ...backend.detail.engines.torch_networks import Synthesis, load
from ...backend.errors import FurrowError
from ...backend.formats.files import ASSETS
from ...backend.head.bilinear import Head
from ..export.detail import centre_styles, export
from ..gan import export as standard
from ..gan.files import is_standard, read_generator
from ..maps.data import Maps, draw
from ..maps.sets import from_set
from ..networks.inputs import scale_inputs
from ..networks.losses import furrow_loss
from ..spine import machine
from ..spine.files import claim, digest_of
from ..spine.stage import Budget, Stage
from ..spine.stage import run as run_stage

RATE = 5e-4

COMMAND = "furrow train encoder"


def matching(
    encoder: Encoder,
    synthesis: Synthesis | SeededSynthesis,
    maps: Maps,
    resolution: int,
    batch: int = 8,
    seed: int = 0,
) -> Stage:
    """The stage, where the networks lie: maps of the encoder's styles shall match those of a set.

    Parameters
    ----------
    synthesis
        Stays as it is.
    resolution
        Of the comparison; the set's own must be a multiple.
    """
    synthesis.requires_grad_(False).eval()
    where = encoder.w_avg.device
    optimiser = torch.optim.Adam(encoder.parameters(), lr=RATE, betas=(0.9, 0.99))
    factor = maps.map.shape[1] // resolution
    mask = torch.from_numpy(maps.mask)[None, None].clamp(min=0.02).to(where)
    mask = F.avg_pool2d(mask, factor)

    def learn(stage: Stage, rng: np.random.Generator) -> dict[str, Tensor]:
        rows = rng.integers(len(maps.map), size=stage.batch)
        images = torch.from_numpy(np.stack([np.asarray(maps.map[r], np.float32) for r in rows]))
        a, b = (torch.from_numpy(v[rows]).to(where) for v in (maps.identity, maps.expression))
        target = F.avg_pool2d(images[:, None].to(where), factor) / synthesis.scale
        loss = furrow_loss(lines(synthesis, encoder(a, b), resolution), target, mask)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"loss": loss}

    return Stage(
        "encoder", {"encoder": encoder}, {"encoder": optimiser}, learn, seed=seed, batch=batch
    )


def fit(
    encoder: Encoder,
    synthesis: Synthesis | SeededSynthesis,
    maps: Maps,
    budget: Budget,
    resolution: int,
    batch: int = 8,
    seed: int = 0,
    folder: Path | None = None,
    where: torch.device | str = "cpu",
) -> list[float]:
    """Train `encoder` in place on maps at `resolution`; returns the loss of every step.

    Goes on where `folder` holds a checkpoint.
    """
    encoder.to(where)
    synthesis.to(where)
    stage = matching(encoder, synthesis, maps, resolution, batch, seed)
    run_stage(stage, folder, budget, COMMAND)
    encoder.cpu()
    synthesis.cpu()
    return [row["loss"] for row in stage.log]


def lines(synthesis: Synthesis | SeededSynthesis, w: Tensor, resolution: int) -> Tensor:
    """What follows from styles w (N, num_ws, 512) alone: (N, 1, r, r) in the raw unit, without noise."""
    if isinstance(synthesis, Synthesis):
        return synthesis.lower(w, resolution)[1]
    # Not up to r alone: every style shall learn, and fine blocks move what is broad too.
    image: Tensor = synthesis.synthesis(w, "none")
    return F.avg_pool2d(image, image.shape[-1] // resolution)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``furrow train encoder``."""
    parser.add_argument("--steps", type=int, default=12000, help="of 8 maps each")
    parser.add_argument("--hidden", default="512,512,256,256,128", metavar="WIDTHS",
                        help="two widths: the paper's form (7680,7680 is its size); "
                        "five: linear heads")  # fmt: skip
    parser.add_argument("--resolution", type=int,
                        help="of the maps compared (default: 128; the own of a generator of train gan)")  # fmt: skip
    parser.add_argument("--data", type=Path, default=Path("out/detail-data"))
    parser.add_argument("--set", type=Path, metavar="DIR",
                        help="learn from a set that furrow train corpus wrote, FaceScape's among them, "
                        "instead of drawing maps")  # fmt: skip
    parser.add_argument("--generator", type=Path, default=ASSETS / "detail", metavar="DIR",
                        help="the trained generator: networks of furrow train dnpm, the folder of a run of "
                        "furrow train gan, or a .pkl of stylegan2-ada-pytorch")  # fmt: skip
    parser.add_argument("--unit-mm", type=float, metavar="N",
                        help="millimetres of 1 in the maps of a .pkl")  # fmt: skip
    parser.add_argument("--identities", type=int, default=6000)
    parser.add_argument("--expressions", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    machine.add_arguments(parser, Path("out/encoder"))


def run(args: argparse.Namespace) -> None:
    """Fit an encoder and export it with its generator to --out."""
    hidden = tuple(int(width) for width in args.hidden.split(","))
    if len(hidden) not in (2, 5):
        raise FurrowError(f"--hidden {args.hidden}: write two widths or five, as in 512,512.")
    torch.manual_seed(args.seed)
    command = f"{COMMAND} --steps {args.steps} --hidden {args.hidden}"
    learn = _for_standard if is_standard(args.generator) else _for_lean
    learn(args, hidden, {"encoder_command": command})


def _for_lean(args: argparse.Namespace, hidden: tuple[int, ...], record: dict[str, Any]) -> None:
    """An encoder for networks of ``furrow train dnpm``, whose inputs it takes over."""
    trained, synthesis = load(args.generator)
    resolution = args.resolution or 128
    maps = _maps(args, resolution)
    sizes = trained.config
    encoder = Encoder(EncoderConfig(sizes.identity, sizes.expression, sizes.split, hidden))
    encoder.shift.copy_(trained.shift)
    encoder.gain.copy_(trained.gain)
    _fit(args, encoder, synthesis, maps, resolution, hidden)
    rows = np.arange(0, len(maps.map), max(1, len(maps.map) // 2000))
    centre_styles(
        encoder, torch.from_numpy(maps.identity[rows]), torch.from_numpy(maps.expression[rows])
    )
    detail = json.loads((args.generator / "detail.json").read_text())
    names = ("format", "resolution", "num_ws", "channels", "synthesis", "encoder")
    record = {key: value for key, value in detail.items() if key not in names} | record
    record["data"] = detail["data"] | {"train256": maps.digest}
    export(encoder, synthesis, args.out, record)


def _for_standard(args: argparse.Namespace, hidden: tuple[int, ...], record: dict[str, Any]) -> None:  # fmt: skip
    """An encoder for a standard StyleGAN2, as the paper has it: W+ = w_avg + E(a, b)."""
    generator = read_generator(args.generator, args.unit_mm)
    resolution = args.resolution or generator.config.resolution
    maps = _maps(args, resolution)
    encoder = standard.new_encoder(generator, maps.identity.shape[1], hidden)
    # FaceScape's people fold by their shape; our corpus's by their skin coefficients alone.
    if maps.made_by.get("uv", "furrow") == "furrow":
        scale_inputs(encoder)
    else:
        scale_inputs(encoder, shape_gain=1.0, skin_gains={})
    synthesis = standard.synthesis_of(generator)
    _fit(args, encoder, synthesis, maps, resolution, hidden)
    record |= {"data": {"encoder": maps.digest}, "config": {"seed": args.seed}}
    standard.export(encoder, generator, args.out, record)


def _fit(
    args: argparse.Namespace,
    encoder: Encoder,
    synthesis: Synthesis | SeededSynthesis,
    maps: Maps,
    resolution: int,
    hidden: tuple[int, ...],
) -> None:
    """Learn in the run's folder, which may hold no other run."""
    where = machine.begin(args)
    settings = {
        "hidden": hidden,
        "resolution": resolution,
        "steps": args.steps,
        "seed": args.seed,
        "data": maps.digest,
        "generator": digest_of(synthesis),
    }
    claim(args.out, settings)
    budget = Budget(args.steps, args.minutes)
    fit(encoder, synthesis, maps, budget, resolution, seed=args.seed, folder=args.out, where=where)


def _maps(args: argparse.Namespace, resolution: int) -> Maps:
    """The maps to learn from, at `resolution` or finer."""
    if args.set:
        return from_set(args.set, args.data / f"set{resolution}", resolution)
    size = max(256, resolution)
    folder = args.data / f"train{size}"
    return draw(folder, Head.load(), size, args.identities, args.expressions, args.seed + 1)
