"""Blender's data with the types that we know it has, where its API says less.

An object's data may be of a dozen kinds and a context without a scene: the checker would ask about
each at every use. What Furrow declares on objects and scenes no stub knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import bpy


class HeadProperties(Protocol):
    """What the interface stores with a head (``obj.furrow``); it says there what each one means."""

    id: str
    person: str
    shape: Sequence[Sequence[float]]
    shape_count: int
    head_generation: int
    written: Sequence[Sequence[float]]
    skin: Sequence[float]
    directions: Any
    detail_seed: int
    skin_age: float
    furrow_depth: float
    pore_strength: float
    asymmetry: float
    relief_from: bpy.types.Object | None
    detail_enabled: bool
    detail_mode: str
    detail_strength: float
    detail_resolution: str
    detail_viewport: str
    detail_viewport_levels: int
    detail_render_levels: int
    portable_components: str
    portable_render: str
    live_texture: bpy.types.ImageTexture | None
    baked_texture: bpy.types.ImageTexture | None


def properties(obj: bpy.types.Object) -> HeadProperties:
    """What is stored with an object; an empty id marks one that is no head."""
    return obj.furrow  # type: ignore[attr-defined]  # registered by the interface


def mesh(obj: bpy.types.Object) -> bpy.types.Mesh:
    """The mesh of a mesh object."""
    assert isinstance(obj.data, bpy.types.Mesh)
    return obj.data


def shape_keys(obj: bpy.types.Object) -> bpy.types.Key | None:
    """The shape keys of a mesh object; None for other objects and where there are none."""
    return obj.data.shape_keys if isinstance(obj.data, bpy.types.Mesh) else None


def keys(obj: bpy.types.Object) -> bpy.types.Key:
    """The shape keys of a mesh that has them."""
    blocks = shape_keys(obj)
    assert blocks is not None
    return blocks


def scene(context: bpy.types.Context) -> bpy.types.Scene:
    """The context's scene: only while Blender starts or a file is read there is none."""
    assert context.scene is not None
    return context.scene


def active(context: bpy.types.Context) -> bpy.types.Object:
    """The active object, where a poll has seen to it that there is one."""
    assert context.object is not None
    return context.object


class Drawn(Protocol):
    """A panel, menu, operator or preferences page."""

    @property
    def layout(self) -> bpy.types.UILayout | None:
        """Where it is drawn; None at other times."""


def layout(owner: Drawn) -> bpy.types.UILayout:
    """The layout of something that is being drawn."""
    assert owner.layout is not None
    return owner.layout


def manager(context: bpy.types.Context) -> bpy.types.WindowManager:
    """The window manager: only while Blender starts there is none."""
    assert context.window_manager is not None
    return context.window_manager
