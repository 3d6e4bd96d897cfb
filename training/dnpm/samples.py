"""Styles of people drawn for the encoder alone: their maps are projected and not kept.

The encoder learns the styles of the local bases by regression. It needs many people, but of each
map only the 1,024 numbers of two styles: a thousand times less than the map.
"""

from __future__ import annotations

import functools
import hashlib
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ...backend.formats.files import whole_file
from ...backend.head.bilinear import Head
from ...backend.system.processor import physical_cores
from ..corpus.compose import Skin
from ..corpus.sampler import sample_expression, sample_identity
from ..maps.data import Maps
from .bases import Bases

ARRAYS = ("identity", "expression", "styles")

CHUNK = 25
"""People in one file."""


@dataclass(frozen=True)
class Samples:
    """Regression data of the encoder.

    Attributes
    ----------
    identity, expression
        float32 (N, K + 16) and (N, 52).
    styles
        float16 (N, 2, 512), the targets; not a number where a style is not known.
    digest
        SHA-256 of the arrays' bytes.
    """

    identity: np.ndarray
    expression: np.ndarray
    styles: np.ndarray
    digest: str

    def inputs(self) -> tuple[Tensor, Tensor]:
        """Identity and expression as the encoder takes them."""
        return torch.from_numpy(self.identity), torch.from_numpy(self.expression)


_shared: tuple[Head, Bases] | None = None
"""The head and the bases of a worker."""


def _begin(head: Head, bases: Bases) -> None:
    global _shared
    _shared = (head, bases)
    torch.set_num_threads(1)


@torch.no_grad()
def _person(resolution: int, per_identity: int, seed: int, number: int) -> list[np.ndarray]:
    assert _shared is not None
    head, bases = _shared
    # The same stream of random numbers as `maps.data.draw`: the same people under the same seed.
    rng = np.random.default_rng((seed, number))
    person = sample_identity(head, rng)
    skin = Skin(head, person, resolution)
    weights = np.stack([sample_expression(rng) for _ in range(per_identity)])
    maps = np.stack([skin.map(w, relief=False) for w in weights])
    images = torch.from_numpy(maps)[:, None]
    if resolution == bases.coarse.resolution:
        styles = torch.full((per_identity, 2, 512), torch.nan)
        styles[:, 0] = bases.coarse_styles(images)
    else:
        styles = bases.styles(images)
    identity = np.repeat(person.vector[None], per_identity, 0)
    return [identity, weights.astype(np.float32), _half(styles)]


def _half(styles: torch.Tensor) -> np.ndarray:
    """In half precision; numbers of next to no variance may lie beyond its range."""
    return styles.clamp(-1e4, 1e4).numpy().astype(np.float16)


def draw_samples(
    data: Path,
    head: Head,
    bases: Bases,
    first: int,
    people: int,
    per_identity: int,
    seed: int,
    resolution: int,
    workers: int | None = None,
) -> Samples:
    """Draw people's maps, keep their styles in a folder of `data`, 25 people a file.

    Goes on where it stopped. The folder's name tells the arguments and the bases: styles of other
    bases mean other maps.

    People `first`, `first` + 1, ... of the seed's: those before are left for other uses. In as many
    processes as the machine has cores, or in `workers`.
    """
    key = f"{bases.digest} {first} {people} {per_identity} {seed} {resolution}"
    folder = data / f"samples{resolution}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"part-{i:04d}.npz" for i in range(math.ceil(people / CHUNK))]
    missing = [i for i, file in enumerate(files) if not file.exists()]
    one = functools.partial(_person, resolution, per_identity, seed)
    context = multiprocessing.get_context("fork")
    with (
        ProcessPoolExecutor(
            workers or physical_cores() or 1, context, initializer=_begin, initargs=(head, bases)
        ) as pool,
        tqdm(total=min(people, len(missing) * CHUNK), desc="styles", unit="person") as bar,
    ):
        for index in missing:
            numbers = range(first + index * CHUNK, first + min(people, (index + 1) * CHUNK))
            rows = []
            for person in pool.map(one, numbers):
                rows.append(person)
                bar.update()
            arrays = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
            with whole_file(files[index]) as temporary, temporary.open("wb") as file:
                np.savez(file, **dict(zip(ARRAYS, arrays, strict=True)))
    return read_samples(folder)


def read_samples(folder: Path) -> Samples:
    """Read all whole files of :func:`draw_samples`."""
    parts = [np.load(file) for file in sorted(folder.glob("part-*.npz"))]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in ARRAYS}
    digest = hashlib.sha256()
    for _, array in sorted(arrays.items()):
        digest.update(np.ascontiguousarray(array).tobytes())
    return Samples(**arrays, digest=digest.hexdigest())


@torch.no_grad()
def samples_of(bases: Bases, maps: Maps, rows: np.ndarray) -> Samples:
    """Samples of rows whose maps, at the fine basis's resolution, are at hand."""
    parts = []
    for start in range(0, len(rows), 50):
        images = np.asarray(maps.map[rows[start : start + 50]], np.float32)
        parts.append(_half(bases.styles(torch.from_numpy(images)[:, None])))
    return Samples(maps.identity[rows], maps.expression[rows], np.concatenate(parts), maps.digest)


def correct(coarse: Samples, finer: Samples, strength: float = 30.0) -> Samples:
    """Coarse styles of maps drawn at R / 4, brought to those of maps averaged to that size.

    Thin lines come out a little different when they are drawn with large texels, by about 1 % of
    the maps' energy. `finer` are the first samples of `coarse`, drawn at R / 2: a linear map between
    both, near the identity, takes most of the difference away. Those samples are left out.
    """
    count = len(finer.styles)
    plain = torch.from_numpy(coarse.styles[:, 0]).float()
    error = torch.from_numpy(finer.styles[:, 0]).float() - plain[:count]
    x = F.pad(plain, (0, 1), value=1.0)
    gram = x[:count].T @ x[:count] + strength * torch.eye(x.shape[1])
    change = torch.linalg.solve(gram, x[:count].T @ error)
    styles = coarse.styles.copy()
    styles[:, 0] = (plain + x @ change).numpy()
    return Samples(
        coarse.identity[count:], coarse.expression[count:], styles[count:], coarse.digest
    )


def joined(*parts: Samples) -> Samples:
    """Several sets of samples as one."""
    digest = hashlib.sha256("".join(part.digest for part in parts).encode())
    arrays = {n: np.concatenate([getattr(part, n) for part in parts]) for n in ARRAYS}
    return Samples(**arrays, digest=digest.hexdigest())
