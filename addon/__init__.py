"""The only room that touches bpy: panels, operators, head objects, animation, bake."""

import atexit
import sys


def register() -> None:
    """Register everything with Blender, in the order of what needs what."""
    for module in _modules():
        module.register()
    atexit.register(_end)


def unregister() -> None:
    """Take everything back in reverse; stops the backend, leaves no handler and no timer."""
    atexit.unregister(_end)
    for module in reversed(_modules()):
        module.unregister()


def _end() -> None:
    """Let go of the bpy module at the end of a script, which need not think of it.

    The module shuts Blender down when its last reference goes, and the process crashes or hangs where
    one stays. Classes that are registered, handlers and timers hold one; and Blender 4.2 keeps the
    update functions of properties for ever, and with each the globals of its module.
    """
    unregister()
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{__package__}."):
            vars(module).pop("bpy", None)


def _modules() -> tuple:
    # Imported here: the package `furrow` also serves programs without bpy.
    from . import handlers
    from .bake import command
    from .interface import (
        backend_operators,
        detail_operators,
        engine_operators,
        head_operators,
        installation,
        motion_operators,
        panels,
        preferences,
        properties,
        scene_settings,
    )

    return (
        preferences,
        properties,
        scene_settings,
        head_operators,
        detail_operators,
        motion_operators,
        backend_operators,
        engine_operators,
        installation,
        panels,
        handlers,
        command,
    )
