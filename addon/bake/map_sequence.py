"""Displacement maps of an animation, frame by frame, resumable and spread over a farm's tasks.

A frame is made again unless a record (:mod:`.bake_record`) and its file agree with what is wanted now:
a bake that is killed goes on where it stopped, and editing a curve costs the frames that it moves.
Frames that ask for the same map are made once and linked. The backend gets a few frames a request
and writes the files itself; nothing here holds a map.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import __version__
from ...backend.errors import FurrowError
from ...backend.formats.identity import from_request
from ...backend.formats.weights import Weights, read_weights, write_weights
from .bake_record import (
    FORMAT,
    RECORD,
    WEIGHTS,
    Recording,
    is_whole,
    map_path,
    range_name,
    records,
    valid_entries,
    write_record,
)
from .take import Take

if TYPE_CHECKING:
    from ..process.client import Client
    from ..process.pending import Pending

_FRAMES_A_REQUEST = 8  # what a kill loses at most, twice; few enough that progress moves
_AHEAD = 2  # requests under way, so that the backend never waits for us
_TRIES = 3  # per request, if the backend dies
_TICK_SECONDS = 0.2

Progress = Callable[[float, str], None]


def bake(
    take: Take,
    folder: str | Path,
    client: Client,
    part: tuple[int, int] | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[int]:
    """Write weights, maps and record of a take, or of its frames `part`; touches no Blender data.

    Runs in a thread as well as in Blender's own. What an earlier call left and still holds is kept.

    Returns
    -------
    The frames whose map had to be made; others were there, or have the map of another frame.

    Raises
    ------
    FurrowError
        If the folder cannot be written, a map cannot be made, the backend dies again and again, or
        it is cancelled; what is done stays, and the next call goes on from there.
    """
    folder = Path(folder)
    frames = take.frames(part)
    models = client.call("status", {}, timeout=300.0)["models"]
    digests = {frame: take.digest(frame, models) for frame in frames}
    old = valid_entries(folder, digests.values())
    done = {str(f): old[f] for f in frames if f in old and old[f]["asked"] == digests[f]}
    record = {
        "format": FORMAT,
        "furrow": __version__,
        "asked": take.record(),
        "models": models,
        "input": str(take.input.resolve()) if take.input else None,
        "frames": done,
    }

    def tick(ahead: float = 0.0) -> None:
        if cancelled is not None and cancelled():
            raise FurrowError("Cancelled.", "cancelled")
        if progress is not None:
            text = f"Map {len(done)} of {len(frames)}"
            progress(min(1.0, (len(done) + ahead) / len(frames)), text)

    name = range_name(part)
    with Recording(folder / f"bake{name}.json", record) as recording:
        write_weights(folder / f"weights{name}.csv", take.motion(frames))
        sources = {entry["asked"]: frame for frame, entry in old.items()}
        missing = [frame for frame in frames if str(frame) not in done]
        recording.link({f: sources[digests[f]] for f in missing if digests[f] in sources}, old)
        same: dict[str, list[int]] = {}
        for frame in missing:
            if digests[frame] not in sources:
                same.setdefault(digests[frame], []).append(frame)
        todo = [group[0] for group in same.values()]
        for frame, sha256 in _write(take, todo, folder, client, tick):
            entry = {"asked": digests[frame], "sha256": sha256}
            recording.add(frame, entry)
            recording.link(dict.fromkeys(same[digests[frame]][1:], frame), {frame: entry})
    return todo


def _write(
    take: Take, frames: list[int], folder: Path, client: Client, tick: Callable[[float], None]
) -> Iterable[tuple[int, str]]:
    """Yield frames and the hashes of their files as the backend finishes them.

    `tick` gets how many maps of unfinished requests are done.
    """
    parts = range(0, len(frames), _FRAMES_A_REQUEST)
    waiting = deque((frames[i : i + _FRAMES_A_REQUEST], 1) for i in parts)
    under_way: deque[tuple[list[int], int, Pending]] = deque()
    try:
        while waiting or under_way:
            while waiting and len(under_way) < _AHEAD:
                part, attempt = waiting.popleft()
                paths = [str(map_path(folder, frame).resolve()) for frame in part]
                params = {**take.parameters(part), "paths": paths}
                under_way.append((part, attempt, client.request("write_maps", params)))
            part, attempt, pending = under_way[0]
            while not pending.wait(_TICK_SECONDS):
                tick(sum(len(p) * request.progress[0] for p, _, request in under_way))
            under_way.popleft()
            try:
                hashes = pending.result()["sha256"]
            except FurrowError as error:
                if error.code != "backend_died" or attempt >= _TRIES:
                    raise
                waiting.appendleft((part, attempt + 1))  # the client has started the next process
            else:
                yield from zip(part, hashes, strict=True)
                tick(0.0)
    finally:
        for _part, _attempt, pending in under_way:
            pending.cancel()


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
    ranges = records(folder)
    ranges.pop(RECORD, None)
    if not ranges:
        raise FurrowError(
            f"{folder} holds no ranges of a bake (bake_0001-0120.json).", "missing_file"
        )
    first_name, first = next(iter(ranges.items()))
    frames: dict[str, Any] = {}
    rows: dict[int, np.ndarray] = {}
    turns: dict[int, np.ndarray] = {}
    request = first["asked"]
    for name, record in ranges.items():
        if (record["asked"], record["models"]) != (request, first["models"]):
            raise FurrowError(
                f"{name} and {first_name} are parts of different bakes; remove the one that is out of date."
            )
        for number, entry in record["frames"].items():
            if is_whole(folder, int(number), entry):
                frames[number] = entry
        weights = read_weights(folder / name.replace("bake", "weights").replace(".json", ".csv"))
        start = int(name.split("_")[1].split("-")[0])
        rows |= {start + i: row for i, row in enumerate(weights.values)}
        if weights.head is not None:
            turns |= {start + i: row for i, row in enumerate(weights.head)}
    every = range(request["first"], request["last"] + 1)
    missing = [frame for frame in every if str(frame) not in frames or frame not in rows]
    if missing:
        raise FurrowError(
            f"{_ranges(missing)} of {folder} are missing or damaged; bake them with --frames.",
            "missing_file",
        )
    write_record(folder / RECORD, {**first, "frames": frames})
    # A range in which the head does not turn is read as one of which nothing is known.
    still = np.zeros(3, np.float32)
    head = np.stack([turns.get(frame, still) for frame in every]) if turns else None
    weights = Weights(np.stack([rows[frame] for frame in every]), request["fps"], head)
    write_weights(folder / WEIGHTS, weights)
    identity = from_request({**request, "name": request["person"]})
    relief = from_request(request["relief"]) if "relief" in request else None
    names = ("kind", "name", "sha256", "style", "life", "object")
    source = {k: request[k] for k in names if k in request}
    origin = Path(first["input"]) if first["input"] else None
    return Take(identity, weights, request["first"], request["resolution"], source, origin, relief)


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
