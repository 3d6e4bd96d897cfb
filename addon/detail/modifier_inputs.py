"""Inputs of a geometry nodes modifier: the only file that knows how Blender's versions hold them.

Up to 5.1 they are custom properties of the modifier; from 5.2 on, properties of its inputs. Files of
the former open in the latter with their drivers.
"""

from __future__ import annotations

from typing import Any

import bpy

from ..head import settings


def identifiers(group: bpy.types.GeometryNodeTree | None) -> dict[str, str]:
    """The modifier's names of a group's inputs, geometry left out, by the names that people see."""
    if group is None:
        return {}
    sockets = group.interface.items_tree
    return {
        socket.name: socket.identifier
        for socket in sockets
        if socket.in_out == "INPUT" and socket.socket_type != "NodeSocketGeometry"
    }


def get(modifier: bpy.types.NodesModifier, identifier: str) -> Any:
    """The value of an input."""
    owner, name = _place(modifier, identifier)
    return getattr(owner, name) if name == "value" else owner[identifier]


def put(modifier: bpy.types.NodesModifier, identifier: str, value: float) -> None:
    """Write an input, a number or a truth value, if it differs: what is written evaluates the object anew."""
    if not settings.differs(get(modifier, identifier), value):
        return
    owner, name = _place(modifier, identifier)
    if name == "value":
        owner.value = value
    else:
        owner[identifier] = value
        modifier.id_data.update_tag()  # a custom property does not tell


def drive(modifier: bpy.types.NodesModifier, identifier: str) -> bpy.types.Driver:
    """Add a driver to an input."""
    owner, name = _place(modifier, identifier)
    return owner.driver_add(name).driver


def release(modifier: bpy.types.NodesModifier, identifier: str) -> None:
    """Remove the driver of an input, if it has one."""
    owner, name = _place(modifier, identifier)
    owner.driver_remove(name)


def _place(modifier: bpy.types.NodesModifier, identifier: str) -> tuple[Any, str]:
    """Whose property an input is, and its path there."""
    properties = getattr(modifier, "properties", None)
    if properties is None:
        return modifier, f'["{identifier}"]'
    return getattr(properties.inputs, identifier), "value"
