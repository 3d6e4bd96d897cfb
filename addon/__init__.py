"""The only room that touches bpy: panels, operators, head objects, animation, bake."""

import atexit


def register() -> None:
    """Register everything with Blender, in the order of what needs what."""
    for module in _modules():
        module.register()
    # The bpy module ends well only where nothing holds it any more, and classes that are registered,
    # handlers and timers do; a script need not think of it.
    atexit.register(unregister)


def unregister() -> None:
    """Take everything back in reverse; stops the backend, leaves no handler and no timer."""
    atexit.unregister(unregister)
    for module in reversed(_modules()):
        module.unregister()


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
