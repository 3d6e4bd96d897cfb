"""What every command does at a terminal: reads its line, shows progress, ends with a status."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

from ..backend.errors import FurrowError

Progress = Callable[[float, str], None]
"""Called with a fraction from 0 to 1 and what is being done."""

OURS = "furrow: "
"""How lines for people begin, whether Furrow runs in this process or in a Blender."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line instead of after a screen of usage."""

    def error(self, message: str) -> NoReturn:
        """End the process with status 2."""
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def exit_status(run: Callable[[], int]) -> int:
    """Status of a command: what `run` returns, 130 after Ctrl-C, else 1 and one line on stderr.

    FURROW_DEBUG=1 in the environment lets errors that were not foreseen through, with where they
    arose.
    """
    try:
        return run()
    except FurrowError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        _complain("stopped.")
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("FURROW_DEBUG"):
            raise
        reason = f"{type(error).__name__}: {error}".replace("\n", " ")
        return _complain(f"something unforeseen went wrong: {reason} (FURROW_DEBUG=1 shows where).")


def _complain(message: str) -> int:
    print(f"{OURS}{message}", file=sys.stderr)
    return 1


@contextlib.contextmanager
def progress_bar(title: str = "") -> Iterator[Progress]:
    """Yield a progress function, which draws on stderr if that is a terminal.

    With a title it prints a line every tenth elsewhere, for the logs of a farm, and in a Blender,
    whose Python has no tqdm.
    """
    try:
        from tqdm import tqdm
    except ImportError:
        tqdm = None
    if tqdm is None or not sys.stderr.isatty():
        yield _lines(title) if title else lambda _fraction, _text: None
        return
    layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    with tqdm(total=1.0, bar_format=layout, leave=bool(title)) as bar:

        def progress(fraction: float, text: str) -> None:
            bar.set_description_str(f"{title}: {text}" if title else text, refresh=False)
            bar.update(fraction - bar.n)

        yield progress


def _lines(title: str) -> Progress:
    """Prints a line when a tenth is done or something else begins."""
    begin = time.monotonic()
    last: tuple[str, int] | None = None

    def progress(fraction: float, text: str) -> None:
        nonlocal last
        step = (text.split()[0], int(10 * fraction))
        if step != last:
            last = step
            seconds = time.monotonic() - begin
            line = f"{title}: {text} {int(100 * fraction):3d} %  {seconds:.0f} s"
            print(line, file=sys.stderr, flush=True)

    return progress
