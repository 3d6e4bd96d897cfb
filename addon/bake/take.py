"""One head's motion to be baked, from a file or as a scene plays it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...backend.errors import FurrowError
from ...backend.formats.identity import Identity, styles_request
from ...backend.formats.weights import Weights
from ..animation import expression_keys, timeline
from ..detail.live_session import session
from ..head import head_object


@dataclass(frozen=True)
class Take:
    """One head's motion to be baked.

    Attributes
    ----------
    weights
        One row a frame, at the scene's rate.
    first
        Number of the first frame, at least 0; its map is `first` in four digits.
    resolution
        Side of the maps in texels.
    source
        What the motion came from, for the record: kind (speech, weights, scene), name, sha256,
        style and life of speech, object.
    input
        Its path; ranges may be baked where the same file lies elsewhere.
    relief
        Whose pores and other relief, if not the identity's own.
    """

    identity: Identity
    weights: Weights
    first: int
    resolution: int
    source: dict[str, Any] = field(default_factory=dict)
    input: Path | None = None
    relief: Identity | None = None

    @property
    def last(self) -> int:
        """Number of the last frame."""
        return self.first + len(self.weights.values) - 1

    def frames(self, part: tuple[int, int] | None) -> range:
        """The frames of the take, or of a part (first, last) of it; raises FurrowError."""
        first, last = part or (self.first, self.last)
        if first < self.first or last > self.last:
            raise FurrowError(
                f"Frames {first}-{last} lie outside of the motion, which has {self.first}-{self.last}."
            )
        return range(first, last + 1)

    def motion(self, frames: range) -> Weights:
        """The weights of some frames, one after the other."""
        rows = slice(frames.start - self.first, frames.stop - self.first)
        head = None if self.weights.head is None else self.weights.head[rows]
        return Weights(self.weights.values[rows], self.weights.fps, head)

    def parameters(self, frames: Sequence[int]) -> dict[str, Any]:
        """What the backend needs for the maps of frames."""
        rows = [frame - self.first for frame in frames]
        return {
            **styles_request(self.identity, self.relief),
            "expressions": self.weights.values[rows].tolist(),
            "resolution": self.resolution,
        }

    def digest(self, frame: int, models: Any) -> str:
        """Names everything that the map of a frame depends on; weights to five digits."""
        row = np.rint(self.weights.values[frame - self.first].astype(np.float64) * 1e5)
        people = styles_request(self.identity, self.relief)
        text = json.dumps([models, self.resolution, people], sort_keys=True)
        parts = row.astype(np.int32).tobytes() + text.encode()
        return hashlib.blake2b(parts, digest_size=16).hexdigest()

    def record(self) -> dict[str, Any]:
        """What the bake's record says was asked for; equal for all ranges of one bake."""
        people = styles_request(self.identity, self.relief)
        return {
            **self.source,
            "person": self.identity.name,
            "fps": round(self.weights.fps, 6),
            "first": self.first,
            "last": self.last,
            "resolution": self.resolution,
            **people.pop("identity"),
            **people,
        }


def scene_take(obj: bpy.types.Object, scene: bpy.types.Scene, resolution: int) -> Take:
    """The motion of a head as the scene plays it, from frame_start to frame_end, edits included.

    The current frame is put back.

    Raises
    ------
    FurrowError
        If the object is no head, or the scene starts before frame 0.
    """
    if not head_object.is_head(obj):
        raise FurrowError(f'"{obj.name}" is no Furrow head.')
    if scene.frame_start < 0:
        raise FurrowError(
            f"The scene starts at frame {scene.frame_start}; maps are numbered from 0: move its start."
        )
    with session.paused():
        rows = expression_keys.sample(obj, scene, range(scene.frame_start, scene.frame_end + 1))
    weights = Weights(rows, timeline.frame_rate(scene))
    path = Path(bpy.data.filepath) if bpy.data.filepath else None
    source = {"kind": "scene", "name": path.name if path else "", "object": obj.name}
    identity = head_object.identity_of(obj)
    relief = head_object.relief_of(obj)
    return Take(identity, weights, scene.frame_start, resolution, source, path, relief)
