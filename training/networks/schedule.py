"""A run's budget, learning rate, moving average and checkpoint."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...backend.errors import FurrowError
from ...backend.formats.files import whole_file


class Budget:
    """How much of a run is spent, by wall clock or, where it must repeat exactly, by steps."""

    def __init__(self, minutes: float | None, steps: int | None, spent: float = 0.0) -> None:
        self.seconds = minutes * 60.0 if minutes else None
        self.steps = steps
        self.start = time.monotonic() - spent

    @property
    def spent(self) -> float:
        """Seconds, those of earlier parts of a resumed run included."""
        return time.monotonic() - self.start

    def fraction(self, step: int) -> float:
        """Share of the run that lies behind, 0 to 1."""
        if self.steps:
            return min(1.0, step / self.steps)
        assert self.seconds
        return min(1.0, self.spent / self.seconds)


def learning_rate(step: int, fraction: float, warm_steps: int = 50) -> float:
    """Factor on the base rates: linear warm-up, then a cosine down to 1 % by the end."""
    return min(1.0, (step + 1) / warm_steps) * (
        0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * fraction))
    )


@torch.no_grad()
def average(shadow: nn.Module, model: nn.Module, step: int, decay: float = 0.998) -> None:
    """Move `shadow` towards `model`: an exponential moving average, short while young.

    Only parameters that require gradients move: those that a stage leaves at rest are equal.
    """
    amount = 1.0 - min(decay, (1 + step) / (10 + step))
    for old, new in zip(shadow.parameters(), model.parameters(), strict=True):
        if new.requires_grad:
            old.lerp_(new, amount)
    for old, new in zip(shadow.buffers(), model.buffers(), strict=True):
        old.copy_(new)


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint; it appears only when whole."""
    with whole_file(path) as temporary:
        torch.save(content, temporary)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of tensors and plain values; nothing in it is executed."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FurrowError(f"There is no checkpoint {path}.", "missing_file") from None
