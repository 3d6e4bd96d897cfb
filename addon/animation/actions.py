"""Curves as an Action or an NLA strip: the only file that knows the versions of the Action API.

Blender 4.4 gave Actions layers and slots, Blender 5.0 took the flat list of curves away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import bpy
import numpy as np

from ...backend.errors import FurrowError

Curves = Mapping[tuple[str, int], tuple[np.ndarray, np.ndarray]]
"""Frames (n,) and values (n,) of each curve, by data path and array index."""

Owner: TypeAlias = bpy.types.Object | bpy.types.Key
"""What is animated."""

SOURCE, START = "furrow_source", "furrow_start"
"""Custom properties of an imported Action: the file it came from, and the frame it starts at."""

_LINEAR = 1  # position of LINEAR in the enumeration of keyframe interpolations


@dataclass(frozen=True)
class Clip:
    """A piece of motion on the timeline.

    Attributes
    ----------
    start, end
        Its first and its last frame.
    source
        The file it came from. A clip of the same file at the same place replaces the earlier one;
        an empty text replaces nothing.
    as_strip
        An NLA strip, beside others; else the Action that plays.
    notes
        Further custom properties for the Action.
    """

    name: str
    start: float
    end: float
    source: str = ""
    as_strip: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)


def add_clip(owner: Owner, curves: Curves, clip: Clip) -> bpy.types.Action:
    """Let `curves` play on `owner` as a clip; what else plays there is kept.

    As an Action: one that played before stays in the file, and its curves of other properties play
    on in the new one. As a strip: an Action that plays the same properties becomes a strip below,
    as by Push Down, or it would hide the new one.

    Raises
    ------
    FurrowError
        If the owner's animation is in tweak mode, or the strip to replace lies on a locked track.
    """
    animation = owner.animation_data_create()
    if animation.use_tweak_mode:
        raise FurrowError(
            f'A strip of "{owner.name}" is being tweaked: leave tweak mode in the NLA editor (Tab).'
        )
    action = (_strip if clip.as_strip else _action)(owner, animation, curves, clip)
    for name in (SOURCE, START):
        action.pop(name, None)  # a copy brings those of its original
    if clip.source:
        action[SOURCE], action[START] = clip.source, float(clip.start)
    for name, value in clip.notes.items():
        action[name] = value
    # Blender makes a new Action's curves play from the next evaluation only after a tag.
    owner.update_tag()
    return action


def note(owner: Owner, name: str) -> Any:
    """The custom property `name` of the Action that plays on `owner` or of one of its strips, or None."""
    animation = owner.animation_data
    if animation is None:
        return None
    strips = [strip for track in animation.nla_tracks for strip in track.strips]
    playing = [animation.action, *(strip.action for strip in reversed(strips))]
    notes = (action.get(name) for action in playing if action is not None)
    return next((value for value in notes if value is not None), None)


def animates(owner: Owner, paths: Iterable[str]) -> bool:
    """Whether a curve, strip or driver of `owner` moves one of these data paths."""
    animation = owner.animation_data
    if animation is None:
        return False
    paths = set(paths)
    pairs = [(animation.action, _handle(animation))]
    pairs += [(s.action, _handle(s)) for track in animation.nla_tracks for s in track.strips]
    curves = [c for action, handle in pairs if action for c in _curves(action, handle)]
    return any(curve.data_path in paths for curve in [*curves, *animation.drivers])


def _action(
    owner: Owner, animation: bpy.types.AnimData, curves: Curves, clip: Clip
) -> bpy.types.Action:
    """The Action that plays: this clip's own, or a copy of the one that played, or a new one."""
    previous, handle = animation.action, _handle(animation)
    if previous is None:
        action = bpy.data.actions.new(clip.name)
    elif _is_of(previous, clip, previous.get(START)) and _is_free(previous, handle, curves):
        action = previous
    else:
        if previous.is_editable:
            previous.use_fake_user = True  # an artist's keys are never lost with the next save
        action = previous.copy()
        action.use_fake_user = False
        action.name = clip.name
    animation.action = action
    slot = _write(action, owner, handle, curves)
    if slot is not None:
        animation.action_slot = slot
    return action


def _strip(
    owner: Owner, animation: bpy.types.AnimData, curves: Curves, clip: Clip
) -> bpy.types.Action:
    """The Action of a strip: of the one that this clip has already, or of a new one."""
    _push_down(animation, curves)
    earlier = _strip_of(animation, clip)
    action, handle = None, 0
    if earlier is not None:
        track, strip = earlier
        if track.lock or _is_foreign(track):
            raise FurrowError(
                f'"{clip.name}" lies on the NLA track "{track.name}", which is locked: '
                "unlock it, or choose another start frame."
            )
        if strip.action is not None and _is_free(strip.action, _handle(strip), curves):
            action, handle = strip.action, _handle(strip)
            if strip.frame_end == _end(clip):
                _write(action, owner, handle, curves)
                return action
        track.strips.remove(strip)
        if not track.strips:
            animation.nla_tracks.remove(track)
    if action is None:
        action = bpy.data.actions.new(clip.name)
    slot = _write(action, owner, handle, curves)
    _place(animation, action, slot, clip.name, clip.start, _end(clip), set(curves))
    return action


def _strip_of(
    animation: bpy.types.AnimData, clip: Clip
) -> tuple[bpy.types.NlaTrack, bpy.types.NlaStrip] | None:
    """The track and the strip that hold this clip already, or None."""
    for track in animation.nla_tracks:
        for strip in track.strips:
            if strip.action is not None and _is_of(strip.action, clip, strip.frame_start):
                return track, strip
    return None


def _end(clip: Clip) -> float:
    return max(clip.end, clip.start + 1.0)  # no strip is shorter than a frame


def _push_down(animation: bpy.types.AnimData, curves: Curves) -> None:
    """Make the Action that plays a strip, if it moves what `curves` move."""
    action, handle = animation.action, _handle(animation)
    if action is None or not _moves(action, handle, set(curves)):
        return
    slot = animation.action_slot if hasattr(animation, "action_slot") else None
    start, end = action.frame_range.x, action.frame_range.y
    animation.action = None
    own = {(curve.data_path, curve.array_index) for curve in _curves(action, handle)}
    _place(animation, action, slot, action.name, start, max(end, start + 1.0), own)


def _place(
    animation: bpy.types.AnimData,
    action: bpy.types.Action,
    slot: bpy.types.ActionSlot | None,
    name: str,
    start: float,
    end: float,
    paths: set[tuple[str, int]],
) -> None:
    """Put a strip on the topmost track of imported clips if it has room there, else on a new track.

    The lowest strips hold their ends: where no strip plays, Blender falls back to a property's
    default, which for a shape key of Blender 5 is 1. Those above leave the frames around them to
    what lies below.
    """
    tracks = animation.nla_tracks
    used = [t for t in tracks if any(_moves(s.action, _handle(s), paths) for s in t.strips)]
    track = used[-1] if used else None
    if track is None or not _has_room(track, start, end):
        track = tracks.new()
        track.name = "Furrow"
    strip = track.strips.new(name, round(start), action)
    if slot is not None:
        strip.action_slot = slot
    strip.action_frame_start, strip.action_frame_end = start, end
    strip.frame_start, strip.frame_end = start, end
    strip.extrapolation = "NOTHING" if used and track != used[0] else "HOLD"


def _has_room(track: bpy.types.NlaTrack, start: float, end: float) -> bool:
    """Whether a track of imported clips only, open to changes, is free from `start` to `end`."""
    if track.lock or track.mute or _is_foreign(track):
        return False
    imported = all(s.action is not None and s.action.get(SOURCE) is not None for s in track.strips)
    return imported and all(s.frame_end <= start or s.frame_start >= end for s in track.strips)


def _is_foreign(track: bpy.types.NlaTrack) -> bool:
    """Whether a library override has the track from its library."""
    return bool(getattr(track, "is_override_data", False))


def _is_of(action: bpy.types.Action, clip: Clip, start: float | None) -> bool:
    """Whether an Action that lies at `start` holds this clip already."""
    same = bool(clip.source) and action.get(SOURCE) == clip.source
    return same and start is not None and abs(start - clip.start) < 0.5


def _is_free(action: bpy.types.Action, handle: int, curves: Curves) -> bool:
    """Whether these curves may be rewritten: nobody else plays the Action, and none is locked."""
    if not action.is_editable or action.users - action.use_fake_user > 1:
        return False
    return not any(
        curve.lock or (curve.group is not None and curve.group.lock)
        for curve in _curves(action, handle)
        if (curve.data_path, curve.array_index) in curves
    )


def _moves(action: bpy.types.Action | None, handle: int, paths: set[tuple[str, int]]) -> bool:
    return action is not None and any(
        (curve.data_path, curve.array_index) in paths for curve in _curves(action, handle)
    )


def _handle(user: bpy.types.AnimData | bpy.types.NlaStrip) -> int:
    """Which slot of its Action an owner or a strip plays; 0 where there is none."""
    return int(getattr(user, "action_slot_handle", 0))


def _curves(action: bpy.types.Action, handle: int) -> Iterator[bpy.types.FCurve]:
    """The curves of one slot."""
    if not hasattr(action, "slots"):
        yield from action.fcurves
        return
    for layer in action.layers:
        for strip in layer.strips:
            if isinstance(strip, bpy.types.ActionKeyframeStrip):
                bags = (bag for bag in strip.channelbags if bag.slot_handle == handle)
                yield from (curve for bag in bags for curve in bag.fcurves)


def _write(
    action: bpy.types.Action, owner: Owner, handle: int, curves: Curves
) -> bpy.types.ActionSlot | None:
    """Write all keys of the curves, in the place of those that are there.

    Returns
    -------
    The slot; None before Blender 4.4.
    """
    slot: bpy.types.ActionSlot | None = None
    collection: bpy.types.ActionFCurves | bpy.types.ActionChannelbagFCurves
    if hasattr(action, "slots"):
        slot = next((s for s in action.slots if s.handle == handle), None)
        if slot is None:
            slot = action.slots.new(owner.id_type, owner.name)
        layer = action.layers[0] if action.layers else action.layers.new("Layer")
        strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
        assert isinstance(strip, bpy.types.ActionKeyframeStrip)
        collection = strip.channelbag(slot, ensure=True).fcurves
    else:
        collection = action.fcurves
    for curve in [c for c in collection if (c.data_path, c.array_index) in curves]:
        collection.remove(curve)
    for (path, index), (frames, values) in curves.items():
        _fill(collection.new(path, index=index), frames, values)
    return slot


def _fill(curve: bpy.types.FCurve, frames: np.ndarray, values: np.ndarray) -> None:
    """Write all keys of one curve; key by key takes a hundred times longer."""
    points = curve.keyframe_points
    points.add(len(frames))
    points.foreach_set("co", np.stack([frames, values], axis=1).astype(np.float32).ravel())
    points.foreach_set("interpolation", np.full(len(frames), _LINEAR, np.int32))
    curve.update()
