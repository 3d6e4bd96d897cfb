"""The `furrow` command: parses, runs, and connects rooms that may not import one another."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import __version__
from .backend.errors import FurrowError
from .commands import bake, bench, detail, doctor, speak, terminal

SCRIPT = Path(__file__).resolve().with_name("addon") / "outside.py"
"""What a Blender runs for us: it loads the add-on from this folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 only on success, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    try:
        status = terminal.exit_status(lambda: arguments.run(arguments))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader of our output has gone; without this Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = terminal.Parser(
        prog="furrow", description="Detailed faces in Blender, from sliders and speech."
    )
    parser.add_argument("--version", action="version", version=f"furrow {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, summary: str, add_arguments: Callable, run: Callable) -> None:
        description = f"{summary[0].upper()}{summary[1:]}."
        subparser = commands.add_parser(name, help=summary, description=description)
        add_arguments(subparser)
        subparser.set_defaults(run=run)

    in_blender = functools.partial(functools.partial, script=SCRIPT)
    command("speak", "speech to 52 ARKit weights over time", speak.add_arguments, speak.run)
    command("detail", "one displacement map of an identity and an expression",
            detail.add_arguments, detail.run)  # fmt: skip
    command("bake", "speech, weights or .blend files to heads that play without Furrow",
            bake.add_arguments, in_blender(bake.run))  # fmt: skip
    command("assemble", "join the ranges of a bake that were baked apart",
            bake.add_assemble_arguments, in_blender(bake.run_assemble))  # fmt: skip
    command("train", "learn a part anew", functools.partial(_add_part, "train"), _run_part)
    command("evaluate", "measure a part on data kept out of its training",
            functools.partial(_add_part, "evaluate"), _run_part)  # fmt: skip
    command("bench", "measure speed and memory on this machine",
            bench.add_arguments, in_blender(bench.run, peers=_peers))  # fmt: skip
    command("doctor", "check what this installation needs", doctor.add_arguments, doctor.run)
    return parser


def _add_part(verb: str, parser: argparse.ArgumentParser) -> None:
    from .training import commands

    commands.add_arguments(parser, verb)


def _run_part(arguments: argparse.Namespace) -> int:
    from .training import commands

    commands.run(arguments)
    return 0


def _peers(networks: Path) -> bench.Peers:
    """What maps are compared with; made with PyTorch, which need not be installed."""
    from .training import commands

    try:
        cost = commands.load("gan", "cost")
    except FurrowError as error:
        return bench.Peers(absent=str(error))
    return bench.Peers(*cost.peers(networks))


if __name__ == "__main__":
    sys.exit(main())
