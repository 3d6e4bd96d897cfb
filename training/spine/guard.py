"""Failures of training in people's words: divergence, memory that runs out, unusable checkpoints."""

from __future__ import annotations

import contextlib
import math
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from ...backend.errors import FurrowError

_OUT_ON_CPU = ("can't allocate memory", "not enough memory")
"""How PyTorch's allocators of processors say it, in a plain RuntimeError."""


@torch.no_grad()
def check_finite(
    losses: Iterable[float],
    weights: Iterable[Tensor],
    at: str,
    checkpoint: Path | None,
    remedy: str,
) -> None:
    """Raise FurrowError if a loss or a weight is not a finite number.

    Call it with the weights before every checkpoint, so that none is written over the last good
    one; with a loss alone (``weights=()``) it costs nothing and may run at every step, before the
    optimiser moves.

    Parameters
    ----------
    losses
        Of this step, or their means.
    weights
        Parameters on one device, of any shape.
    at
        Where the run is, as "after 12 kimg" or "at step 400".
    checkpoint
        Where the last good state lies, if one was written; None if none is kept.
    remedy
        What to lower, as one sentence.
    """
    what = ""
    if not all(map(math.isfinite, losses)):
        what = "the loss is no longer a number"
    else:
        good = [weight.isfinite().all() for weight in weights]
        if good and not bool(torch.stack(good).all()):  # one wait for the device, not one a weight
            what = "weights are no longer numbers"
    if what:
        state = (
            f"{checkpoint} holds the last good state, from which the same command goes on"
            if checkpoint is not None and checkpoint.is_file()
            else "No state was saved yet"
        )
        raise FurrowError(f"Training diverged {at}: {what}. {state}. {remedy}")


@contextlib.contextmanager
def enough_memory(remedy: str) -> Iterator[None]:
    """Turn running out of a GPU's or the machine's memory into a FurrowError.

    Parameters
    ----------
    remedy
        Which settings to lower, as "lower --batch or --resolution".
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise FurrowError(f"The GPU's memory does not suffice: {remedy}.") from None
    except MemoryError:
        raise FurrowError(f"The machine's memory does not suffice: {remedy}.") from None
    except RuntimeError as error:
        if not any(words in str(error) for words in _OUT_ON_CPU):
            raise
        raise FurrowError(f"The machine's memory does not suffice: {remedy}.") from None


_UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, OSError, LookupError, TypeError, ValueError, AttributeError,
)  # fmt: skip
"""What PyTorch raises for damaged and foreign files, and for states of other networks."""


@contextlib.contextmanager
def restoring(path: Path, command: str) -> Iterator[None]:
    """Turn what goes wrong while a checkpoint is read and its states are loaded into a FurrowError.

    Parameters
    ----------
    path
        The checkpoint.
    command
        Which one writes such checkpoints, as "furrow train gan".
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, KeyError):
            reason = f"it has no {reason}"
        raise FurrowError(
            f"{path} is damaged or no run of `{command}` with these settings: {reason.rstrip('.:')}. "
            "Begin another run, in another folder."
        ) from None
