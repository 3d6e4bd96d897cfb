"""One stage of training: all its state as one object, and the loop that every stage runs in.

A stage is a dataclass and a function. The function `learn` does one step, its optimisers' steps
included; whatever else changes from step to step lies in the dataclass, and so in the checkpoint:
networks, averages, optimisers, counters, random numbers, the log. Nothing may hide in a closure.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from .files import read_checkpoint, write_checkpoint, write_log
from .guard import check_finite, enough_memory, restoring
from .processes import Processes
from .schedule import cosine

Row = dict[str, float]
"""One row of the log: steps done, seconds spent, and the means of losses since the row before."""

FORMAT = "furrow.stage/1"

DIVERGED = "Begin again with a lower learning rate, in another folder."
TOO_LARGE = "lower the batch"


@dataclass
class Stage:
    """All state of one stage of training.

    Attributes
    ----------
    name
        Also of its files: NAME.pt, the checkpoint, and NAME.csv, the log.
    networks
        By name: all that steps change, buffers included.
    optimisers
        By name. The learning rates given here are the highest; the schedule scales them.
    learn
        Does one step: `learn(stage, rng)` draws its data by `rng`, which is the same for the same
        seed and step, moves the optimisers and returns losses by name.
    averages
        Moving averages of networks, by the names of these (:func:`.schedule.averaged`); the loop
        moves them after each step.
    counters
        What else `learn` changes: plain numbers, lists of them, and tensors.
    seed
        Of `rng`.
    batch
        Samples that a step sees, on all processes together.
    step, seconds
        Steps done; wall-clock time spent, that before an interruption included.
    log, sums
        The rows so far; sum and count of each loss since the last row.
    """

    name: str
    networks: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]
    learn: Callable[[Stage, np.random.Generator], Mapping[str, Tensor | float]]
    averages: Mapping[str, AveragedModel] = field(default_factory=dict)
    counters: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    batch: int = 1
    step: int = 0
    seconds: float = 0.0
    log: list[Row] = field(default_factory=list)
    sums: dict[str, tuple[Tensor | float, int]] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Samples seen."""
        return self.step * self.batch

    def state_dict(self, processes: Processes | None = None) -> dict[str, Any]:
        """Everything that going on needs, as tensors and plain data; a collective of all `processes`."""
        random = _random_state()
        return {
            "format": FORMAT,
            "networks": {name: n.state_dict() for name, n in self.networks.items()},
            "averages": {name: n.state_dict() for name, n in self.averages.items()},
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
            "counters": self.counters,
            "step": self.step,
            "seconds": self.seconds,
            "log": self.log,
            "sums": self.sums,
            "random": processes.gather(random) if processes else [random],
        }

    def load_state_dict(self, state: Mapping[str, Any], processes: Processes | None = None) -> None:
        """Go on from a state; on another number of processes with other random numbers."""
        if state["format"] != FORMAT:
            raise ValueError(f'its format is not "{FORMAT}"')
        for kind in ("networks", "averages", "optimisers"):
            for name, part in getattr(self, kind).items():
                part.load_state_dict(state[kind][name])
        for name, value in state["counters"].items():
            now = self.counters.get(name)
            self.counters[name] = value.to(now.device) if isinstance(now, Tensor) else value
        self.step, self.seconds = state["step"], state["seconds"]
        self.log, self.sums = state["log"], state["sums"]
        rank, count = (processes.rank, processes.count) if processes else (0, 1)
        if len(state["random"]) == count:
            _set_random_state(state["random"][rank])
        else:
            torch.manual_seed(self.seed * count + rank + 1 + self.step)


@dataclass(frozen=True)
class Budget:
    """How long a stage learns.

    Attributes
    ----------
    steps
        Of the whole stage; the learning rate follows the share of them that is done.
    minutes
        A ceiling, or none: the stage ends early when so much time is spent. What it has learned
        until then depends on the machine, and its rate has not come down.
    """

    steps: int
    minutes: float | None = None

    @staticmethod
    def of_images(images: float, batch: int, minutes: float | None = None) -> Budget:
        """As many steps as show at least so many images."""
        return Budget(max(1, math.ceil(images / batch)), minutes)


def run(
    stage: Stage,
    folder: Path | None,
    budget: Budget,
    command: str,
    *,
    schedule: Callable[[int, int], float] = cosine,
    log_every: int = 1,
    save_every: float = 120.0,
    report: Callable[[Stage, Row], None] | None = None,
    processes: Processes | None = None,
    diverged: str = DIVERGED,
    memory: str = TOO_LARGE,
    halt_at: int | None = None,
) -> None:
    """Train until the budget is spent; goes on from NAME.pt where `folder` holds it.

    A run that is cut off and goes on has the same losses as one that is not.

    Parameters
    ----------
    folder
        Of NAME.pt and NAME.csv, or None to keep nothing.
    command
        Which one this is, for messages: "furrow train dnpm".
    schedule
        Factor on the learning rates, of the steps done and of all steps.
    log_every
        Steps between two rows of the log, which hold means. Losses are checked there.
    save_every
        Seconds between two checkpoints, which are written after a row; 0 after each.
    report
        Called with every new row before it is kept: may add figures to it, and draw pictures.
    processes
        Those that learn together; the first one writes.
    diverged, memory
        What to lower if losses are no longer numbers (a sentence), or memory runs out (a clause).
    halt_at
        Stop at this step with a checkpoint, as if cut off.

    Raises
    ------
    FurrowError
        If the losses diverge (the last good state is kept), memory runs out, or NAME.pt is damaged
        or of other networks.
    """
    path = folder / f"{stage.name}.pt" if folder else None
    if path is not None and path.exists():
        with restoring(path, command):
            stage.load_state_dict(read_checkpoint(path), processes)
    peaks = [
        (group, group.setdefault("initial_lr", group["lr"]))
        for optimiser in stage.optimisers.values()
        for group in optimiser.param_groups
    ]
    ceiling = budget.minutes * 60 if budget.minutes else math.inf
    end = budget.steps if halt_at is None else min(halt_at, budget.steps)
    first, saved = stage.step, stage.seconds
    start = time.monotonic() - stage.seconds
    bar = tqdm(
        total=budget.steps, initial=stage.step, desc=stage.name, unit="step", mininterval=1.0
    )

    def save() -> None:
        weights = (p for network in stage.networks.values() for p in network.parameters())
        check_finite((), weights, f"at step {stage.step}", path, diverged)
        state = stage.state_dict(processes)
        if path is not None and (processes is None or processes.first):
            write_checkpoint(path, state)
            write_log(path.with_suffix(".csv"), stage.log)

    with bar, enough_memory(memory):
        while stage.step < end and stage.seconds < ceiling:
            for group, peak in peaks:
                group["lr"] = peak * schedule(stage.step, budget.steps)
            _step(stage)
            bar.update()
            if stage.step % log_every and stage.step != budget.steps:
                continue
            row = _row(stage, time.monotonic() - start, processes)
            check_finite(list(row.values()), (), f"at step {stage.step}", path, diverged)
            if report is not None:
                report(stage, row)
            stage.log.append(row)
            if stage.seconds - saved >= save_every:
                save()
                saved = stage.seconds
    if stage.step > first:
        save()
    if stage.step < end:
        print(
            f"{stage.name}: stopped after {budget.minutes:g} minutes, at step {stage.step} of {end}."
        )


def _step(stage: Stage) -> None:
    """One step, and what follows from it in the stage: averages, sums of losses."""
    losses = stage.learn(stage, np.random.default_rng((stage.seed, stage.step)))
    stage.step += 1
    for name, average in stage.averages.items():
        average.update_parameters(stage.networks[name])
    for name, loss in losses.items():
        total, count = stage.sums.get(name, (0.0, 0))
        stage.sums[name] = (total + _plain(loss), count + 1)


def _plain(loss: Tensor | float) -> Tensor | float:
    """A loss as it is summed up: a number, or what stays on a GPU until a row needs it."""
    if not isinstance(loss, Tensor):
        return loss
    return loss.detach() if loss.is_cuda else loss.item()


def _row(stage: Stage, seconds: float, processes: Processes | None) -> Row:
    """The means since the last row, of all processes; they are begun anew."""
    means = {name: total / count for name, (total, count) in stage.sums.items()}
    if processes is not None and processes.count > 1:  # decisions by time must be everybody's
        device = processes.device
        seconds = float(processes.mean(torch.tensor(seconds, device=device)))
        means = {
            name: processes.mean(torch.as_tensor(mean, device=device, dtype=torch.float32))
            for name, mean in means.items()
        }
    stage.seconds, stage.sums = seconds, {}
    numbers = {name: float(mean) for name, mean in means.items()}
    return {"step": stage.step, "seconds": round(seconds, 1), **numbers}


def _random_state() -> dict[str, Tensor]:
    """The state of PyTorch's own generators, which dropout and the like draw from."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _set_random_state(state: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
