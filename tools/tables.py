"""Tables in pages of docs/ from files of figures, as ``evaluate --json`` writes them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from furrow.backend.errors import FurrowError
from furrow.backend.formats.files import write_whole

DOCS = Path(__file__).resolve().parent.parent / "docs"

Figures = dict[str, float]
Tables = dict[str, list[str]]


def main(page: str, about: str, tables: Callable[[Figures], Tables]) -> int:
    """Fill a page from the files on the command line; return the exit status.

    Parameters
    ----------
    page
        Its name in docs/.
    about
        The tool's docstring: its first line is the help, all of it what an error refers to.
    tables
        Rows by the name of their place in the page, from values by the name of their figure.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.json")
    try:
        fill(DOCS / page, tables(read_figures(parser.parse_args().files)))
    except KeyError as error:
        print(f"The figure {error} is missing. See: {about}", file=sys.stderr)
        return 1
    except FurrowError as error:
        print(f"{error} See: {about}", file=sys.stderr)
        return 1
    return 0


def read_figures(paths: list[Path]) -> Figures:
    """Values by name from files of figures; raises FurrowError."""
    figures: Figures = {}
    for path in paths:
        try:
            entries = json.loads(path.read_text())["figures"]
        except (OSError, ValueError, KeyError) as error:
            raise FurrowError(f"{path} holds no figures ({error}).") from None
        figures |= {figure["name"]: figure["value"] for figure in entries}
    return figures


def fill(path: Path, tables: Tables) -> None:
    """Write tables (rows by name) into a page, each between a pair of comments that name it."""
    page = path.read_text()
    for name, rows in tables.items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        if mark:
            page = before + mark + "\n".join(rows) + "\n" + rest[rest.index("<!-- end -->") :]
    write_whole(path, page.encode())
