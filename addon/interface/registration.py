"""Classes and property groups registered with Blender, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import bpy

ATTRIBUTE = "furrow"


def of_classes(classes: Sequence[type]) -> tuple[Callable[[], None], Callable[[], None]]:
    """The functions register() and unregister() of a module that has nothing but classes.

    As ``bpy.utils.register_classes_factory``, of which the stubs do not know what it returns.
    """

    def register() -> None:
        for cls in classes:
            bpy.utils.register_class(cls)

    def unregister() -> None:
        for cls in reversed(classes):
            bpy.utils.unregister_class(cls)

    return register, unregister


def attach(owner: type, group: type) -> None:
    """Let all data of a kind have a property group of ours, as ``.furrow``."""
    pointer: Any = bpy.props.PointerProperty  # returns what the stubs call nothing
    setattr(owner, ATTRIBUTE, pointer(type=group))


def detach(owner: type) -> None:
    """Take the property group away."""
    delattr(owner, ATTRIBUTE)
