"""The machine that training runs on: device, threads, precision; and the options that say so."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import torch

from ...backend.errors import FurrowError
from ...backend.system.processor import physical_cores


def add_arguments(
    parser: argparse.ArgumentParser, out: Path | None = None, minutes: bool = True
) -> None:
    """Add the options that all parts of ``furrow train`` share.

    Parameters
    ----------
    out
        Default of ``-o``, the run's folder; None where the part has no such folder.
    minutes
        Whether the part has a budget that a ceiling can end.
    """
    if out is not None:
        parser.add_argument(
            "-o", "--out", type=Path, default=out, metavar="DIR",
            help=f"folder of the run, which goes on where it stopped (default: {out})",
        )  # fmt: skip
    if minutes:
        parser.add_argument("--minutes", type=float, metavar="N",
                            help="end early after so many minutes; the budget is in steps")  # fmt: skip
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                        help="auto: a GPU where PyTorch can use one")  # fmt: skip
    add_threads(parser)


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add the number of threads, which every part of ``furrow evaluate`` that needs PyTorch has too."""
    parser.add_argument("--threads", type=int, metavar="N",
                        help="of the processor (default: its cores)")  # fmt: skip


def begin(args: argparse.Namespace) -> torch.device:
    """Set the threads and return the device that :func:`add_arguments` asked for."""
    set_threads(args.threads)
    return device(args.device)


def set_threads(threads: int | None = None) -> None:
    """Let PyTorch compute in so many threads; without a number, in as many as there are cores."""
    if threads is not None and threads < 1:
        raise FurrowError("--threads must be at least 1.")
    if count := threads or physical_cores():
        torch.set_num_threads(count)


def device(name: str = "auto") -> torch.device:
    """Return the device of a name: auto, cpu, cuda, or one of several such as cuda:1.

    Raises
    ------
    FurrowError
        If PyTorch cannot compute there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        result = torch.device(name)
        torch.zeros((), device=result)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise FurrowError(f"PyTorch cannot compute on {name}: {reason}.", "engine_unavailable") from None  # fmt: skip
    return result


def computes_bfloat16(where: torch.device) -> bool:
    """Whether a device multiplies in bfloat16; where it does not, that only costs time."""
    if where.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def precision(where: torch.device, bfloat16: bool = True) -> torch.dtype:
    """bfloat16 where it is wanted and the device computes in it, else float32."""
    return torch.bfloat16 if bfloat16 and computes_bfloat16(where) else torch.float32


def autocast(where: torch.device, bfloat16: bool = True) -> contextlib.AbstractContextManager[None]:
    """What a forward pass is wrapped in: products in :func:`precision`."""
    products = precision(where, bfloat16)
    return torch.autocast(where.type, torch.bfloat16, enabled=products is torch.bfloat16)
