"""Runs Furrow in a Blender where it is not installed: ``... outside.py -- PYTHON ARGUMENTS``.

A plain script, which the `furrow` command starts in a Blender or in a Python with the bpy module. It
loads the package from the folder above, whatever that is called. PYTHON runs the backend process:
it has the engines, which this Blender's own Python may lack.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Any


def main() -> int:
    """Load Furrow, run ``addon.bake.cli`` with the arguments, unload; return the exit status.

    ``measure PART FILE RUNS`` is for `furrow bench`.
    """
    python, *arguments = sys.argv[sys.argv.index("--") + 1 :]
    import bpy  # noqa: F401  # loaded before the clock starts: Blender's own start is not ours

    if arguments[0] == "measure":
        gc.collect()  # what Blender's own start left to collect is not ours either
    begin = time.perf_counter()
    os.environ["FURROW_PYTHON"] = python
    furrow = load()
    start_s = time.perf_counter() - begin
    try:
        if arguments[0] == "measure":
            from furrow.addon.bench import measure

            part, path, runs = arguments[1:]
            return measure.main(part, path, int(runs), start_s)
        from furrow.addon.bake import cli

        return cli.main(arguments)
    finally:
        furrow.unregister()  # bpy as a module does not exit while a handler of ours is registered


def load() -> Any:
    """Load the package from the folder above, register it with Blender, and return it."""
    root = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location(
        "furrow", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    assert spec is not None and spec.loader is not None
    furrow = importlib.util.module_from_spec(spec)
    sys.modules["furrow"] = furrow
    spec.loader.exec_module(furrow)
    furrow.register()
    return furrow


if __name__ == "__main__":
    sys.exit(main())
