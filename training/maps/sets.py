"""Maps of a set on disk, such as `furrow train corpus` writes, as the arrays that training reads."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from ...backend.errors import FurrowError
from ...backend.formats.expressions import check_expression
from ...backend.formats.files import write_whole
from ...backend.head.bilinear import Head
from ..corpus import facescape
from ..corpus.chart import chart
from .data import PARTIAL, Maps, allocate, finish, read

RELIEF_MM = 3.0
"""Wavelengths below this are relief.

A file holds a whole map, pores and all, and no band is the pores' alone: the corpus seeds 0.5 to
4 mm, scans show pores in the same bands, and furrows have edges as fine. At 3 mm the two exchange
least: with the corpus's own relief as truth (6 people, 8 expressions each), what goes to the wrong
part has this share of the relief's energy:

=====  ====  ====  ====  ====  ====
cut    1.5   2     3     4     6 mm
=====  ====  ====  ====  ====  ====
1024   0.28  0.20  0.18  0.25  0.59
512    0.75  0.41  0.28  0.37  0.86
=====  ====  ====  ====  ====  ====
"""

FACESCAPE_TILE_MM = 300.0
"""Skin that the width of FaceScape's tile spans, by which wavelengths are told. An assumption: about
as much as in ours, since both unroll a head's front once."""

_PROGRESS = "reading.json"
_NAMED = 8
"""How many files an error names."""


@dataclass(frozen=True)
class _Person:
    """Whose maps are read: a, as the encoder takes it, the maps, and a hash of all that decides them."""

    name: str
    identity: np.ndarray
    entries: list[facescape.Entry]
    digest: str


def from_set(set_folder: Path, cache: Path, resolution: int, relief: bool = False) -> Maps:
    """Return a set on disk as :func:`data.draw` returns what it draws, reading it first if need be.

    Maps are reduced to `resolution` by area mean, and what is finer than :data:`RELIEF_MM` is taken
    out of them. Relief is a person's and not a map's: with `relief` it is kept of the smoothest of
    their maps, since the edges of folds are fine too. Reading that was stopped goes on where it
    was; it takes about 40 ms a map of 1024 texels.

    Parameters
    ----------
    set_folder
        What `furrow train corpus` wrote, or a copy of FaceScape with ``identity/{id}.json`` in it.
    cache
        Folder for the arrays: 2 R^2 bytes a map, and as much a person with `relief`.
    resolution
        R; the maps' own must be a multiple.
    relief
        Whether to keep the relief.

    Raises
    ------
    FurrowError
        If the folder holds no set, or maps without (a, b); if maps cannot be used (all are named at
        the end); or if the disk has no room for the arrays.
    """
    set_folder, cache = Path(set_folder), Path(cache)
    head = Head.load()
    source_maps = facescape.find(set_folder)
    people = _people(set_folder, source_maps, head)
    if source_maps.missing:
        print(f"{set_folder}: {source_maps.missing} expressions have no map; they are left out.")
    source = hashlib.sha256("".join(person.digest for person in people).encode()).hexdigest()
    made_by = {"uv": source_maps.uv, "resolution": resolution, "relief": relief, "source": source}
    try:
        there = json.loads((cache / "set.json").read_text(encoding="utf-8"))["made_by"]
    except (OSError, ValueError, KeyError, TypeError):
        there = None
    if there != made_by:
        _read_all(people, head, cache, made_by)
    return read(cache)


def split(image: np.ndarray, texel_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Split a map (R, R) in mm into what is broader than :data:`RELIEF_MM` and what is finer.

    By a Gaussian of sigma = wavelength / 2 pi, as the corpus's bands are; the sum is the map.
    """
    broad = ndimage.gaussian_filter(image, RELIEF_MM / (2 * np.pi) / texel_mm, mode="nearest")
    return broad, image - broad


def _people(folder: Path, source_maps: facescape.MapFolder, head: Head) -> list[_Person]:
    """Return the people of a set, whose every map has (a, b); raises FurrowError."""
    listed = {entry.path.name for entries in source_maps.entries.values() for entry in entries}
    lonely = [path for path in sorted(folder.glob("dpmap/[!.]*.png")) if path.name not in listed]
    if lonely:
        raise FurrowError(
            f"{_some(lonely)} have no expression in {folder / 'expression'}. Write the set anew "
            "with furrow train corpus, or delete these maps."
        )
    names = [name for name in source_maps.people if source_maps.entries[name]]
    unknown = [folder / "identity" / f"{n}.json" for n in names if n not in source_maps.identities]
    if unknown:
        raise FurrowError(
            f"{_some(unknown)} are missing: training needs the identity of everybody who has maps. "
            "Put the files there, or take these people's maps away."
        )
    return [_person(folder, source_maps, name, head) for name in names]


def _person(folder: Path, source_maps: facescape.MapFolder, name: str, head: Head) -> _Person:
    path = source_maps.identities[name]
    try:
        identity = source_maps.identity(name, head)
        assert identity is not None
        path = folder / "expression" / f"{name}.npz"
        for entry in source_maps.entries[name]:
            check_expression(entry.weights)
    except FurrowError as error:
        raise FurrowError(
            f"{path} cannot be used: {error} Write the set anew with furrow train corpus."
        ) from None
    digest = hashlib.sha256(identity.vector.tobytes())
    for entry in source_maps.entries[name]:
        facts = entry.path.stat()
        digest.update(entry.weights.tobytes())
        digest.update(f"{entry.path.name} {facts.st_size} {facts.st_mtime_ns}".encode())
    return _Person(name, identity.vector, source_maps.entries[name], digest.hexdigest())


def _some(paths: list[Path]) -> str:
    """Return the first of some paths as text, and how many more there are."""
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(map(str, paths[:_NAMED])) + more


def _read_all(people: list[_Person], head: Head, cache: Path, made_by: dict[str, Any]) -> None:
    """Fill the cache with everybody whose maps are not in it yet."""
    resolution, relief = made_by["resolution"], made_by["relief"]
    starts = np.cumsum([0, *(len(person.entries) for person in people)])
    arrays, digests = _begun(people, cache, made_by)
    skin = chart(head, resolution) if made_by["uv"] == "furrow" else None
    texel_mm = float(np.median(skin.texel_mm)) if skin else FACESCAPE_TILE_MM / resolution
    problems: list[str] = []
    with tqdm(total=int(starts[-1]), desc="Reading maps", unit="map", disable=None) as bar:
        for number, person in enumerate(people):
            if digests.get(person.name) != person.digest:
                maps, fine, wrong = _maps_of(person, resolution, texel_mm)
                problems += wrong
                if not wrong:
                    arrays["map"][starts[number] : starts[number + 1]] = maps
                    arrays["relief"][number : number + relief] = fine
                    digests[person.name] = person.digest
                    _keep(cache, people, made_by, digests)
            bar.update(len(person.entries))
    if problems:
        raise FurrowError(facescape.complaint(problems))
    counts = np.diff(starts)
    arrays["person"] = np.repeat(np.arange(len(people)), counts)
    arrays["identity"] = np.repeat([person.identity for person in people], counts, axis=0)
    arrays["expression"] = np.stack([e.weights for person in people for e in person.entries])
    if skin:
        arrays["mask"] = np.zeros((resolution, resolution), np.float32)
        arrays["mask"].ravel()[skin.texels] = skin.weight
    else:  # where people have skin; the tile around it is flat
        arrays["mask"] = np.mean([arrays["map"][k] != 0 for k in starts[:-1]], 0, np.float32)
    finish(cache, made_by, arrays, texel_mm)
    (cache / _PROGRESS).unlink()


def _maps_of(
    person: _Person, resolution: int, texel_mm: float
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return a person's maps (n, R, R) without relief, their relief (R, R), and which files are bad."""
    maps, finest, problems = [], None, []
    for entry in person.entries:
        try:
            broad, fine = split(facescape.read_png(entry.path, resolution), texel_mm)
        except FurrowError as error:
            problems.append(str(error))
            continue
        maps.append(broad)
        if finest is None or np.square(fine).sum() < np.square(finest).sum():
            finest = fine
    return np.array(maps), np.array(finest), problems


def _plan(people: list[_Person], made_by: dict[str, Any]) -> dict[str, Any]:
    """Return what must be equal for reading to go on: where in the arrays whose maps lie."""
    counts = {person.name: len(person.entries) for person in people}
    return {name: made_by[name] for name in ("uv", "resolution", "relief")} | {"maps": counts}


def _keep(
    cache: Path, people: list[_Person], made_by: dict[str, Any], digests: dict[str, str]
) -> None:
    record = {"plan": _plan(people, made_by), "done": digests}
    write_whole(cache / _PROGRESS, json.dumps(record).encode())


def _begun(
    people: list[_Person], cache: Path, made_by: dict[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Open or make the large arrays; return them with the digests of those who are in them."""
    size = made_by["resolution"]
    rows = {"map": sum(len(p.entries) for p in people), "relief": len(people) * made_by["relief"]}
    files = {name: cache / PARTIAL.format(name) for name in rows}
    try:
        record = json.loads((cache / _PROGRESS).read_text(encoding="utf-8"))
        if record["plan"] == _plan(people, made_by):
            arrays = {name: np.load(file, mmap_mode="r+") for name, file in files.items()}
            if all(a.shape == (rows[n], size, size) for n, a in arrays.items()):
                return arrays, record["done"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing was begun, or nothing that can be gone on with
    for name in ("set.json", _PROGRESS, *(f"{name}.npy" for name in rows)):
        with contextlib.suppress(OSError):
            (cache / name).unlink()
    new = allocate({file: (rows[name], size, size) for name, file in files.items()})
    return dict(zip(rows, new, strict=True)), {}
