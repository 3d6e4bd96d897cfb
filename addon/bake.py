"""Displacement maps of an animation, frame by frame, resumable and spread over a farm's tasks.

Each call writes ``detail/0001.exr``, ... and a record: ``bake.json``, or ``bake_0001-0120.json`` for
a range, so that tasks of a farm never write the same file. A record says what was asked and, by
frame, what the map was made from and the hash of its file. A frame is made again unless a record and
its file agree with what is asked now: killing a bake loses one frame, editing a curve costs the
frames that it moves.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from .. import __version__
from ..backend.errors import FurrowError
from ..backend.files import write_whole
from ..backend.identity import Identity, from_request, styles_request
from ..backend.weights import Weights, read_weights, write_weights
from . import animation, detail, head_object

FORMAT = "furrow.bake/1"
MAPS = "detail"
WEIGHTS = "weights.csv"
RECORD = "bake.json"

_AHEAD = 2  # requests under way, so that the backend never waits for us
_TRIES = 3  # per frame, if the backend dies
_RECORD_SECONDS = 2.0
_TICK_SECONDS = 0.2

Progress = Callable[[float, str], None]


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

    def parameters(self, frame: int) -> dict[str, Any]:
        """What the backend needs for the map of a frame."""
        return {
            **styles_request(self.identity, self.relief),
            "expression": self.weights.values[frame - self.first].tolist(),
            "resolution": self.resolution,
        }

    def asked(self) -> dict[str, Any]:
        """What the record says of the request; equal for all ranges of one bake."""
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


def take_of(obj: bpy.types.Object, scene: bpy.types.Scene, resolution: int) -> Take:
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
    with detail.paused():
        rows = animation.sample(obj, scene, range(scene.frame_start, scene.frame_end + 1))
    weights = Weights(rows, animation.frame_rate(scene))
    path = Path(bpy.data.filepath) if bpy.data.filepath else None
    source = {"kind": "scene", "name": path.name if path else "", "object": obj.name}
    identity = head_object.identity_of(obj)
    relief = head_object.relief_of(obj)
    return Take(identity, weights, scene.frame_start, resolution, source, path, relief)


def bake_maps(
    take: Take,
    folder: str | Path,
    client: Any,
    part: tuple[int, int] | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[int]:
    """Write weights, maps and record of a take, or of its frames `part`; touches no Blender data.

    Runs in a thread as well as in Blender's own. What an earlier call left and still holds is kept.

    Returns
    -------
    The frames that had to be made.

    Raises
    ------
    FurrowError
        If the folder cannot be written, a map cannot be made, the backend dies again and again, or
        it is cancelled; what is done stays, and the next call goes on from there.
    """
    folder = Path(folder)
    frames = take.frames(part)
    name = _range_name(part)
    models = client.call("status", {}, timeout=300.0)["models"]
    wanted = {frame: _digest(take, frame, models) for frame in frames}
    done = _valid(folder, wanted)
    record = {
        "format": FORMAT,
        "furrow": __version__,
        "asked": take.asked(),
        "models": models,
        "input": str(take.input.resolve()) if take.input else None,
        "frames": done,
    }
    path = folder / f"bake{name}.json"
    part_of = slice(frames.start - take.first, frames.stop - take.first)
    head = None if take.weights.head is None else take.weights.head[part_of]
    rows = Weights(take.weights.values[part_of], take.weights.fps, head)
    _write_record(path, record)  # says at once if the folder cannot be written
    write_weights(folder / f"weights{name}.csv", rows)
    todo = [frame for frame in frames if str(frame) not in done]
    written = time.monotonic()
    try:
        for frame, file in _made(take, todo, folder, client, cancelled):
            done[str(frame)] = {"asked": wanted[frame], "sha256": _sha256(file)}
            if time.monotonic() - written > _RECORD_SECONDS:
                _write_record(path, record)
                written = time.monotonic()
            if progress is not None:
                progress(len(done) / len(frames), f"Map {len(done)} of {len(frames)}")
    finally:
        _write_record(path, record)
    return todo


def _made(
    take: Take,
    frames: list[int],
    folder: Path,
    client: Any,
    cancelled: Callable[[], bool] | None,
) -> Iterable[tuple[int, Path]]:
    """Yield frames and their files as the backend finishes them."""
    waiting = deque(frames)
    tries = dict.fromkeys(frames, 0)
    under_way: deque[tuple[int, Any]] = deque()
    try:
        while waiting or under_way:
            while waiting and len(under_way) < _AHEAD:
                frame = waiting.popleft()
                tries[frame] += 1
                params = {**take.parameters(frame), "path": str(map_path(folder, frame).resolve())}
                under_way.append((frame, client.request("write_map", params)))
            frame, pending = under_way[0]
            while not pending.wait(_TICK_SECONDS):
                if cancelled is not None and cancelled():
                    raise FurrowError("Cancelled.", "cancelled")
            under_way.popleft()
            try:
                pending.result()
            except FurrowError as error:
                if error.code != "backend_died" or tries[frame] >= _TRIES:
                    raise
                waiting.appendleft(frame)  # the client has started the next process
            else:
                yield frame, map_path(folder, frame)
    finally:
        for _frame, pending in under_way:
            pending.cancel()


def map_path(folder: Path, frame: int) -> Path:
    """Where the map of a frame lies."""
    return folder / MAPS / f"{frame:04d}.exr"


def _range_name(part: tuple[int, int] | None) -> str:
    return "" if part is None else f"_{part[0]:04d}-{part[1]:04d}"


def _digest(take: Take, frame: int, models: Any) -> str:
    """Names everything that the map of a frame depends on; weights to five digits."""
    row = np.rint(take.weights.values[frame - take.first].astype(np.float64) * 1e5)
    people = styles_request(take.identity, take.relief)
    text = json.dumps([models, take.resolution, people], sort_keys=True)
    parts = row.astype(np.int32).tobytes() + text.encode()
    return hashlib.blake2b(parts, digest_size=16).hexdigest()


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise FurrowError(f"{path} cannot be read: {error.strerror}.", "missing_file") from None


def _write_record(path: Path, record: dict[str, Any]) -> None:
    frames = {k: record["frames"][k] for k in sorted(record["frames"], key=int)}
    write_whole(path, json.dumps({**record, "frames": frames}, indent=1).encode())


def records(folder: str | Path) -> dict[str, dict[str, Any]]:
    """The records in a folder by file name; one that is no record of a bake is an error."""
    found = {}
    for path in sorted(Path(folder).glob("bake*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FurrowError(
                f"{path} cannot be read ({error}); remove it and bake again."
            ) from None
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise FurrowError(f"{path} is no record of a bake; remove it and bake again.")
        found[path.name] = record
    return found


def _valid(folder: Path, wanted: dict[int, str]) -> dict[str, dict[str, str]]:
    """Frames whose file a record vouches for, made from exactly what is wanted."""
    valid = {}
    for record in records(folder).values():
        for number, entry in record["frames"].items():
            frame = int(number)
            if wanted.get(frame) != entry["asked"] or number in valid:
                continue
            path = map_path(folder, frame)
            if path.is_file() and _sha256(path) == entry["sha256"]:
                valid[number] = entry
    return valid


def join(folder: str | Path) -> Take:
    """Check that ranges baked apart make one whole, write ``bake.json`` and ``weights.csv``.

    Returns
    -------
    The take that the ranges are parts of.

    Raises
    ------
    FurrowError
        If there is no record, ranges belong to different bakes, or frames are missing or damaged.
    """
    folder = Path(folder)
    found = records(folder)
    found.pop(RECORD, None)
    if not found:
        raise FurrowError(
            f"{folder} holds no ranges of a bake (bake_0001-0120.json).", "missing_file"
        )
    first_name, first = next(iter(found.items()))
    frames: dict[str, Any] = {}
    rows: dict[int, np.ndarray] = {}
    turns: dict[int, np.ndarray] = {}
    asked = first["asked"]
    for name, record in found.items():
        if (record["asked"], record["models"]) != (asked, first["models"]):
            raise FurrowError(
                f"{name} and {first_name} are parts of different bakes; remove the one that is out of date."
            )
        for number, entry in record["frames"].items():
            path = map_path(folder, int(number))
            if path.is_file() and _sha256(path) == entry["sha256"]:
                frames[number] = entry
        weights = read_weights(folder / name.replace("bake", "weights").replace(".json", ".csv"))
        start = int(name.split("_")[1].split("-")[0])
        rows |= {start + i: row for i, row in enumerate(weights.values)}
        if weights.head is not None:
            turns |= {start + i: row for i, row in enumerate(weights.head)}
    every = range(asked["first"], asked["last"] + 1)
    missing = [frame for frame in every if str(frame) not in frames or frame not in rows]
    if missing:
        raise FurrowError(
            f"{_ranges(missing)} of {folder} are missing or damaged; bake them with --frames.",
            "missing_file",
        )
    _write_record(folder / RECORD, {**first, "frames": frames})
    # A range in which the head does not turn is read as one of which nothing is known.
    still = np.zeros(3, np.float32)
    head = np.stack([turns.get(frame, still) for frame in every]) if turns else None
    weights = Weights(np.stack([rows[frame] for frame in every]), asked["fps"], head)
    write_weights(folder / WEIGHTS, weights)
    identity = from_request({**asked, "name": asked["person"]})
    relief = from_request(asked["relief"]) if "relief" in asked else None
    known = ("kind", "name", "sha256", "style", "life", "object")
    source = {k: asked[k] for k in known if k in asked}
    origin = Path(first["input"]) if first["input"] else None
    return Take(identity, weights, asked["first"], asked["resolution"], source, origin, relief)


def _ranges(frames: list[int]) -> str:
    """Frame numbers as words, ``Frames 3-7, 12``; a long list is cut."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    words = [f"{a}" if a == b else f"{a}-{b}" for a, b in runs]
    return "Frames " + ", ".join(words[:8]) + (" and more" if len(words) > 8 else "")
