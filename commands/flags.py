"""Flags that several commands share, in a terminal and inside Blender, and what they are read as."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..backend.detail.engines import kinds
from ..backend.formats.maps import RESOLUTIONS
from ..backend.liveliness.performance import EMOTIONS, Life, Style, from_values

_STRENGTHS = {
    "blinks": "how often the eyes blink",
    "gaze": "how far the eyes dart",
    "brows": "how far brows rise on accents",
    "breath": "how much breath shows",
    "head": "how far the head nods and turns",
}

PERFORMANCE = ("emotion", "intensity", "articulation", "speaker", *_STRENGTHS, "seed")
"""Names of the flags of a performance."""


# --- values --------------------------------------------------------------------------------------


def positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    """The argparse type of finite numbers above zero; `kind` is int or float."""

    def parse(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not above zero")
        return value

    parse.__name__ = "number"  # argparse names the type by it
    return parse


def natural(text: str) -> int:
    """The argparse type of seeds and other whole numbers from 0 to 2^31 - 1."""
    value = int(text)
    if not 0 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is outside 0 to 2147483647")
    return value


natural.__name__ = "whole number"


def frame_range(text: str) -> tuple[int, int]:
    """Read ``1-120`` as (1, 120); a single number is a range of one frame."""
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f'"{text}" is no range of frames; write A-B, as in 1-120')
    first = int(match[1])
    last = int(match[2] or first)
    if last < first:
        raise argparse.ArgumentTypeError(f"the range {text} ends before it starts")
    return first, last


# --- flags ---------------------------------------------------------------------------------------


def add_identity(parser: argparse.ArgumentParser, required: bool) -> Any:
    """Add ``--identity FILE | --random-identity N``; return their group, for further choices."""
    group = parser.add_mutually_exclusive_group(required=required)
    other = "" if required else "; the average person otherwise"
    group.add_argument(
        "--identity", type=Path, metavar="FILE", help=f"identity file (.json){other}"
    )
    group.add_argument("--random-identity", type=natural, metavar="N",
                       help="a plausible person drawn with this seed")  # fmt: skip
    return group


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add ``--engine``."""
    parser.add_argument("--engine", default=kinds.AUTO, choices=kinds.CHOICES,
                        help="what runs the networks (default: auto)")  # fmt: skip


def add_resolution(parser: argparse.ArgumentParser, default: int | None) -> None:
    """Add ``--resolution``; None stands for the network's own."""
    usual = "the network's own" if default is None else default
    parser.add_argument("--resolution", type=int, default=default, choices=RESOLUTIONS,
                        metavar="|".join(map(str, RESOLUTIONS)),
                        help=f"pixels a side (default: {usual})")  # fmt: skip


def add_fps(parser: argparse.ArgumentParser, default: float | None, meaning: str) -> None:
    """Add ``--fps``; `meaning` is its help."""
    parser.add_argument("--fps", type=positive(float), default=default, metavar="N", help=meaning)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result as JSON")


def add_blender(parser: argparse.ArgumentParser) -> None:
    """Add ``--blender``."""
    parser.add_argument("--blender", type=Path, metavar="PATH",
                        help="the Blender to bake with (default: `blender` on PATH, else the bpy module)")  # fmt: skip


# --- performance ---------------------------------------------------------------------------------


def add_performance(parser: argparse.ArgumentParser) -> None:
    """Add the flags :data:`PERFORMANCE`; :func:`performance` reads them."""
    manner = parser.add_argument_group("manner of speaking")
    manner.add_argument("--emotion", default="neutral", choices=EMOTIONS,
                        help=f"{', '.join(EMOTIONS)} (default: neutral)", metavar="NAME")  # fmt: skip
    manner.add_argument("--intensity", type=float, default=1.0, metavar="X",
                        help="how strongly the emotion shows, 0 to 1.5 (default: 1)")  # fmt: skip
    manner.add_argument("--articulation", type=float, default=1.0, metavar="X",
                        help="how far jaw and lips travel, 0.5 to 1.5 (default: 1)")  # fmt: skip
    manner.add_argument("--speaker", type=int, default=0, metavar="N",
                        help="the habits of the random speaker with this seed; 0 is the average (default)")  # fmt: skip
    life = parser.add_argument_group(
        "life around the mouth", "each from 0, none, over 1, ordinary (default), to 2"
    )
    for name, meaning in _STRENGTHS.items():
        life.add_argument(f"--{name}", type=float, default=1.0, metavar="X", help=meaning)
    life.add_argument("--seed", type=int, default=0, metavar="N",
                      help="another seed, another moment for all of this (default: 0)")  # fmt: skip


def performance(values: Mapping[str, Any]) -> tuple[Style, Life]:
    """Return style and life of values by name: :data:`PERFORMANCE`, others are ignored.

    Raises
    ------
    FurrowError
        For values out of range.
    """
    return from_values(**{name: values[name] for name in PERFORMANCE})


def to_argv(arguments: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """Write flags as a command line again, for a child process; None is left out."""
    pairs = ((name.replace("_", "-"), getattr(arguments, name)) for name in names)
    return [
        word for name, value in pairs if value is not None for word in (f"--{name}", str(value))
    ]
