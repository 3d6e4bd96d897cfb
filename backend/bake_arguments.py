"""The flags of `bake` and `assemble`, the same for the `furrow` command and inside Blender."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import sys
from pathlib import Path

from .errors import FurrowError

CLI = Path(__file__).resolve().parent.parent / "addon" / "cli.py"


def add_bake_arguments(parser: argparse.ArgumentParser, inside_blender: bool = False) -> None:
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
        "--seed", type=int, default=0, help="of blinks and small brow motion in speech (0)"
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


def child_command(arguments: list[str], blender: str | Path | None = None) -> list[str]:
    """The command that runs `arguments` (``["bake", ...]``) in a Blender without a window.

    Parameters
    ----------
    arguments
        The sub-command and its flags, as on the command line of `furrow`.
    blender
        Path of a Blender; otherwise `blender` of the search path, else the bpy module of this
        Python.

    Raises
    ------
    FurrowError
        If there is none of them.
    """
    if blender is not None and shutil.which(blender) is None:
        raise FurrowError(f"{blender} is no program that can be started.", "missing_file")
    found = shutil.which(blender or "blender")
    if found:
        # A user's start-up file and other extensions have no part in a bake that must repeat.
        # Backend processes run in this Python, which has the libraries.
        script = ["--python-exit-code", "1", "--python", str(CLI)]
        return [found, "--background", "--factory-startup", *script, "--", *arguments]
    if importlib.util.find_spec("bpy") is None:
        raise FurrowError(
            'There is no Blender: give its path with --blender, or run `pip install "furrow[blender]"`.',
            "missing_file",
        )
    return [sys.executable, "-P", str(CLI), *arguments]
