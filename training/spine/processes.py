"""Several GPUs: the processes that ``torchrun`` started, and what they tell one another."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from . import machine


class Processes:
    """This process among those of a run; alone where nobody started others.

    ``torchrun --nproc-per-node N -m furrow train gan ...`` starts one for each of N GPUs. Every
    process holds the whole networks, sees its part of a batch, and gradients are averaged, which is
    all that a GAN with gradient penalties needs.

    Attributes
    ----------
    rank, count
        Number of this process, and of all.
    device
        Where this one computes.
    """

    def __init__(self, device: str | None = None) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", 1))
        self.rank = int(os.environ.get("RANK", 0))
        self.device = machine.device(device or "auto")
        if self.device.type == "cuda":
            if self.device.index is None:
                self.device = machine.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}")
            torch.cuda.set_device(self.device)
        if self.count > 1:
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def mean(self, value: Tensor) -> Tensor:
        """Mean of a tensor over all processes."""
        if self.count > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.count
        return value

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace gradients by their mean over all processes; parameters that got none get zeros."""
        parameters = list(parameters)
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.count > 1:
            gradients = [p.grad for p in parameters if p.grad is not None]
            flat = self.mean(torch.cat([g.flatten() for g in gradients]))
            for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):  # fmt: skip
                gradient.copy_(part.view_as(gradient))

    def gather(self, value: Any) -> list[Any]:
        """What each process has, in order; pickles among processes of one run only."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            dist.barrier()

    def close(self) -> None:
        """Leave the others."""
        if self.count > 1:
            dist.destroy_process_group()
