"""`furrow bake` and `furrow assemble`: heads that play without Furrow, made by a Blender.

Their flags are the same inside Blender (``blender --command furrow bake``).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import blender, flags


def add_arguments(parser: argparse.ArgumentParser, inside_blender: bool = False) -> None:
    """Add the flags of `bake`; inside Blender, no input means the file that is open."""
    if not inside_blender:
        flags.add_blender(parser)
    parser.add_argument(
        "inputs",
        nargs="*" if inside_blender else "+",
        type=Path,
        metavar="INPUT",
        help="WAV (FLAC, OGG), weights over time (.csv, .npz), or a .blend whose heads are baked as animated"
        + ("; without any, the file that is open" if inside_blender else ""),
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR",
                        help="folder to write into")  # fmt: skip
    flags.add_identity(parser, required=False)
    parser.add_argument("--object", metavar="NAME", help="bake only this head of a .blend")
    flags.add_fps(
        parser,
        None,
        "frames a second for a WAV (30), or to resample weights to; a .blend keeps its own",
    )
    flags.add_resolution(parser, 1024)
    parser.add_argument("--frames", type=flags.frame_range, metavar="A-B",
                        help="bake these frames only, for a farm; `assemble` joins the ranges")  # fmt: skip
    _add_preview(parser)
    flags.add_engine(parser)
    flags.add_performance(parser)


def add_assemble_arguments(parser: argparse.ArgumentParser, inside_blender: bool = False) -> None:
    """Add the flags of `assemble`."""
    if not inside_blender:
        flags.add_blender(parser)
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="folder that ranges were baked into"
    )
    _add_preview(parser)


def _add_preview(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preview", action="store_true",
                        help="also render preview.png and preview.mp4")  # fmt: skip


def run(arguments: argparse.Namespace, script: Path) -> int:
    """Bake in a Blender and return its status; `script` as for :func:`.blender.run`."""
    return blender.run(arguments.blender, script, to_argv(arguments))


def run_assemble(arguments: argparse.Namespace, script: Path) -> int:
    """Assemble in a Blender and return its status; `script` as for :func:`.blender.run`."""
    preview = ["--preview"] if arguments.preview else []
    argv = ["assemble", str(arguments.folder.resolve()), *preview]
    return blender.run(arguments.blender, script, argv)


def to_argv(arguments: argparse.Namespace) -> list[str]:
    """Write parsed flags of `bake` as a command line again, paths made absolute, for a child process."""
    argv = ["bake", *(str(path.resolve()) for path in arguments.inputs)]
    argv += ["--output", str(arguments.output.resolve())]
    if arguments.identity is not None:
        argv += ["--identity", str(arguments.identity.resolve())]
    if arguments.frames is not None:
        argv += ["--frames", "{}-{}".format(*arguments.frames)]
    names = ("random_identity", "object", "fps", "resolution", "engine", *flags.PERFORMANCE)
    argv += flags.to_argv(arguments, names)
    return [*argv, "--preview"] if arguments.preview else argv
