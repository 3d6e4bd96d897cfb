"""Learn the detail networks as an auto-decoder: encoder and synthesis jointly from (a, b, map).

Three stages share one budget. `basis`: each block's constant images are principal components of
what coarser blocks leave, and the encoder learns their coefficients, which needs no image and is
fast. `grow`: the convolutions learn maps at 128, then at 256, of people whom the encoder has not
seen: what a linear basis cannot draw, and what the encoder gets wrong. `detail`: the last block
learns on crops, of such people too, and the relief's strengths match the local energy of the
corpus's pores.
"""

from __future__ import annotations

import argparse
import copy
import csv
import functools
import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ...backend.files import ASSETS
from ...backend.torch_networks import (
    Synthesis,
)
from ..networks.basis import fit_constants
from ..networks.losses import band_mixing, furrow_loss, strengths_for
from ..networks.schedule import (
    Budget,
    average,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
)
from .data import Maps, draw
from .pictures import write_curve
from .setup import Options, networks, scale_inputs


class Run:
    """One training run: its networks, data, stage and log."""

    def __init__(self, options: Options, coarse: Maps, fine: Maps, folder: Path) -> None:
        torch.manual_seed(options.seed)
        self.options, self.coarse, self.fine, self.folder = options, coarse, fine, folder
        self.model = networks(options, coarse, fine)
        self.unit = _root_mean_square(coarse)
        self.model.synthesis.scale.fill_(self.unit)
        scale_inputs(self.model.encoder, coarse)
        self.shadow = copy.deepcopy(self.model).requires_grad_(False)
        self.coefficients: dict[int, Tensor] = {}
        people = len(coarse.map) // coarse.per_identity
        self.kept_back = round(options.kept_back * people) * coarse.per_identity
        """Samples, the first ones, that the encoder does not learn."""
        self.step = 0
        self.log: list[dict[str, float | str]] = []

    def basis(self) -> None:
        """Fit the constant images; the basis stage's targets come with them."""
        options = self.options
        synthesis = self.model.synthesis
        self.coefficients = fit_constants(
            synthesis,
            self.coarse.map,
            self.coarse.mask,
            self.unit,
            options.basis_from,
            self.coarse.map.shape[1],
        )
        for resolution in self.coefficients:
            nn.init.normal_(_block(synthesis, resolution).noise_weight)
        place = self._relief_targets.float()
        place = F.avg_pool2d(place.mean(0, keepdim=True), 2).clamp(min=1e-3)
        with torch.no_grad():
            synthesis.relief.place.copy_(torch.log(torch.expm1(place)))
        self.shadow.load_state_dict(self.model.state_dict())

    def stage_at(self, fraction: float) -> tuple[str, float]:
        """The stage at a share of the budget, and how much of the stage lies behind."""
        start = 0.0
        for stage, share in self.options.stages:
            if fraction < start + share:
                return stage, (fraction - start) / share
            start += share
        return self.options.stages[-1][0], 1.0

    def loss(self, stage: str, rng: np.random.Generator) -> Tensor:
        """One batch's loss in a stage."""
        if stage == "basis":
            return self._coefficient_loss(rng)
        if stage == "detail":
            return self._detail_loss(rng)
        return self._map_loss(rng, int(stage.removeprefix("grow")))

    def _coefficient_loss(self, rng: np.random.Generator) -> Tensor:
        rows = rng.integers(
            self.kept_back, len(self.coarse.map), size=self.options.coefficient_batch
        )
        w = self._encode(self.coarse, rows)
        total = w.new_zeros(())
        for resolution, targets in self.coefficients.items():
            index = int(np.log2(resolution)) - 3
            block = self.model.synthesis.blocks[index]
            wrong = block.coefficients(w[:, 3 + 2 * index]) - targets[rows]
            total = total + (wrong.square() * self._shares[resolution]).sum(1).mean()
        return total

    @functools.cached_property
    def _shares(self) -> dict[int, Tensor]:
        """What a coefficient is worth: its image's part of the energy of all, by resolution (K,)."""
        energies = {}
        for resolution in self.coefficients:
            mask = torch.from_numpy(self.coarse.mask)[None, None]
            mask = F.avg_pool2d(mask, mask.shape[-1] // resolution)[0]
            images = _block(self.model.synthesis, resolution).noise_const.detach()
            energies[resolution] = (images.square() * mask).sum((1, 2)) / mask.sum()
        total = torch.cat(list(energies.values())).sum()
        return {resolution: energy / total for resolution, energy in energies.items()}

    def _map_loss(self, rng: np.random.Generator, resolution: int) -> Tensor:
        batch = self.options.batch
        rows = rng.integers(len(self.coarse.map), size=batch)
        rows[: batch // 4] = rng.integers(self.kept_back, size=batch // 4)
        target, mask = self._maps(self.coarse, rows, resolution)
        with torch.no_grad():
            w = self._encode(self.coarse, rows)
        _, image = self.model.synthesis.lower(w, resolution, self._dtype)
        return furrow_loss(image, target, mask)

    def _detail_loss(self, rng: np.random.Generator) -> Tensor:
        """The last block on crops half the tile wide, the blocks below at rest; and the relief."""
        synthesis, resolution = self.model.synthesis, self.options.resolution
        rows = rng.integers(len(self.fine.map), size=max(1, self.options.batch // 4))
        target, mask = self._maps(self.fine, rows, resolution)
        size = resolution // 2
        row, column = (int(v) * 8 for v in rng.integers((resolution - size) // 8 + 1, size=2))
        with torch.no_grad():
            w = self._encode(self.fine, rows)
            x, image = synthesis.lower(w, resolution // 2, self._dtype)
        strengths = synthesis.relief.strengths(x.float(), w[:, -1])
        relief_target = self._relief_targets[rows // self.fine.per_identity].float()
        half = F.avg_pool2d(mask, 2)
        relief_loss = (half * (strengths - relief_target).abs()).sum() / half.sum() / 3
        top, left, side = row // 2, column // 2, size // 2
        part = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
        _, image = synthesis.block(
            len(synthesis.blocks) - 1, x[part], image[part], w, (row, column, size)
        )
        mask = mask.clone()
        inner = torch.zeros_like(mask)
        inner[..., row + 4 : row + size - 4, column + 4 : column + size - 4] = 1.0
        mask = (mask * inner + 1e-4)[..., row : row + size, column : column + size]
        target = target[..., row : row + size, column : column + size]
        return furrow_loss(image, target, mask) + relief_loss

    @functools.cached_property
    def _relief_targets(self) -> Tensor:
        """Strengths that each person's relief asks for, in raw units: (I, 3, R / 2, R / 2) half."""
        network, texel_mm = self.shadow.synthesis.relief, self.fine.texel_mm
        mixing = band_mixing(network, texel_mm, self.options.resolution)
        parts = []
        for image in self.fine.relief:
            relief = torch.from_numpy(np.asarray(image, np.float32))[None, None] / self.unit
            parts.append(strengths_for(relief, mixing, texel_mm).half())
        return torch.cat(parts)

    def _encode(self, maps: Maps, rows: np.ndarray) -> Tensor:
        return self.model.encoder(
            torch.from_numpy(maps.identity[rows]), torch.from_numpy(maps.expression[rows])
        )

    def _maps(self, maps: Maps, rows: np.ndarray, resolution: int) -> tuple[Tensor, Tensor]:
        """Targets (n, 1, r, r) in raw units and the mask (1, 1, r, r), by area."""
        target = np.stack([np.asarray(maps.map[r], np.float32) for r in rows])
        factor = target.shape[-1] // resolution
        images = torch.from_numpy(target)[:, None] / self.unit
        # Off the skin the map counts a little, so that nothing wild stands at the border.
        mask = torch.from_numpy(maps.mask)[None, None].clamp(min=0.02)
        if factor == 1:
            return images, mask
        return F.avg_pool2d(images, factor), F.avg_pool2d(mask, factor)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.options.bfloat16 else torch.float32

    def _enter(self, stage: str) -> None:
        """Begin a stage: what stays at rest from now on is the average that will be exported."""
        self.model.load_state_dict(self.shadow.state_dict())
        if stage == next(name for name, _ in self.options.stages if name != "basis"):
            rows = np.linspace(0, len(self.coarse.map) - 1, 4).astype(int)
            w = self._encode(self.coarse, rows).detach()
            self.model.synthesis.calibrate(w, self.options.resolution)

    def optimiser(self, stage: str) -> torch.optim.Optimizer:
        """Adam over what a stage moves, each kind of parameter at its own rate."""
        synthesis, encoder = self.model.synthesis, self.model.encoder
        basis = ("noise_weight", "noise_bias", "noise_const")
        named = list(synthesis.named_parameters())
        readout = [p for name, p in named if name.endswith(basis[:2])]
        last = [*synthesis.blocks[-1].parameters(), *synthesis.relief.parameters()]
        kept = {id(p) for p in last}
        if stage == "basis":
            groups = [(list(encoder.parameters()), 2e-3), (readout, 2e-3)]
        elif stage == "detail":
            groups = [(last, 5e-3)]
        else:
            convolutions = [
                p for name, p in named if not name.endswith(basis) and id(p) not in kept
            ]
            groups = [(convolutions, 5e-3)]
        self.model.requires_grad_(False).train(stage != "detail")
        synthesis.blocks[-1].train()
        for parameters, _ in groups:
            for parameter in parameters:
                parameter.requires_grad_(True)
        optimiser = torch.optim.AdamW(
            [{"params": p, "lr": rate, "base": rate, "weight_decay": 0.0} for p, rate in groups],
            betas=(0.9, 0.99),
            fused=True,
        )
        if stage == "basis":
            optimiser.param_groups[0]["weight_decay"] = self.options.weight_decay
        return optimiser

    def train(self, budget: Budget, save_every: float = 120.0, halt_at: int | None = None) -> None:
        """Go on until the budget is spent, or until step `halt_at`, as if the run were cut off."""
        optimiser, stage, first = None, "", 0
        saved = budget.spent
        if self.step == 0 and not self.coefficients:
            self.basis()
        bar = tqdm(total=100, unit="%", bar_format="{l_bar}{bar}")
        while (fraction := budget.fraction(self.step)) < 1.0 and self.step != halt_at:
            bar.update(int(100 * fraction) - bar.n)
            now, within = self.stage_at(fraction)
            if now != stage:
                going_on = self._resumed and self._resumed["stage"] == now
                if not going_on:
                    self._enter(now)
                optimiser, stage, first = self.optimiser(now), now, self.step
                bar.set_description(stage)
                if self._resumed and going_on:
                    optimiser.load_state_dict(self._resumed["optimiser"])
                    first = self._resumed["first"]
            assert optimiser is not None
            factor = learning_rate(self.step - first, within)
            for group in optimiser.param_groups:
                group["lr"] = group["base"] * factor
            rng = np.random.default_rng((self.options.seed, self.step))
            loss = self.loss(stage, rng)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            self.step += 1
            average(self.shadow, self.model, self.step - first)
            self.log.append(
                {
                    "step": self.step,
                    "seconds": round(budget.spent, 1),
                    "stage": stage,
                    "loss": loss.item(),
                }
            )
            if budget.spent - saved > save_every:
                self.save(stage, optimiser, first, budget.spent)
                saved = budget.spent
        bar.close()
        if optimiser is not None:
            self.save(stage, optimiser, first, budget.spent)

    _resumed: dict[str, Any] | None = None

    def save(self, stage: str, optimiser: torch.optim.Optimizer, first: int, spent: float) -> None:
        """Write everything that going on needs, and the log as CSV."""
        content = {
            "model": self.model.state_dict(),
            "shadow": self.shadow.state_dict(),
            "coefficients": self.coefficients,
            "optimiser": optimiser.state_dict(),
            "stage": stage,
            "first": first,
            "step": self.step,
            "spent": spent,
            "log": self.log,
            "options": asdict(self.options),
        }
        save_checkpoint(self.folder / "checkpoint.pt", content)
        with (self.folder / "log.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["step", "seconds", "stage", "loss"])
            writer.writeheader()
            writer.writerows(self.log)

    def resume(self) -> float:
        """Take up the folder's checkpoint; returns the seconds already spent."""
        content = load_checkpoint(self.folder / "checkpoint.pt")
        self.model.load_state_dict(content["model"])
        self.shadow.load_state_dict(content["shadow"])
        self.coefficients = content["coefficients"]
        self.step, self.log = content["step"], content["log"]
        self._resumed = content
        return content["spent"]


def _block(synthesis: Synthesis, resolution: int) -> nn.Module:
    return synthesis.blocks[int(np.log2(resolution)) - 3]


def _root_mean_square(maps: Maps) -> float:
    """RMS of maps on the skin in mm, over a few hundred of them."""
    some = np.asarray(maps.map[:: max(1, len(maps.map) // 300)], np.float32)
    return float(np.sqrt((some**2 * maps.mask).sum() / (maps.mask.sum() * len(some))))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``furrow train dnpm``."""
    parser.add_argument("--minutes", type=float, default=20.0, help="wall-clock budget")
    parser.add_argument("--steps", type=int, help="end after so many steps instead")
    parser.add_argument("--data", type=Path, default=Path("out/detail-data"))
    parser.add_argument("-o", "--out", type=Path, default=Path("out/dnpm"))
    parser.add_argument("--identities", type=int, default=6000, help="people in the set at 256")
    parser.add_argument("--expressions", type=int, default=8, help="expressions of each of them")
    parser.add_argument("--fine-identities", type=int, default=150, help="people in the set at 512")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--float32", action="store_true", help="no bfloat16 activations")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--export-only", action="store_true", help="export the run in --out")
    parser.add_argument("--assets", type=Path, help="folder to export to when the run ends")
    parser.add_argument("--draw-only", action="store_true", help="draw the maps and stop")


def _changed(args: argparse.Namespace) -> list[str]:
    """The options that say what was trained: sizes of the sets, budget, seed."""
    names = ("minutes", "steps", "identities", "expressions", "fine_identities", "seed")
    given = [(n.replace("_", "-"), getattr(args, n)) for n in names]
    return [word for n, v in given if v is not None for word in (f"--{n}", f"{v:g}")]


def run(args: argparse.Namespace) -> None:
    """Draw the data where it is absent, train, leave checkpoint and log in --out, and export."""
    from ...backend.head import Head
    from .export import export_run

    torch.set_num_threads(args.threads)
    if args.export_only:
        export_run(args.out, args.data, args.assets or ASSETS / "detail")
        return
    head = Head.load()
    coarse = draw(
        args.data / "train256", head, 256, args.identities, args.expressions, seed=args.seed + 1
    )
    # The same seed gives the same people: what the last block sees, the encoder has learned.
    fine = draw(args.data / "train512", head, 512, args.fine_identities, 4, args.seed + 1, True)
    if args.draw_only:
        return
    args.out.mkdir(parents=True, exist_ok=True)
    job = Run(Options(seed=args.seed, bfloat16=not args.float32), coarse, fine, args.out)
    spent = job.resume() if args.resume else 0.0
    record = {
        "data": {"train256": coarse.digest, "train512": fine.digest},
        "command": "furrow train dnpm " + shlex.join(_changed(args)),
    }
    (args.out / "run.json").write_text(json.dumps(record, indent=1))
    job.train(Budget(args.minutes, args.steps, spent))
    write_curve(args.out / "curve.png", job.log)
    if args.assets:
        export_run(args.out, args.data, args.assets)
