"""The name of the package that Blender knows this extension by."""

from __future__ import annotations

PACKAGE = str(__package__).removesuffix(".addon")
"""bl_ext.<repo>.furrow in Blender, furrow in an environment."""
