"""Reads tensors from .safetensors files: every fault of a file is one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FurrowError

_TYPES = ("F16", "F32")


def read_tensors(path: Path, names: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Read tensors as float32; of a large file no more than these come into memory.

    Parameters
    ----------
    path
        A .safetensors file.
    names
        Which tensors must be there and are read; all of the file if empty.

    Raises
    ------
    FurrowError
        With code ``missing_model``, naming the file: if it is missing, is cut short, is no
        safetensors file, lacks a tensor, or holds one of another type or values that are not numbers.
    """
    # Here: Blender's own Python, which imports what names the engines, has no such package.
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: _tensor(file, name) for name in names or sorted(file.keys())}
    except FileNotFoundError:
        raise FurrowError(f"{path} is missing. Install Furrow again.", "missing_model") from None
    except (OSError, ValueError, SafetensorError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception | str) -> FurrowError:
    """Return the error for a file of the networks that cannot be used; only its first line is said."""
    lines = str(error).strip().splitlines()
    reason = lines[0] if lines else type(error).__name__
    return FurrowError(
        f"The file {path} is damaged ({reason}). Install Furrow again.", "missing_model"
    )


def _tensor(file: Any, name: str) -> np.ndarray:
    if name not in file.keys():  # noqa: SIM118  # it is no dict
        raise ValueError(f"it holds no {name}")
    kind = file.get_slice(name).get_dtype()
    if kind not in _TYPES:
        raise ValueError(f"{name} is of the type {kind}, not F16 or F32")
    values = file.get_tensor(name).astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds values that are not numbers")
    return values
