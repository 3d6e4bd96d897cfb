"""The files of a bake: maps by frame, and records of what was asked and what each map was made from.

A record is ``bake.json``, or ``bake_0001-0120.json`` for a range, so that tasks of a farm never write
the same file. By frame it holds ``asked``, which names everything that the map depends on, the
``sha256`` of its file, and ``same_as``, the frame whose file it is a hard link or copy of, if any.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...backend.errors import FurrowError
from ...backend.formats.files import sha256, whole_file, write_whole

FORMAT = "furrow.bake/1"
MAPS = "detail"
WEIGHTS = "weights.csv"
RECORD = "bake.json"

_WRITE_SECONDS = 2.0

Entry = dict[str, Any]
"""What a record says of a frame."""


def map_path(folder: Path, frame: int) -> Path:
    """Where the map of a frame lies."""
    return folder / MAPS / f"{frame:04d}.exr"


def range_name(part: tuple[int, int] | None) -> str:
    """What names of files say of a range; nothing of the whole."""
    return "" if part is None else f"_{part[0]:04d}-{part[1]:04d}"


def link_all(folder: Path, sources: Mapping[int, int]) -> None:
    """Give the maps of frames a second name, or copy them where the file system has no hard links.

    Files of a bake are only ever replaced, never changed: a link stays what it is when the frame
    that it came from is made anew. All links are made before the first takes its place, so that
    frames may exchange their maps.

    Parameters
    ----------
    sources
        By frame, the frame that has its map.

    Raises
    ------
    FurrowError
        If the folder cannot be written, or the disk is full.
    """
    with contextlib.ExitStack() as stack:
        for frame, other in sources.items():
            source, target = map_path(folder, other), map_path(folder, frame)
            if target.exists() and target.samefile(source):
                continue  # the same file under both names could not replace itself
            temporary = stack.enter_context(whole_file(target))
            temporary.unlink()
            try:
                os.link(source, temporary)
            except OSError:  # another device, a file system without links, too many of them
                shutil.copyfile(source, temporary)


class Recording:
    """Keeps a record on disk up with the work: written at the start, every now and then, at the end.

    Parameters
    ----------
    path
        Where it lies; that it cannot be written shows before any work is done.
    record
        With the entries of frames that are done already under "frames".
    """

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self._path = path
        self._record = record
        self._due = 0.0

    def __enter__(self) -> Recording:
        self._write()
        return self

    def __exit__(self, *_error: object) -> None:
        self._write()

    def add(self, frame: int, entry: Entry) -> None:
        """Tell of one more frame."""
        self._record["frames"][str(frame)] = entry
        if time.monotonic() > self._due:
            self._write()

    def link(self, sources: Mapping[int, int], entries: Mapping[int, Entry]) -> None:
        """Link frames to the frames that have their maps, and tell of them; see :func:`link_all`."""
        link_all(self._path.parent, sources)
        for frame, source in sources.items():
            entry = entries[source]
            self.add(frame, {"asked": entry["asked"], "sha256": entry["sha256"], "same_as": source})

    def _write(self) -> None:
        begin = time.monotonic()
        write_record(self._path, self._record)
        now = time.monotonic()
        # A record of hours of frames takes a while: never more than a twentieth of the time.
        self._due = now + max(_WRITE_SECONDS, 20 * (now - begin))


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record, its frames in order."""
    frames = {k: record["frames"][k] for k in sorted(record["frames"], key=int)}
    write_whole(path, json.dumps({**record, "frames": frames}, indent=1).encode())


def records(folder: str | Path) -> dict[str, dict[str, Any]]:
    """The records in a folder by file name; one that is no record of a bake is an error."""
    by_name = {}
    for path in sorted(Path(folder).glob("bake*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FurrowError(
                f"{path} cannot be read ({error}); remove it and bake again."
            ) from None
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise FurrowError(f"{path} is no record of a bake; remove it and bake again.")
        by_name[path.name] = record
    return by_name


def valid_entries(folder: Path, digests: Iterable[str]) -> dict[int, Entry]:
    """Frames, of any range, whose file a record vouches for and whose `asked` is among `digests`."""
    valid = set(digests)
    entries: dict[int, Entry] = {}
    for record in records(folder).values():
        for number, entry in record["frames"].items():
            frame = int(number)
            if entry["asked"] in valid and frame not in entries and is_whole(folder, frame, entry):
                entries[frame] = entry
    return entries


def is_whole(folder: Path, frame: int, entry: Entry) -> bool:
    """Whether the file of a frame is the one that an entry of a record tells of."""
    path = map_path(folder, frame)
    return path.is_file() and sha256(path) == entry["sha256"]
