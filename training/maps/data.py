"""Maps drawn from the corpus once and kept on disk, so that training reads instead of folding skin."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import math
import multiprocessing
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ...backend.errors import FurrowError
from ...backend.formats.files import whole_file, write_whole
from ...backend.system.processor import physical_cores
from ..corpus.chart import chart
from ..corpus.compose import Skin
from ..corpus.sampler import sample_expression, sample_identity

ARRAYS = ("identity", "expression", "map", "relief")
LARGE = ("map", "relief")
"""Arrays that stay on disk until they are read."""

PARTIAL = "partial-{}.npy"
"""What a large array is called until it is whole."""


@dataclass(frozen=True)
class Maps:
    """A set of samples, its images memory-mapped.

    Attributes
    ----------
    identity
        float32 (N, K + 16).
    expression
        float32 (N, 52).
    map
        float16 (N, R, R) millimetres, without relief: what follows from (a, b) alone.
    relief
        float16 (I, R, R) millimetres, the seeded part, one for each person, which
        :meth:`relief_of` looks up; or (0, R, R) in a set made without.
    mask
        float32 (R, R) in [0, 1], the head's visible skin.
    digest
        SHA-256 of the arrays' bytes and of what made them.
    texel_mm
        Median side of a texel on the average face.
    per_identity
        Samples of each person; 0 in a set whose people have different numbers of them.
    made_by
        The arguments of :func:`draw`; the same ones give the same set, up to rounding. Of a set
        read from disk, what it was read from.
    person
        int64 (N,), the number of each sample's person, from 0; samples of a person lie together.
    """

    identity: np.ndarray
    expression: np.ndarray
    map: np.ndarray
    relief: np.ndarray
    mask: np.ndarray
    digest: str
    texel_mm: float
    per_identity: int
    made_by: dict[str, Any]
    person: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if not len(self.person):
            object.__setattr__(self, "person", np.arange(len(self.map)) // self.per_identity)

    @property
    def people(self) -> int:
        """How many people there are."""
        return int(self.person[-1]) + 1

    def first(self, people: int) -> int:
        """How many samples the first so many people have."""
        return int(np.searchsorted(self.person, people))

    def relief_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the relief of samples, float32 (n, R, R) mm; raises FurrowError in a set without."""
        if not len(self.relief):
            raise FurrowError(
                "This set of maps was made without relief. Make it again with relief."
            )
        return np.stack([np.asarray(self.relief[self.person[row]], np.float32) for row in rows])


def draw(
    folder: str | Path,
    head: Any,
    resolution: int,
    identities: int,
    per_identity: int,
    seed: int,
    relief: bool = False,
    workers: int | None = None,
) -> Maps:
    """Return the set in `folder`, drawing it first if it is absent or was made with other arguments.

    On one core a person takes about 0.2 s, and each map 4 ms at 256 and 8 ms at 512. As many people
    are drawn at once as the machine has cores, or `workers`.
    """
    folder = Path(folder)
    made_by = {
        "resolution": resolution,
        "identities": identities,
        "per_identity": per_identity,
        "seed": seed,
        "relief": relief,
    }
    record = folder / "set.json"
    if not record.exists() or json.loads(record.read_text())["made_by"] != made_by:
        _draw(folder, head, made_by, workers or physical_cores() or 1)
    return read(folder)


_head: Any = None
"""The head of a worker. The corpus keeps what it computes once for a head, such as the chart, by
the object: a head sent along with every person would be a new one each time."""


def _begin(head: Any) -> None:
    global _head
    _head = head


def _person(made_by: dict[str, int], number: int) -> dict[str, np.ndarray]:
    """One person's maps; a stream of random numbers of their own, so that the order is free."""
    head = _head
    rng = np.random.default_rng((made_by["seed"], number))
    person = sample_identity(head, rng)
    skin = Skin(head, person, made_by["resolution"])
    weights = [sample_expression(rng) for _ in range(made_by["per_identity"])]
    result = {
        "identity": person.vector,
        "expression": np.stack(weights),
        "map": np.stack([skin.map(w, relief=False) for w in weights]).astype(np.float16),
    }
    if made_by["relief"]:
        result["relief"] = skin.relief()
    return result


def _draw(folder: Path, head: Any, made_by: dict[str, int], workers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "set.json").unlink(missing_ok=True)
    resolution, people = made_by["resolution"], made_by["identities"]
    count = people * made_by["per_identity"]
    shapes = {
        "map": (count, resolution, resolution),
        "relief": (people * made_by["relief"], resolution, resolution),
    }
    for name in shapes:
        (folder / f"{name}.npy").unlink(missing_ok=True)  # of a set made with other arguments
    files = {folder / PARTIAL.format(name): shape for name, shape in shapes.items()}
    arrays: dict[str, np.ndarray] = dict(zip(shapes, allocate(files), strict=True))
    identity, expression = [], []
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(head,)) as pool:
        results = pool.map(functools.partial(_person, made_by), range(people))
        for i, person in enumerate(
            tqdm(results, total=people, desc=f"maps at {resolution}", unit="person")
        ):
            start = i * made_by["per_identity"]
            arrays["map"][start : start + made_by["per_identity"]] = person["map"]
            if made_by["relief"]:
                arrays["relief"][i] = person["relief"]
            identity.extend([person["identity"]] * made_by["per_identity"])
            expression.extend(person["expression"])
    skin_chart = chart(head, resolution)
    arrays |= {"identity": np.stack(identity), "expression": np.stack(expression)}
    arrays["mask"] = np.zeros((resolution, resolution), np.float32)
    arrays["mask"].ravel()[skin_chart.texels] = skin_chart.weight
    finish(folder, made_by, arrays, float(np.median(skin_chart.texel_mm)))


def allocate(shapes: Mapping[Path, tuple[int, ...]]) -> list[np.memmap]:
    """Make .npy files of float16, memory-mapped, and take their room on the disk at once.

    Without, a disk that fills up would end the process without a word at some later write.

    Raises
    ------
    FurrowError
        If the disk has no room for all of them, or the folder cannot be written; none is left then.
    """
    size = sum(2 * math.prod(shape) for shape in shapes.values())
    folder = next(iter(shapes)).parent
    arrays = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for path, shape in shapes.items():
            arrays.append(np.lib.format.open_memmap(path, "w+", np.float16, shape))
            if hasattr(os, "posix_fallocate"):  # else the check above must do
                with path.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        for path in shapes:
            path.unlink(missing_ok=True)
        raise FurrowError(
            f"{folder} cannot take {size / 1e9:.2f} GB of maps: {error.strerror or error}. "
            "Choose another folder, fewer maps or a lower resolution.",
            "write_failed",
        ) from None
    return arrays


def finish(
    folder: Path, made_by: dict[str, Any], arrays: dict[str, np.ndarray], texel_mm: float
) -> None:
    """Give the large arrays that :func:`allocate` made their names, write the small ones, and the record."""
    # Where a set was read from tells whether to read it again; it does not make it another set.
    facts = {name: value for name, value in made_by.items() if name != "source"}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        if name not in LARGE:
            with whole_file(folder / f"{name}.npy") as temporary:
                np.save(temporary, array)
        for start in range(0, len(array), 256):
            digest.update(np.ascontiguousarray(array[start : start + 256]).tobytes())
    for name in LARGE:
        (folder / PARTIAL.format(name)).replace(folder / f"{name}.npy")
    data = {"made_by": made_by, "digest": digest.hexdigest(), "texel_mm": texel_mm}
    write_whole(folder / "set.json", json.dumps(data, indent=1).encode())


def read(folder: str | Path) -> Maps:
    """Open a set that :func:`draw` or `sets.from_set` has made; raises FurrowError if there is none."""
    folder = Path(folder)
    try:
        record = json.loads((folder / "set.json").read_text())
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r" if name in LARGE else None)
            for name in ARRAYS
        }
        mask = np.load(folder / "mask.npy")
        if "per_identity" not in record["made_by"]:
            arrays["person"] = np.load(folder / "person.npy")
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise FurrowError(
            f"{folder} holds no whole set of maps: {error}. Draw it with furrow train dnpm.",
            "missing_file",
        ) from None
    return Maps(
        **arrays,
        mask=mask,
        digest=record["digest"],
        texel_mm=record["texel_mm"],
        per_identity=record["made_by"].get("per_identity", 0),
        made_by=record["made_by"],
    )
