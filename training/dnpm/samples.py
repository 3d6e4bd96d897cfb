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
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from ...backend.formats.files import whole_file
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


_begun: tuple[Any, Bases] | None = None


def _begin(head: Any, bases: Bases) -> None:
    global _begun
    _begun = (head, bases)
    torch.set_num_threads(1)


@torch.no_grad()
def _person(resolution: int, per_identity: int, seed: int, number: int) -> list[np.ndarray]:
    assert _begun is not None
    head, bases = _begun
    # The same stream of random numbers as `data.draw`: the same people under the same seed.
    rng = np.random.default_rng((seed, number))
    person = sample_identity(head, rng)
    skin = Skin(head, person, resolution)
    weights = np.stack([sample_expression(rng) for _ in range(per_identity)])
    maps = np.stack([skin.map(w, relief=False) for w in weights])
    images = torch.from_numpy(maps)[:, None]
    if resolution == bases.coarse.resolution:
        found = torch.full((per_identity, 2, 512), torch.nan)
        found[:, 0] = bases.coarse_styles(images)
    else:
        found = bases.styles(images)
    identity = np.repeat(person.vector[None], per_identity, 0)
    return [identity, weights.astype(np.float32), _half(found)]


def _half(styles: torch.Tensor) -> np.ndarray:
    """In half precision; numbers of next to no variance may lie beyond its range."""
    return styles.clamp(-1e4, 1e4).numpy().astype(np.float16)


def draw_samples(
    folder: Path,
    head: Any,
    bases: Bases,
    first: int,
    people: int,
    per_identity: int,
    seed: int,
    resolution: int,
    workers: int = 2,
) -> Samples:
    """Draw people's maps, keep their styles in `folder`, 25 people a file; goes on where it stopped.

    People `first`, `first` + 1, ... of the seed's: those before are left for other uses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"part-{i:04d}.npz" for i in range(math.ceil(people / CHUNK))]
    missing = [i for i, file in enumerate(files) if not file.exists()]
    one = functools.partial(_person, resolution, per_identity, seed)
    context = multiprocessing.get_context("fork")
    with (
        ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(head, bases)) as pool,
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
    """Samples of samples whose maps, at the fine basis's resolution, are at hand."""
    parts = []
    for start in range(0, len(rows), 50):
        images = np.asarray(maps.map[rows[start : start + 50]], np.float32)
        parts.append(_half(bases.styles(torch.from_numpy(images)[:, None])))
    return Samples(maps.identity[rows], maps.expression[rows], np.concatenate(parts), maps.digest)


def correct(coarse: Samples, held: Samples, strength: float = 30.0) -> Samples:
    """Coarse styles of maps drawn at R / 4, brought to those of maps averaged to that size.

    Thin lines come out a little different when they are drawn with large texels, by about 1 % of
    the maps' energy. `held` are the first samples of `coarse`, drawn at R / 2: a linear map between
    both, near the identity, takes most of the difference away. Those samples are left out.
    """
    count = len(held.styles)
    drawn = torch.from_numpy(coarse.styles[:, 0]).float()
    wrong = torch.from_numpy(held.styles[:, 0]).float() - drawn[:count]
    x = F.pad(drawn, (0, 1), value=1.0)
    gram = x[:count].T @ x[:count] + strength * torch.eye(x.shape[1])
    change = torch.linalg.solve(gram, x[:count].T @ wrong)
    styles = coarse.styles.copy()
    styles[:, 0] = (drawn + x @ change).numpy()
    return Samples(
        coarse.identity[count:], coarse.expression[count:], styles[count:], coarse.digest
    )


def joined(*parts: Samples) -> Samples:
    """Several sets of samples as one."""
    digest = hashlib.sha256("".join(part.digest for part in parts).encode())
    arrays = {n: np.concatenate([getattr(part, n) for part in parts]) for n in ARRAYS}
    return Samples(**arrays, digest=digest.hexdigest())
