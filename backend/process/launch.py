"""Starts the backend process: ``python -I backend/process/launch.py [options]``.

Runs as a plain file, in any Python from 3.11 on, with nothing but the standard library until the
paths are set: the modules of the package that it takes for that need no other. `-I` keeps the user's environment out; the package is loaded from the folder above
this file, whatever that folder is called, so no other add-on or site can shadow a module of ours.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import BinaryIO


def main() -> None:
    """Take stdin and stdout for the protocol, set the paths, serve until the client goes."""
    _load_package(Path(__file__).resolve().parent.parent.parent)
    options = _arguments()
    read, write = _take_pipes()
    from furrow.backend.errors import FurrowError

    try:
        if options.wheels:
            from furrow.backend.system import wheels

            options.site_packages.insert(0, wheels.unpack(options.wheels, options.unpack_to))
        for folder in reversed(options.site_packages):
            sys.path.insert(0, str(folder))
        from furrow.backend.process import services

        services.serve(read, write, options.engine, options.networks, options.user_folder)
    except FurrowError as error:  # the client shows the last line of the log
        sys.exit(str(error))
    except ModuleNotFoundError as error:
        sys.exit(f"{sys.executable} has no package {error.name}; choose another Python.")


def _arguments() -> argparse.Namespace:
    from furrow.backend.detail.engines import kinds

    parser = argparse.ArgumentParser(
        prog="launch.py", description="Start Furrow's backend process."
    )
    parser.add_argument("--engine", default=kinds.AUTO, choices=kinds.CHOICES)
    parser.add_argument(
        "--site-packages", type=Path, action="append", default=[], metavar="DIR",
        help="search DIR for packages before all else; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--networks", type=Path, metavar="DIR", help="folder of the detail networks, if others"
    )
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="use the wheels in DIR")
    parser.add_argument("--unpack-to", type=Path, metavar="DIR", help="where wheels are unpacked")
    parser.add_argument(
        "--user-folder", type=Path, metavar="DIR", help="where the speed of engines is remembered"
    )
    options = parser.parse_args()
    if options.wheels and not options.unpack_to:
        parser.error("--wheels needs --unpack-to")
    return options


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes for us alone: what a library prints lands on stderr, what it reads is empty."""
    read = os.fdopen(os.dup(0), "rb")
    write = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stderr
    return read, write


def _load_package(root: Path) -> None:
    """Make the folder `root` importable as ``furrow``, without putting its parent on the path."""
    spec = importlib.util.spec_from_file_location(
        "furrow", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["furrow"] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    main()
