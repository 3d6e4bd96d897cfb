"""Finds a Blender and runs Furrow's bake in it as a child process; never imports bpy itself."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..backend.errors import FurrowError

CHILD = Path(__file__).resolve().parent.parent / "addon" / "bake" / "outside.py"
"""The script that the child runs: it loads Furrow from this folder, whatever Blender has installed."""

OURS = "furrow: "
"""How the lines begin that ``addon/bake/cli.py`` prints for people."""

GRACE_S = 20.0
"""After Ctrl-C the bake removes the frame that it was writing; then it is ended."""


def find(blender: Path | None = None) -> list[str]:
    """Return the start of a command line that runs a script with arguments after it in Blender.

    `blender` is the program to use; without it ``blender`` on PATH, else this Python's bpy module.

    Raises
    ------
    FurrowError
        If there is none.
    """
    if blender is not None:
        program = shutil.which(blender)
        if program is None:
            raise FurrowError(f"There is no Blender at {blender}.", "missing_file")
    else:
        program = shutil.which("blender")
    if program is not None:
        # Factory settings: neither other add-ons nor a second, installed Furrow take part.
        return [program, "--background", "--factory-startup", "--python-exit-code", "1", "--python"]
    if importlib.util.find_spec("bpy") is not None:
        return [sys.executable, "-P"]
    raise FurrowError(
        'No Blender was found. Name yours with --blender PATH, or: pip install "furrow[blender]".',
        "engine_unavailable",
    )


def run(
    blender: Path | None,
    arguments: Sequence[str],
    quiet: bool = False,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run ``addon/bake/outside.py`` with `arguments` in Blender and return its exit status.

    Of what it prints, Furrow's own lines pass: Blender reports every sample of a render. `quiet`
    drops those too, and what goes to stderr. `environment` is the child's, if another than ours.
    """
    command = [*find(blender), str(CHILD), "--", sys.executable, *arguments]
    errors = subprocess.DEVNULL if quiet else None
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env=environment,
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if line.startswith(OURS) and not quiet:
                    print(line.removeprefix(OURS), end="", flush=True)
            return child.wait()
        except KeyboardInterrupt:  # the terminal has sent it to the child as well
            try:
                child.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                child.kill()
            raise
