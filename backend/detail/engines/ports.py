"""Inputs and outputs that ONNX networks of detail must have, so that a foreign file is told by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...formats.expressions import EXPRESSIONS
from ...formats.tensors import damaged

Ports = dict[str, tuple[Any, ...]]
"""Sizes of a network's inputs and outputs by name; a size that is not fixed is no int."""


@dataclass(frozen=True)
class Sizes:
    """What the detail networks of a folder take and make.

    Attributes
    ----------
    identity
        K + 16.
    num_ws
        Styles of W+.
    resolution
        R of the maps in texels.
    levels
        Sides r of the images (1, 1, r, r) that the bases make and the generator reads, from the
        lowest.
    """

    identity: int
    num_ws: int
    resolution: int
    levels: tuple[int, ...]

    @property
    def basis_names(self) -> list[str]:
        """Names of the bases' images: outputs of bases.onnx, inputs of generator.onnx."""
        return [f"basis_{level}" for level in self.levels]


def sizes(folder: Path, encoder: Ports, noise: Ports, bases: Ports, generator: Ports) -> Sizes:
    """Return the sizes of the networks in `folder`.

    Raises
    ------
    FurrowError
        With code ``missing_model`` if one of them is another network, or they do not fit together.
    """
    needs = {"identity": (1, None), "expression": (1, len(EXPRESSIONS)), "w": (1, None, 512)}
    check_ports(folder / "encoder.onnx", encoder, needs)
    filtered = ("coarse", "fine")
    needs = {name: (1, None, None, None) for name in ("noise", *filtered)}
    check_ports(folder / "noise.onnx", noise, needs)
    side = noise["noise"][-1]
    plane = (1, 1, side, side)
    images = {name: size for name, size in generator.items() if name.startswith("basis_")}
    both = {"w": encoder["w"], "displacement": plane}
    both |= {name: (1, 1, size[-1], size[-1]) for name, size in images.items()}
    needs = both | {name: noise[name] for name in filtered}
    check_ports(folder / "generator.onnx", generator, needs)
    check_ports(folder / "bases.onnx", bases, {**both, "rest": plane})
    levels = tuple(sorted(size[-1] for size in images.values()))
    return Sizes(encoder["identity"][1], encoder["w"][1], side, levels)


def check_ports(path: Path, ports: Ports, needs: Mapping[str, tuple[int | None, ...]]) -> None:
    """Raise FurrowError unless a network has these inputs and outputs; None stands for any size."""
    for name, shape in needs.items():
        sizes = ports.get(name, ())
        fits = len(sizes) == len(shape) and all(
            isinstance(a, int) and b in (None, a) for a, b in zip(sizes, shape, strict=True)
        )
        if not fits:
            has = ", ".join(f"{key} {list(value)}" for key, value in ports.items())
            raise damaged(path, f"it is another network, or does not fit the others: it has {has}")
