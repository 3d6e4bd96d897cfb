"""Inputs and outputs that ONNX networks of detail must have, so that a foreign file is told by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .expressions import EXPRESSIONS
from .tensors import damaged

Ports = dict[str, tuple[Any, ...]]
"""Sizes of a network's inputs and outputs by name; a size that is not fixed is no int."""


def sizes(folder: Path, encoder: Ports, generator: Ports) -> tuple[int, int, int]:
    """Return K + 16, num_ws and the resolution R of an encoder and a generator in `folder`.

    Raises
    ------
    FurrowError
        With code ``missing_model`` if one of them is another network, or they do not fit together.
    """
    wanted = {"identity": (1, None), "expression": (1, len(EXPRESSIONS)), "w": (1, None, 512)}
    check_ports(folder / "encoder.onnx", encoder, wanted)
    side = (generator.get("noise") or (0,))[-1]
    maps = {name: (1, 1, side, side) for name in ("noise", "displacement")}
    check_ports(folder / "generator.onnx", generator, {**maps, "w": encoder["w"]})
    return encoder["identity"][1], encoder["w"][1], side


def check_ports(path: Path, found: Ports, wanted: Mapping[str, tuple[int | None, ...]]) -> None:
    """Raise FurrowError unless a network has these inputs and outputs; None stands for any size."""
    for name, shape in wanted.items():
        there = found.get(name, ())
        fits = len(there) == len(shape) and all(
            isinstance(a, int) and b in (None, a) for a, b in zip(there, shape, strict=True)
        )
        if not fits:
            has = ", ".join(f"{key} {list(value)}" for key, value in found.items())
            raise damaged(path, f"it is another network, or does not fit the others: it has {has}")
