"""Offers `blender --command furrow`; what it does (`cli`) is imported when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

_command: Any = None


def register() -> None:
    """The bpy module has no such dispatcher."""
    global _command
    dispatch: Any = getattr(bpy.utils, "register_cli_command", None)
    if dispatch is not None:
        _command = dispatch("furrow", _main)


def unregister() -> None:
    """Take the command back."""
    global _command
    if _command is not None:
        bpy.utils.unregister_cli_command(_command)
        _command = None


def _main(argv: Sequence[str]) -> int:
    from . import cli

    return cli.main(argv)
