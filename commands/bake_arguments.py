"""The flags of `bake` and `assemble`, the same for the `furrow` command and inside Blender."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from . import performance_arguments


def add_arguments(parser: argparse.ArgumentParser, inside_blender: bool = False) -> None:
    """Add the flags of `bake`; inside Blender, no input means the file that is open."""
    parser.add_argument(
        "inputs",
        nargs="*" if inside_blender else "+",
        type=Path,
        metavar="INPUT",
        help="WAV (FLAC, OGG), weights over time (.csv, .npz), or a .blend whose heads are baked as animated"
        + ("; without any, the file that is open" if inside_blender else ""),
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write into"
    )
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--identity", type=Path, metavar="FILE", help="identity file (JSON); the average otherwise"
    )
    who.add_argument(
        "--random-identity", type=int, metavar="N", help="the plausible person with this seed"
    )
    parser.add_argument("--object", metavar="NAME", help="bake only this head of a .blend")
    parser.add_argument(
        "--fps",
        type=float,
        metavar="RATE",
        help="frames per second for a WAV (30), or to resample weights to; a .blend keeps its own",
    )
    parser.add_argument(
        "--resolution",
        type=int,
        default=1024,
        choices=(256, 512, 1024),
        help="side of the displacement maps in texels (1024)",
    )
    parser.add_argument(
        "--frames",
        type=frame_range,
        metavar="A-B",
        help="bake these frames only, for a farm; `assemble` joins the ranges",
    )
    parser.add_argument(
        "--preview", action="store_true", help="also render preview.png and preview.mp4"
    )
    parser.add_argument(
        "--engine",
        default="auto",
        choices=("auto", "ort", "openvino", "torch"),
        help="what runs the networks (auto: a GPU through PyTorch where there is one)",
    )
    performance_arguments.add_arguments(parser)


def add_assemble_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `assemble`."""
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="folder that ranges were baked into"
    )
    parser.add_argument(
        "--preview", action="store_true", help="also render preview.png and preview.mp4"
    )


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


def to_argv(arguments: argparse.Namespace) -> list[str]:
    """Write parsed flags of `bake` as a command line again, paths made absolute, for a child process."""
    argv = ["bake", *(str(path.resolve()) for path in arguments.inputs)]
    argv += ["--output", str(arguments.output.resolve())]
    if arguments.identity is not None:
        argv += ["--identity", str(arguments.identity.resolve())]
    if arguments.frames is not None:
        argv += ["--frames", "{}-{}".format(*arguments.frames)]
    for name in ("random_identity", "object", "fps", "resolution", "engine"):
        value = getattr(arguments, name)
        if value is not None:
            argv += ["--" + name.replace("_", "-"), str(value)]
    argv += performance_arguments.to_argv(arguments)
    return [*argv, "--preview"] if arguments.preview else argv
