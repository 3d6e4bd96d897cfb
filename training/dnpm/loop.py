"""The loop that every stage of `furrow train dnpm` runs in: rates, average, log, checkpoints."""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from ...backend.formats.files import whole_file
from ..networks.schedule import Budget, average, learning_rate, load_checkpoint, save_checkpoint
from ..spine.guard import check_finite, enough_memory, restoring

REMEDY = "Lower the stage's learning rate in the configuration."


@dataclass
class Stage:
    """One stage of a run.

    Attributes
    ----------
    name
        Also of its files: NAME.pt and NAME.csv.
    model
        All that the stage changes; its average is what later stages take.
    optimisers
        By name; their groups' learning rates follow the schedule from the values given here.
    step
        Does one step, the optimisers' included, with a stream of random numbers of this step's
        own; returns losses by name.
    """

    name: str
    model: nn.Module
    optimisers: dict[str, torch.optim.Optimizer]
    step: Callable[[np.random.Generator], dict[str, float]]


def run_stage(
    stage: Stage,
    folder: Path,
    minutes: float | None,
    steps: int | None,
    seed: int,
    save_every: float = 120.0,
    halt_at: int | None = None,
) -> nn.Module:
    """Train until the budget is spent and return the averaged model; goes on from NAME.pt.

    A run given by steps repeats to the same losses when it is cut off and resumed; one given by
    minutes depends on the machine's speed.

    Parameters
    ----------
    halt_at
        Stop at this step with a checkpoint, as if cut off.

    Raises
    ------
    FurrowError
        If the losses diverge (the last good state is kept), memory runs out, or NAME.pt is
        damaged or of other networks.
    """
    path = folder / f"{stage.name}.pt"
    shadow = copy.deepcopy(stage.model).requires_grad_(False)
    log: list[dict[str, float]] = []
    spent = 0.0
    if path.exists():
        with restoring(path, "furrow train dnpm"):
            content = load_checkpoint(path)
            stage.model.load_state_dict(content["model"])
            shadow.load_state_dict(content["shadow"])
            for name, optimiser in stage.optimisers.items():
                optimiser.load_state_dict(content["optimisers"][name])
            log, spent = content["log"], content["spent"]
    budget = Budget(minutes, steps, spent)
    saved = budget.spent
    bases = {
        name: [group.setdefault("base", group["lr"]) for group in optimiser.param_groups]
        for name, optimiser in stage.optimisers.items()
    }

    def save() -> None:
        check_finite((), stage.model.parameters(), f"at step {len(log)}", path, REMEDY)
        _save(stage, shadow, path, log, budget.spent)

    with (
        tqdm(
            total=100,
            unit="%",
            desc=stage.name,
            bar_format="{l_bar}{bar}| {elapsed}<{remaining}",
            mininterval=1.0,
        ) as bar,
        enough_memory("lower the batch in the configuration"),
    ):
        while (fraction := budget.fraction(len(log))) < 1.0 and len(log) != halt_at:
            bar.update(int(100 * fraction) - bar.n)
            factor = learning_rate(len(log), fraction)
            for name, optimiser in stage.optimisers.items():
                for group, base in zip(optimiser.param_groups, bases[name], strict=True):
                    group["lr"] = base * factor
            losses = stage.step(np.random.default_rng((seed, len(log))))
            check_finite(losses.values(), (), f"at step {len(log)}", path, REMEDY)
            log.append({"step": len(log) + 1, "seconds": round(budget.spent, 1), **losses})
            average(shadow, stage.model, len(log))
            if budget.spent - saved > save_every:
                save()
                saved = budget.spent
    save()
    return shadow


def _save(
    stage: Stage, shadow: nn.Module, path: Path, log: list[dict[str, float]], spent: float
) -> None:
    """Write everything that going on needs, and the log as CSV."""
    content: dict[str, Any] = {
        "model": stage.model.state_dict(),
        "shadow": shadow.state_dict(),
        "optimisers": {name: o.state_dict() for name, o in stage.optimisers.items()},
        "log": log,
        "spent": spent,
    }
    save_checkpoint(path, content)
    if log:
        with (
            whole_file(path.with_suffix(".csv")) as temporary,
            temporary.open("w", newline="") as file,
        ):
            writer = csv.DictWriter(file, list(log[0]))
            writer.writeheader()
            writer.writerows(log)
