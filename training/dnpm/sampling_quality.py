"""How much generated maps are like the corpus': distance, precision and recall, copies, smooth paths."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...backend.detail.engines.torch_networks import Encoder, Synthesis
from ...backend.head.bilinear import Head
from ..corpus.sampler import sample_expression, sample_identity
from ..maps.data import Maps
from ..networks.frechet import features, frechet, halves, nearest, precision_recall
from ..networks.metrics import resized
from ..networks.perceptual import lpips
from ..space.mapping import Z_SIZE, Mapping

LOOKED_AT = 256
"""Where VGG16 looks at maps."""

COPIES_AT = 64
"""Where maps are compared with all that were learned from: a copy is one at any resolution."""

FRESH_SEED = 300
"""Of the people whom the encoder is asked for; neither training's nor the test's."""


def mapped_codes(mapping: Mapping, count: int, seed: int = 0) -> Tensor:
    """W+ (count, num_ws, 512) of random z."""
    z = torch.randn(count, Z_SIZE, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        return mapping(z)


def encoded_codes(encoder: Encoder, head: Head, count: int, seed: int = FRESH_SEED) -> Tensor:
    """W+ (count, num_ws, 512) of fresh people, one expression each."""
    rng = np.random.default_rng(seed)
    people = [(sample_identity(head, rng).vector, sample_expression(rng)) for _ in range(count)]
    a, b = (torch.from_numpy(np.stack(part)) for part in zip(*people, strict=True))
    with torch.inference_mode():
        return encoder(a, b)


def drawn_maps(synthesis: Synthesis, codes: Tensor, resolution: int, relief: bool) -> Tensor:
    """Maps (n, 1, R, R) mm of codes at a lower resolution, each with a relief of its own, or without."""
    size = synthesis.config.resolution
    parts = []
    for i, w in enumerate(codes):
        noise = torch.zeros(1, 1, size, size)
        if relief:
            noise.normal_(generator=torch.Generator().manual_seed(i))
        with torch.inference_mode():
            parts.append(resized(synthesis(w[None], noise), resolution))
    return torch.cat(parts)


def corpus_features(maps: Maps, rows: np.ndarray) -> np.ndarray:
    """Features (n, C) of whole maps of a set."""
    mask = resized(torch.from_numpy(maps.mask)[None, None], LOOKED_AT)
    parts = []
    for row in rows:
        whole = np.asarray(maps.map[row], np.float32) + maps.relief_of(row[None])[0]
        parts.append(resized(torch.from_numpy(whole)[None, None], LOOKED_AT))
    return features(torch.cat(parts), mask, LOOKED_AT)


def generated_features(synthesis: Synthesis, codes: Tensor, maps: Maps) -> np.ndarray:
    """Features (n, C) of whole generated maps, seen through the mask of a set."""
    mask = resized(torch.from_numpy(maps.mask)[None, None], LOOKED_AT)
    return features(drawn_maps(synthesis, codes, LOOKED_AT, True), mask, LOOKED_AT)


def quality(real: np.ndarray, people: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """Frechet distance, precision and recall, means over ten ways to halve the corpus' people.

    Parameters
    ----------
    real
        (N, C) features of the corpus' maps.
    people
        (N,) whose map each is.
    fake
        (M, C), M at least N / 2: of each half as many generated maps are taken.

    Returns
    -------
    dict
        ``frechet``, ``precision``, ``recall`` of generated maps against a half of the corpus, and
        ``frechet_floor``, ``precision_floor``, ``recall_floor`` of the other half against it: what
        a perfect generator gets.
    """
    lists: dict[str, list[float]] = {}
    for first in halves(people):
        one, other = real[first], real[~first]
        for suffix, sample in (("", fake[: len(other)]), ("_floor", other)):
            precision, recall = precision_recall(one, sample)
            for name, value in (
                ("frechet", frechet(one, sample)),
                ("precision", precision),
                ("recall", recall),
            ):
                lists.setdefault(name + suffix, []).append(value)
    return {name: float(np.mean(values)) for name, values in lists.items()}


def copy_ratio(synthesis: Synthesis, codes: Tensor, train: Maps, own: int = 200) -> float:
    """Distance of generated maps to the nearest training map, over that between people's own.

    Without relief, at `COPIES_AT` on the skin, against every training map. Well below 1 the maps
    are copies; near 1 they are new people.
    """
    mask = np.sqrt(resized(torch.from_numpy(train.mask)[None, None], COPIES_AT).numpy().ravel())
    fake = drawn_maps(synthesis, codes, COPIES_AT, False).flatten(1).numpy() * mask
    training = np.concatenate([part * mask for part in _reduced(train.map)])
    rows = np.linspace(0, len(training) - 1, min(own, len(training))).astype(int)
    return nearest(fake, training, train.person, rows).ratio


def _reduced(maps: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(maps), 500):
        chunk = torch.from_numpy(np.asarray(maps[start : start + 500], np.float32))[:, None]
        yield F.avg_pool2d(chunk, chunk.shape[-1] // COPIES_AT).flatten(1).numpy()


@torch.inference_mode()
def path_steps(
    draw: Callable[[Tensor], Tensor], codes: Tensor, steps: int = 8
) -> tuple[float, float]:
    """How evenly maps change on straight ways through W+, by LPIPS; and on blends of their ends.

    Parameters
    ----------
    draw
        From W+ (n, num_ws, 512) to maps (n, 1, R, R).
    codes
        (2 n, num_ws, 512), ends of n ways.
    steps
        Into how many steps each way is cut.

    Returns
    -------
    tuple
        Largest step over the mean step, averaged over the ways: through W+, and of the straight
        blend of the two end maps, texel by texel. 1 is perfectly even.
    """
    along = torch.linspace(0, 1, steps + 1)[:, None, None]
    ratios: tuple[list[float], list[float]] = ([], [])
    for start, end in codes.unflatten(0, (-1, 2)):
        maps = draw(torch.lerp(start, end, along))
        blend = torch.lerp(maps[:1], maps[-1:], along[..., None])
        for means, images in zip(ratios, (maps, blend), strict=True):
            pairs = itertools.pairwise(images)
            sizes = [float(lpips()(one[None], two[None])) for one, two in pairs]
            means.append(max(sizes) / float(np.mean(sizes)))
    return float(np.mean(ratios[0])), float(np.mean(ratios[1]))
