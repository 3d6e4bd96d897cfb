"""Finds a Blender and runs a script in it as a child process; never imports bpy itself."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..backend.errors import FurrowError
from .terminal import OURS

GRACE_S = 20.0
"""After Ctrl-C the bake removes the frame that it was writing; then it is ended."""


def find(program: Path | None = None) -> list[str]:
    """Return the start of a command line that runs a script with arguments after it in Blender.

    `program` is the Blender to use; without it ``blender`` on PATH, else this Python's bpy module.

    Raises
    ------
    FurrowError
        If there is none.
    """
    path = shutil.which(program or "blender")
    if path is not None:
        # Factory settings: neither other add-ons nor a second, installed Furrow take part.
        return [path, "--background", "--factory-startup", "--python-exit-code", "1", "--python"]
    if program is not None:
        raise FurrowError(f"There is no Blender at {program}.", "missing_file")
    if importlib.util.find_spec("bpy") is not None:
        return [sys.executable, "-P"]
    raise FurrowError(
        'No Blender was found. Name yours with --blender PATH, or: pip install "furrow[blender]".',
        "engine_unavailable",
    )


def run(
    program: Path | None,
    script: Path,
    arguments: Sequence[str],
    quiet: bool = False,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a script in Blender as ``... SCRIPT -- PYTHON ARGUMENTS`` and return its exit status.

    Of what it prints, Furrow's own lines pass: Blender reports every sample of a render.

    Parameters
    ----------
    program
        As for :func:`find`.
    script
        The add-on's, which loads Furrow from its folder, whatever Blender has installed, and runs
        what `arguments` say. PYTHON is this one, which has the engines.
    quiet
        Drop Furrow's own lines too, and what goes to stderr.
    environment
        The child's, if another than ours.
    """
    command = [*find(program), str(script), "--", sys.executable, *arguments]
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
