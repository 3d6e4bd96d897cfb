# SPDX-License-Identifier: GPL-3.0-or-later
"""Furrow: detailed faces in Blender, from sliders and from speech.

This folder is both the Blender extension and the Python package ``furrow``.
Nothing here touches bpy until Blender calls :func:`register`.
"""

__version__ = "0.1.0"


def register() -> None:
    """Called by Blender when the extension is enabled."""
    from . import addon

    addon.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    from . import addon

    addon.unregister()
