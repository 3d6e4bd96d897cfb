"""Styles of people drawn for the encoder alone: their maps are projected and not kept.

The encoder learns the styles of the local bases by regression. It needs many people, but of each
map only the 1,024 numbers of two styles: a thousand times less than the map.
"""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ...backend.torch_layers import LocalBasis
from ...backend.files import whole_file
from ..corpus.compose import Skin
from ..corpus.sampler import sample_expression, sample_identity
from ..networks.basis import project, styles

CHUNK = 25
"""People in one file."""


@dataclass(frozen=True)
class Bases:
    """Local bases at half and at the full resolution of the maps, with what projection needs.

    Attributes
    ----------
    coarse, fine
        At R / 2 and at R; the fine one holds what the coarse one leaves.
    coarse_variance, fine_variance
        (512,), of :func:`..networks.basis.fit_loadings`.
    mask
        (1, 1, R, R) in (0, 1].
    unit
        Millimetres of one raw unit.
    """

    coarse: LocalBasis
    fine: LocalBasis
    coarse_variance: Tensor
    fine_variance: Tensor
    mask: Tensor
    unit: float

    def coefficients(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients of both bases for maps (N, 1, R, R) in mm."""
        raw = maps / self.unit
        coarse = project(self.coarse, F.avg_pool2d(raw, 2), F.avg_pool2d(self.mask, 2))
        left = raw - double(self.coarse.mixture(coarse))
        return coarse, project(self.fine, left, self.mask)

    def styles(self, maps: Tensor) -> Tensor:
        """The two styles (N, 2, 512) of maps (N, 1, R, R) in mm."""
        coarse, fine = self.coefficients(maps)
        pair = (
            styles(self.coarse, coarse, self.coarse_variance),
            styles(self.fine, fine, self.fine_variance),
        )
        return torch.stack(pair, 1)


def double(image: Tensor) -> Tensor:
    """Bilinear up-sampling by 2, as the skip connection of the synthesis network does it."""
    return F.interpolate(image, scale_factor=2.0, mode="bilinear")


@dataclass(frozen=True)
class Codes:
    """Regression data of the encoder.

    Attributes
    ----------
    identity, expression
        float32 (N, K + 16) and (N, 52).
    styles
        float16 (N, 2, 512), the targets.
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
    found = bases.styles(torch.from_numpy(maps)[:, None])
    identity = np.repeat(person.vector[None], per_identity, 0)
    return [identity, weights.astype(np.float32), found.numpy().astype(np.float16)]


def draw_codes(
    folder: Path,
    head: Any,
    bases: Bases,
    first: int,
    people: int,
    per_identity: int,
    seed: int,
    workers: int = 1,
) -> Codes:
    """Draw people's maps, keep their styles in `folder`, 25 people a file; goes on where it stopped.

    People `first`, `first` + 1, ... of the seed's: those before are left for other uses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"part-{i:04d}.npz" for i in range(people // CHUNK)]
    missing = [i for i, file in enumerate(files) if not file.exists()]
    one = functools.partial(_person, bases.fine.resolution, per_identity, seed)
    context = multiprocessing.get_context("fork")
    with (
        ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(head, bases)) as pool,
        tqdm(total=len(missing) * CHUNK, desc="styles", unit="person") as bar,
    ):
        for index in missing:
            rows = []
            for person in pool.map(one, range(first + index * CHUNK, first + (index + 1) * CHUNK)):
                rows.append(person)
                bar.update()
            arrays = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
            names = ("identity", "expression", "styles")
            with whole_file(files[index]) as temporary, temporary.open("wb") as file:
                np.savez(file, **dict(zip(names, arrays, strict=True)))
    return read_codes(folder)


def read_codes(folder: Path) -> Codes:
    """Read all whole files of :func:`draw_codes`."""
    parts = [np.load(file) for file in sorted(folder.glob("part-*.npz"))]
    arrays = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("identity", "expression", "styles")
    }
    digest = hashlib.sha256()
    for _, array in sorted(arrays.items()):
        digest.update(np.ascontiguousarray(array).tobytes())
    return Codes(**arrays, digest=digest.hexdigest())
