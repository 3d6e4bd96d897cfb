"""How learning rates rise and fall over the steps of a stage, and how weights are averaged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def cosine(step: int, steps: int, warm_steps: int = 50) -> float:
    """Factor on the learning rates: linear warm-up, then a cosine down to 1 % by the end."""
    fall = 0.5 + 0.5 * math.cos(math.pi * min(1.0, step / steps))
    return min(1.0, (step + 1) / warm_steps) * (0.01 + 0.99 * fall)


def constant(step: int, steps: int) -> float:
    """The learning rates as they were given."""
    return 1.0


def lasting(count: int) -> float:
    """Share of the average that a step leaves: 0.998, less while it is young."""
    return min(0.998, (1 + count) / (10 + count))


def averaged(model: nn.Module, keep: Callable[[int], float] = lasting) -> AveragedModel:
    """A moving average of a network's parameters; its buffers are the network's.

    Parameters
    ----------
    keep
        From the number of the step, 1 for the first, to the share of the average that stays.
    """

    def move(average: Sequence[Tensor], now: Sequence[Tensor], count: Tensor | int) -> None:
        torch._foreach_lerp_(list(average), list(now), 1.0 - keep(int(count)))

    average = AveragedModel(model, multi_avg_fn=move)
    average.n_averaged.fill_(1)  # at 0 the first step would be copied
    average.requires_grad_(False)
    return average
