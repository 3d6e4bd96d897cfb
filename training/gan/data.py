"""Maps of a set as training wants them: in one file, in a random order that a resumed run knows too."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ...backend.errors import FurrowError
from ...backend.formats.files import whole_file, write_whole
from ..corpus import facescape
from ..maps.data import allocate

_LOOKED_AT = 256
"""Maps whose depths set the unit."""

_TOP = 99.5
"""Percentile of absolute depth that becomes 1, as white is in photographs."""


@dataclass(frozen=True)
class Maps:
    """All maps of a set.

    Attributes
    ----------
    values
        (n, R, R) float16 mm, on disk.
    unit_mm
        What 1 is to the networks.
    digest
        Hash of the files' names and sizes.
    seed, mirror
        Of the order; whether half of the maps are shown mirrored.
    """

    values: np.ndarray
    unit_mm: float
    digest: str
    seed: int
    mirror: bool

    def at(self, first: int, count: int) -> Tensor:
        """Maps number `first` to `first + count` of the endless order: (count, 1, R, R) in the unit."""
        images = np.empty((count, *self.values.shape[1:]), np.float32)
        for image, number in zip(images, range(first, first + count), strict=True):
            epoch, place = divmod(number, len(self.values))
            rng = np.random.default_rng((self.seed, epoch))
            row = rng.permutation(len(self.values))[place]
            turned = self.mirror and rng.integers(2, size=len(self.values))[place]
            image[:] = self.values[row][:, ::-1] if turned else self.values[row]
        return torch.from_numpy(images)[:, None] / self.unit_mm


def prepare(folder: Path, resolution: int, output: Path) -> None:
    """Write a set's maps (of FaceScape or of ours, 16 bits) as ``maps.npy`` in `output`, unless they are there.

    Reading them all first finds a damaged map before hours of training, and training then reads
    them as fast as the disk goes. Takes 2 R^2 bytes a map.

    Raises
    ------
    FurrowError
        If `folder` holds no maps, some of them cannot be used (all are named), or the disk is full.
    """
    source = facescape.find(folder)
    record = {"resolution": resolution, "digest": _digest(source)}
    if _recorded(output).items() >= record.items() and (output / "maps.npy").exists():
        return
    total = sum(map(len, source.entries.values()))
    with whole_file(output / "maps.npy") as temporary:
        (file,) = allocate({temporary: (total, resolution, resolution)})
        samples = source.samples(resolution)
        bar = tqdm(samples, "Reading maps", total, unit="map", disable=None)
        for row, sample in enumerate(bar):
            file[row] = sample.map
        file.flush()
        looked_at = np.asarray(file[:: max(1, total // _LOOKED_AT)], np.float32)
    unit = float(np.percentile(np.abs(looked_at), _TOP))
    if not (np.isfinite(unit) and unit > 0):
        raise FurrowError(f"The maps in {folder} are flat; there is nothing to learn from them.")
    record |= {"unit_mm": unit}
    write_whole(output / "maps.json", json.dumps(record).encode() + b"\n")


def load(output: Path, seed: int, mirror: bool) -> Maps:
    """Open what :func:`prepare` wrote."""
    record = _recorded(output)
    values = np.load(output / "maps.npy", mmap_mode="r")
    return Maps(values, record["unit_mm"], record["digest"], seed, mirror)


def _recorded(output: Path) -> dict:
    try:
        return json.loads((output / "maps.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _digest(source: facescape.MapFolder) -> str:
    files = (
        f"{person} {entry.expression} {entry.path.stat().st_size}\n"
        for person in source.people
        for entry in source.entries[person]
    )
    return hashlib.sha256("".join(files).encode()).hexdigest()[:16]
