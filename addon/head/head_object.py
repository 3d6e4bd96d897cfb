"""The head as a Blender object: one mesh, its shape keys, and the identity they express."""

from __future__ import annotations

import functools
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import TypeGuard

import bpy
import numpy as np

from ...backend.errors import FurrowError
from ...backend.formats.expressions import EXPRESSIONS
from ...backend.formats.identity import ADJUSTMENTS, SHAPE_LIMIT, Identity, check
from ...backend.head.bilinear import Head
from . import correctives, head_state, materials

OUR_KEYS = (*EXPRESSIONS, *correctives.KEYS)
"""Keys that we write beside the Basis: the 52 expressions, then correctives."""
UV_MAP = "UVMap"
SKIN_GROUP = "skin"

SCULPT_THRESHOLD = 1e-6
"""Metres; a smaller difference from what we wrote is rounding and no work of the artist."""

_positions: OrderedDict[bytes, np.ndarray] = OrderedDict()


@functools.cache
def head() -> Head:
    """The head model, loaded once."""
    return Head.load()


def is_head(obj: bpy.types.Object | None) -> TypeGuard[bpy.types.Object]:
    """Whether the object is a Furrow head."""
    return obj is not None and obj.type == "MESH" and bool(obj.furrow.id)


def heads(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The heads of a scene, by name."""
    return sorted((o for o in scene.objects if is_head(o)), key=lambda o: o.name)


def by_id(head_id: str) -> bpy.types.Object | None:
    """The head with this id, or None; of linked duplicates, any."""
    return next((o for o in bpy.data.objects if is_head(o) and o.furrow.id == head_id), None)


def create_head(
    identity: Identity | None = None,
    name: str = "Head",
    collection: bpy.types.Collection | None = None,
) -> bpy.types.Object:
    """Make a head: mesh, UV map, groups, materials, Basis and 52 shape keys.

    Parameters
    ----------
    identity
        The average person if None.
    collection
        Where to link the object; the active collection if None.

    Raises
    ------
    FurrowError
        If the identity was made for another head model.
    """
    model = head()
    identity = check(identity or model.average(), model.shape_count)
    obj = bpy.data.objects.new(name, _build_mesh(model, identity, name))
    (collection or bpy.context.collection).objects.link(obj)
    _add_groups(obj, model)
    state = obj.furrow
    state.id = uuid.uuid4().hex
    state.shape_count = model.shape_count
    state.head_generation = model.generation
    with head_state.quiet(obj):
        for direction in model.directions:
            slider = state.directions.add()
            slider.name, slider.group = direction.name, direction.group
    _store(obj, identity)
    _set_rows(state, "written", identity.shape)
    positions = positions_of(identity.shape)
    obj.shape_key_add(name="Basis", from_mix=False)
    for position, expression in zip(positions[1:], OUR_KEYS, strict=True):
        key = obj.shape_key_add(name=expression, from_mix=False)
        key.points.foreach_set("co", position.ravel())
        key.value = 0.0  # Blender 5 starts new keys at 1
    correctives.add_drivers(obj.data.shape_keys)
    materials.assign(obj)
    return obj


def _build_mesh(model: Head, identity: Identity, name: str) -> bpy.types.Mesh:
    mesh = bpy.data.meshes.new(name)
    for _slot in model.materials:  # materials.assign fills them
        mesh.materials.append(None)
    corners = model.faces >= 0
    counts = corners.sum(1)
    neutral = np.ascontiguousarray(positions_of(identity.shape)[0])
    mesh.vertices.add(len(neutral))
    mesh.loops.add(int(counts.sum()))
    mesh.polygons.add(len(counts))
    mesh.vertices.foreach_set("co", neutral.ravel())
    mesh.loops.foreach_set("vertex_index", model.faces[corners].astype(np.int32))
    mesh.polygons.foreach_set("loop_start", (np.cumsum(counts) - counts).astype(np.int32))
    mesh.polygons.foreach_set("material_index", model.face_material.astype(np.int32))
    mesh.update(calc_edges=True)
    uv = mesh.uv_layers.new(name=UV_MAP)
    uv.data.foreach_set("uv", np.ascontiguousarray(model.uv[corners], np.float32).ravel())
    mesh.polygons.foreach_set("use_smooth", np.ones(len(counts), bool))
    mesh.update()
    return mesh


def _add_groups(obj: bpy.types.Object, model: Head) -> None:
    """Vertex groups, in steps of 1/255: one call per weight is fast where one per vertex is not."""
    for name, weights in model.groups.items():
        group = obj.vertex_groups.new(name=name)
        steps = np.rint(np.asarray(weights) * 255).astype(int)
        for step in np.unique(steps[steps > 0]):
            group.add(np.flatnonzero(steps == step).tolist(), step / 255, "REPLACE")


def identity_of(obj: bpy.types.Object) -> Identity:
    """The identity that the sliders say: the stored vector plus direction times value, in limits."""
    state = obj.furrow
    shape = _rows(state, "shape")
    vector = np.concatenate([shape, np.array(state.skin, np.float32)])
    for slider in state.directions:
        if slider.value:
            vector += slider.value * _direction(slider.name)
    count = state.shape_count
    return Identity(
        shape=np.clip(vector[:count], -SHAPE_LIMIT, SHAPE_LIMIT).astype(np.float32),
        skin=np.clip(vector[count:], 0.0, 1.0).astype(np.float32),
        detail_seed=state.detail_seed,
        name=state.person,
        adjustments=np.array([getattr(state, name) for name in ADJUSTMENTS], np.float32),
        generation=state.head_generation,
    )


def relief_of(obj: bpy.types.Object) -> Identity | None:
    """Whose pores and other relief a head takes, if another head's."""
    other = obj.furrow.relief_from
    return identity_of(other) if is_head(other) else None


def _direction(name: str) -> np.ndarray:
    for direction in head().directions:
        if direction.name == name:
            return direction.vector
    raise FurrowError(f'This version of Furrow knows no identity slider "{name}".')


def apply_identity(obj: bpy.types.Object, identity: Identity) -> None:
    """Make the head this person; the sliders on top of the identity return to 0.

    Rewrites the Basis and our 52 keys. The artist's own keys and sculpted offsets stay: what
    differs from the vertices that we wrote last is carried over to the new ones.

    Raises
    ------
    FurrowError
        For another number of coefficients, a changed topology, or a mode that owns the mesh.
    """
    identity = head().current(check(identity, head().shape_count))
    _check_writable(obj)
    _write_shape(obj, identity.shape)
    _store(obj, identity)
    head_state.of(obj).identity_problem = ""
    share_identity(obj)


def sliders_moved(obj: bpy.types.Object) -> None:
    """Bring the mesh to what the sliders say; a failure becomes the head's message."""
    if not is_head(obj) or head_state.of(obj).quiet:
        return
    state = head_state.of(obj)
    try:
        shape = identity_of(obj).shape
        if not np.array_equal(shape, _rows(obj.furrow, "written")):
            _check_writable(obj)
            _write_shape(obj, shape)
    except FurrowError as error:
        state.identity_problem = str(error)
    else:
        state.identity_problem = ""
    share_identity(obj)


def share_identity(obj: bpy.types.Object) -> None:
    """Copy the identity to the objects that share the mesh (Alt-D), so that their sliders agree."""
    if obj.data.users < 2 or head_state.of(obj).quiet:
        return
    source = obj.furrow
    for other in bpy.data.objects:
        if other == obj or other.data != obj.data or not is_head(other):
            continue
        target = other.furrow
        with head_state.quiet(other):
            for name in ("shape", "written", "skin", "detail_seed", "person", "relief_from"):
                setattr(target, name, getattr(source, name))
            for name in ADJUSTMENTS:
                setattr(target, name, getattr(source, name))
            for mine, theirs in zip(source.directions, target.directions, strict=True):
                theirs.value = mine.value


def separate_copies() -> list[bpy.types.Object]:
    """Give an id of its own to every head that was copied with its mesh (Shift-D, append).

    Returns
    -------
    list
        The heads that got a new id, the younger ones of each pair.
    """
    meshes: dict[str, bpy.types.Mesh] = {}
    copies: list[bpy.types.Object] = []
    for obj in sorted(all_heads(), key=lambda o: o.session_uid):
        if meshes.setdefault(obj.furrow.id, obj.data) == obj.data:
            continue
        same_mesh = [o for o in copies if o.data == obj.data]
        obj.furrow.id = same_mesh[0].furrow.id if same_mesh else uuid.uuid4().hex
        copies.append(obj)
    return copies


_names: tuple[str, ...] = ()
_object_count = -1


def all_heads() -> list[bpy.types.Object]:
    """The editable heads of the file; cheap enough for a handler that runs on every change."""
    global _names, _object_count
    heads = [bpy.data.objects.get(name) for name in _names]
    if _object_count != len(bpy.data.objects) or not all(is_head(o) for o in heads):
        heads = [o for o in bpy.data.objects if is_head(o) and o.library is None]
        _names = tuple(o.name for o in heads)
        _object_count = len(bpy.data.objects)
    return heads


def forget() -> None:
    """Forget what was cached about the open file."""
    global _object_count
    _object_count = -1


def expression_of(
    obj: bpy.types.Object,
    depsgraph: bpy.types.Depsgraph | None = None,
    names: Mapping[str, str] | None = None,
) -> np.ndarray:
    """The current weights of the 52 expressions, float32 (52,), clipped to [0, 1].

    Parameters
    ----------
    depsgraph
        Reads the evaluated values there; a render evaluates in a graph of its own.
    names
        The shape keys' names by expression, for a mesh that spells them otherwise.
    """
    weights = np.zeros(len(EXPRESSIONS), np.float32)
    keys = obj.data.shape_keys
    if keys is None:
        return weights
    if depsgraph is not None:
        keys = keys.evaluated_get(depsgraph)
    pinned = obj.active_shape_key.name if obj.show_only_shape_key else None
    blocks = keys.key_blocks
    for i, expression in enumerate(EXPRESSIONS):
        name = expression if names is None else names.get(expression, "")
        block = blocks.get(name)
        if pinned is not None:
            weights[i] = name == pinned
        elif block is not None and not block.mute:
            weights[i] = block.value
    return np.clip(weights, 0.0, 1.0)


def set_expression(obj: bpy.types.Object, weights: Mapping[str, float]) -> None:
    """Set the 52 shape keys by name; absent names become 0."""
    blocks = obj.data.shape_keys.key_blocks
    for name in EXPRESSIONS:
        block = blocks.get(name)
        if block is not None:
            block.value = weights.get(name, 0.0)


def positions_of(shape: np.ndarray) -> np.ndarray:
    """Absolute vertices of the neutral face and of :data:`OUR_KEYS`: float32 (n, V, 3), metres."""
    key = shape.astype(np.float32).tobytes()
    if key not in _positions:
        model = head()
        neutral, offsets, extra = model.rig(shape)
        positions = np.empty((1 + len(offsets) + len(extra), *neutral.shape), np.float32)
        positions[:] = neutral
        positions[1 : 1 + len(offsets)] += offsets
        for position, one in zip(positions[1 + len(offsets) :], extra, strict=True):
            position[one.moved] += one.offsets
        _positions[key] = positions
        while len(_positions) > 4:  # some 10 MB each: this head's old and new, and another's
            _positions.popitem(last=False)
    _positions.move_to_end(key)
    return _positions[key]


def _check_writable(obj: bpy.types.Object) -> None:
    model = head()
    if (obj.furrow.shape_count, obj.furrow.head_generation) != (
        model.shape_count,
        model.generation,
    ):
        raise FurrowError(
            f'"{obj.name}" was made with another head model and keeps its shape; add a new head.'
        )
    if obj.mode in {"EDIT", "SCULPT"}:
        raise FurrowError(f'Leave {obj.mode.title()} Mode to change the identity of "{obj.name}".')
    if obj.data.library is not None:
        raise FurrowError(f'"{obj.name}" is linked from another file; change it there.')
    if obj.data.shape_keys is None:
        raise FurrowError(f'"{obj.name}" has lost its shape keys; undo, or add a new head.')
    if len(obj.data.vertices) != len(positions_of(_rows(obj.furrow, "written"))[0]):
        raise FurrowError(
            f'Vertices of "{obj.name}" were added or removed, so its identity is fixed now; '
            "undo, or add a new head."
        )


def _write_shape(obj: bpy.types.Object, shape: np.ndarray) -> None:
    """Rewrite Basis and our keys; keep offsets that are not ours, move foreign keys along."""
    keys = obj.data.shape_keys
    old, new = positions_of(_rows(obj.furrow, "written")), positions_of(shape)
    ours = {keys.reference_key.name: 0}
    names = enumerate(OUR_KEYS, 1)
    ours |= {name: i for i, name in names if name in keys.key_blocks}
    current = np.empty(old[0].shape, np.float32)
    for block in keys.key_blocks:
        block.points.foreach_get("co", current.ravel())
        index = ours.get(block.name)
        if index is None:
            relative = ours.get(block.relative_key.name, 0)
            positions = current + (new[relative] - old[relative])
        else:
            offsets = current - old[index]
            positions = new[index]
            if np.abs(offsets).max() > SCULPT_THRESHOLD:
                offsets[np.abs(offsets).max(1) <= SCULPT_THRESHOLD] = 0.0
                positions = positions + offsets
        block.points.foreach_set("co", positions.ravel())
        if index == 0:
            obj.data.attributes["position"].data.foreach_set("vector", positions.ravel())
    _set_rows(obj.furrow, "written", shape)
    obj.data.update()
    keys.update_tag()


def _store(obj: bpy.types.Object, identity: Identity) -> None:
    state = obj.furrow
    with head_state.quiet(obj):
        _set_rows(state, "shape", identity.shape)
        state.skin = identity.skin.tolist()
        state.detail_seed = identity.detail_seed
        state.person = identity.name
        for name, value in zip(ADJUSTMENTS, identity.adjustments.tolist(), strict=True):
            setattr(state, name, value)
        for slider in state.directions:
            slider.value = 0.0


def _rows(state: bpy.types.PropertyGroup, name: str) -> np.ndarray:
    return np.array(getattr(state, name), np.float32).ravel()[: state.shape_count]


def _set_rows(state: bpy.types.PropertyGroup, name: str, values: np.ndarray) -> None:
    rows = np.zeros(np.shape(getattr(state, name)), np.float32)
    if len(values) > rows.size:
        raise FurrowError(
            f"A head of {len(values)} shape coefficients does not fit; {rows.size} do."
        )
    rows.ravel()[: len(values)] = values
    setattr(state, name, rows.tolist())
