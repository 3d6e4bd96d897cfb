"""Reads tensors from .safetensors files with NumPy, for the runtime, which carries no safetensors package.

The format (huggingface.co/docs/safetensors): 8 bytes, the length of a JSON header, little endian;
the header {name: {"dtype", "shape", "data_offsets"}}; then the tensors' bytes, little endian.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import FurrowError

_DTYPES = {"F16": "<f2", "F32": "<f4"}
_HEADER_LIMIT = 100_000_000
"""Bytes; the format's own limit."""


def read_tensors(path: Path, names: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Read tensors as float32.

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
    try:
        with path.open("rb") as file:
            header, begin = _header(file, path.stat().st_size)
            return {
                name: _tensor(file, header, name, begin)
                for name in names or sorted(set(header) - {"__metadata__"})
            }
    except FileNotFoundError:
        raise FurrowError(f"{path} is missing. Install Furrow again.", "missing_model") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception | str) -> FurrowError:
    """Return the error for a file of the networks that cannot be used; only its first line is said."""
    lines = str(error).strip().splitlines()
    reason = lines[0] if lines else type(error).__name__
    return FurrowError(
        f"The file {path} is damaged ({reason}). Install Furrow again.", "missing_model"
    )


def _header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Return the header and where the tensors' bytes begin."""
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 2 <= length <= min(_HEADER_LIMIT, size - 8):
        raise ValueError("it is cut short, or no safetensors file")
    header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    return header, 8 + length


def _tensor(file: BinaryIO, header: dict[str, Any], name: str, begin: int) -> np.ndarray:
    if name not in header:
        raise ValueError(f"it holds no {name}")
    entry = header[name]
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"{name} is of the type {entry['dtype']}, not F16 or F32")
    dtype = np.dtype(_DTYPES[entry["dtype"]])
    shape = [int(n) for n in entry["shape"]]
    first, last = (int(n) for n in entry["data_offsets"])
    if min(shape, default=0) < 0 or first < 0 or last - first != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} has another size than its shape says")
    file.seek(begin + first)
    data = file.read(last - first)
    if len(data) != last - first:
        raise ValueError(f"it ends within {name}")
    values = np.frombuffer(data, dtype).reshape(shape).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds values that are not numbers")
    return values
