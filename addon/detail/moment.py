"""A moment of a head: the identity and expression that a map is made of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import bpy

from ...backend.formats.identity import styles_request
from ..head import head_object


@dataclass(frozen=True)
class Moment:
    """What the backend is asked for the exact map of a moment, and a key that names it."""

    key: str
    parameters: dict[str, Any]


def of(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph | None = None) -> Moment:
    """The moment of a head now.

    Parameters
    ----------
    depsgraph
        Where the expression is evaluated; a render has a graph of its own.

    Raises
    ------
    FurrowError
        If the head has a slider that this version does not know.
    """
    parameters = map_request(obj, int(obj.furrow.detail_resolution), depsgraph)
    return Moment(digest(parameters), parameters)


def map_request(
    obj: bpy.types.Object, resolution: int, depsgraph: bpy.types.Depsgraph | None = None
) -> dict[str, Any]:
    """What to ask the backend for the exact map of a head, of `resolution` pixels a side."""
    return {
        **styles_request(head_object.identity_of(obj), head_object.relief_of(obj)),
        "expression": head_object.expression_of(obj, depsgraph).tolist(),
        "resolution": resolution,
    }


def digest(parameters: dict[str, Any]) -> str:
    """A key that names what a request asks for."""
    return hashlib.blake2b(json.dumps(parameters).encode(), digest_size=16).hexdigest()
