"""What the user chose for the backend process, wherever Furrow runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy

from ...backend.detail.engines.kinds import AUTO
from ..package import PACKAGE


@dataclass
class Preferences:
    """The extension's preferences that concern the process.

    Attributes
    ----------
    python
        The Python that runs it; empty for Blender's own.
    engine
        As backend/process/launch.py takes it.
    networks
        Folder of other networks of detail; empty for those that ship.
    """

    python: str = ""
    engine: str = AUTO
    networks: str = ""


DEFAULTS = Preferences()
"""Those of a Furrow that Blender has not installed."""


def preferences() -> Preferences:
    """The user's preferences; :data:`DEFAULTS` where Furrow runs without being an installed add-on."""
    assert bpy.context.preferences is not None  # only while Blender starts
    addon = bpy.context.preferences.addons.get(PACKAGE)
    if addon is None or addon.preferences is None:
        return DEFAULTS
    stored: Any = addon.preferences  # .interface.preferences declares what it holds
    networks = bpy.path.abspath(stored.networks) if stored.networks else ""
    return Preferences(stored.python, stored.engine, networks)
