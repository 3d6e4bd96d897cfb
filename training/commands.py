"""`furrow train` and `furrow evaluate`: finds a part's module, which is imported on demand."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from types import ModuleType

from ..backend.errors import FurrowError
from ..backend.formats import figures

PARTS = {
    "head": "the bilinear head model, from scans (ICT) and the CC0 data of its source package",
    "corpus": "displacement maps of synthesised skin",
    "dnpm": "the detail generator, from the corpus",
    "gan": "a detail generator from scratch by StyleGAN2-ADA, for those who have GPUs",
    "encoder": "the encoder from identity and expression to the generator's W+",
    "space": "the generator's W+: random people and the directions of the detail sliders",
    "portable": "the bases of maps that portable heads play, against the networks",
    "speech": "the speech network, from synthetic voices or from films",
}


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add the part and what belongs to it; `verb` is train or evaluate.

    The part's own options are parsed in :func:`run`, since its module imports PyTorch, which takes
    seconds and need not be installed for any other command.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "parts:\n" + "\n".join(f"  {name:<9}{text}" for name, text in PARTS.items())
    parser.add_argument("part", choices=PARTS, metavar="PART", help="see below")
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="...",
                        help=f"options of the part: furrow {verb} PART --help")  # fmt: skip
    parser.set_defaults(verb=verb, parser=type(parser))


def run(arguments: argparse.Namespace) -> None:
    """Run ``training.<part>.<verb>`` with its own options; `evaluate` prints and writes its figures."""
    verb, part = arguments.verb, arguments.part
    module = load(part, verb)
    parser = arguments.parser(
        prog=f"furrow {verb} {part}", description=f"{verb.capitalize()} {PARTS[part]}."
    )
    module.add_arguments(parser)
    if verb == "evaluate":
        parser.add_argument(
            "--json", type=Path, metavar="FILE", help="also write the figures as JSON"
        )
    options = parser.parse_args(arguments.options)
    measured = module.run(options)
    if verb == "evaluate":
        print(figures.table(measured))
        if options.json:
            figures.write(options.json, measured, seed=getattr(options, "seed", 0))


def load(part: str, verb: str) -> ModuleType:
    """Import ``training.<part>.<verb>``.

    Raises
    ------
    FurrowError
        If a package that training needs is not installed.
    """
    package = __package__
    try:
        return importlib.import_module(f"{package}.{part}.{verb}")
    except ModuleNotFoundError as error:
        name = error.name or ""
        if name.split(".")[0] == (package or "").split(".")[0]:
            raise FurrowError(
                f"There is nothing to {verb} for {part} yet.", "missing_model"
            ) from None
        raise FurrowError(
            f"This needs {name}, which is not installed. `make train-env` installs it, "
            'and so does: pip install "furrow[train]".',
            "engine_unavailable",
        ) from None
