"""The flags of a performance, the same for `speak` and for `bake`, there and inside Blender."""

from __future__ import annotations

import argparse

from ..backend.liveliness.performance import EMOTIONS, Life, Style, random_speaker

_STRENGTHS = {
    "blinks": "how often the eyes blink",
    "gaze": "how far the eyes dart",
    "brows": "how far brows rise on accents",
    "breath": "how much breath shows",
    "head": "how far the head nods and turns",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of how speech is performed; :func:`performance` reads them."""
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


def performance(arguments: argparse.Namespace) -> tuple[Style, Life]:
    """Return what the flags ask for.

    Raises
    ------
    FurrowError
        For values out of range.
    """
    speaker = {"speaker": random_speaker(arguments.speaker)} if arguments.speaker else {}
    style = Style(arguments.emotion, arguments.intensity, arguments.articulation, **speaker)
    strengths = {name: getattr(arguments, name) for name in _STRENGTHS}
    return style, Life(**strengths, seed=arguments.seed)


def to_argv(arguments: argparse.Namespace) -> list[str]:
    """Write the flags as a command line again, for a child process."""
    names = ("emotion", "intensity", "articulation", "speaker", *_STRENGTHS, "seed")
    return [word for name in names for word in (f"--{name}", str(getattr(arguments, name)))]
