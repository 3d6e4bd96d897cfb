"""The modes of detail, and the way from one to another: the old one off, the new one on.

LIVE: the backend makes the map of the current identity and expression (`live_mode`). BAKED: an image
sequence plays (`baked_mode`). PORTABLE: a basis of maps is mixed by nodes (`portable_mode`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import bpy

from ..head import head_state
from . import baked_mode, live_mode, portable_mode


class Mode(Protocol):
    """What the module of a mode offers."""

    def attach(self, obj: bpy.types.Object) -> None:
        """Put the mode on a head, or bring what is on to the head's settings."""

    def is_attached(self, obj: bpy.types.Object) -> bool:
        """Whether it is on, shown or not."""

    def detach(self, obj: bpy.types.Object) -> None:
        """Take it off; what it needs to come back stays in the file."""

    def state_text(self, obj: bpy.types.Object) -> str:
        """What the panel says about it."""


MODES: dict[str, Mode] = {
    "LIVE": live_mode,
    "PORTABLE": portable_mode,
    "BAKED": baked_mode,
}


def attach(obj: bpy.types.Object) -> None:
    """Bring a head to its settings: another mode than the current one goes off, the current one on."""
    current = MODES[obj.furrow.detail_mode]
    for mode in MODES.values():
        if mode is not current and mode.is_attached(obj):
            mode.detach(obj)
    current.attach(obj)


def switch(obj: bpy.types.Object, name: str) -> None:
    """Choose the mode of a head and attach it, without asking for a map."""
    with head_state.quiet(obj):
        obj.furrow.detail_mode = name
    attach(obj)


def show_sequence(
    obj: bpy.types.Object, folder: str | Path, first: int, count: int, start: int | None = None
) -> None:
    """Play baked maps; the head is BAKED from then on. As :func:`.baked_mode.load_sequence`."""
    baked_mode.load_sequence(obj, folder, first, count, start)
    switch(obj, "BAKED")


def make_portable(obj: bpy.types.Object, basis: dict[str, Any]) -> None:
    """Mix a basis of maps by nodes; the head is PORTABLE from then on.

    Parameters
    ----------
    basis
        The backend's answer to `portable_mode.request`.
    """
    portable_mode.make(obj, basis)
    switch(obj, "PORTABLE")


def own_textures(obj: bpy.types.Object) -> None:
    """Give a copied head its own textures and images."""
    for name in ("live_texture", "baked_texture"):
        texture = getattr(obj.furrow, name)
        if texture is not None:
            copy = texture.copy()
            if texture.image is not None:
                copy.image = texture.image.copy()
            setattr(obj.furrow, name, copy)
    attach(obj)


def state_text(obj: bpy.types.Object) -> str:
    """What the panel says about a head's detail."""
    if not obj.furrow.detail_enabled:
        return "Off"
    return MODES[obj.furrow.detail_mode].state_text(obj)
