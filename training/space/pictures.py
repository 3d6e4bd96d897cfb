"""Pictures of W+: what its directions, truncation, random samples, mixing and seeds do to maps."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ...backend.detail.engines.torch_networks import Encoder, Synthesis
from ...backend.formats.expressions import FACESCAPE_PRESETS, vector
from ...backend.formats.files import write_whole
from ...backend.formats.identity import ADJUSTMENTS
from ...backend.head.bilinear import Head
from ..corpus.chart import Chart, chart
from ..corpus.pictures import front, shaded
from .codes import draw_people
from .directions import Directions

SHOWN = 512
"""Texels of maps that are shown whole; finer ones are reduced to it."""

LIMIT = 300_000
"""Bytes of a picture, at most."""

PEOPLE_SEED = 500
"""Of the people shown; neither training nor the search for directions draws from it."""


class Pictures:
    """Draws the pictures of one generator's space.

    Parameters
    ----------
    sample
        Random codes W+ (n, num_ws, 512) of the mapping network.
    """

    def __init__(
        self,
        encoder: Encoder,
        synthesis: Synthesis,
        head: Head,
        directions: Directions,
        sample: Callable[[int], Tensor],
    ) -> None:
        self.encoder, self.synthesis, self.directions = encoder, synthesis, directions
        self.sample = sample
        self.size = synthesis.config.resolution
        self.chart: Chart = chart(head, min(SHOWN, self.size))
        self.full = chart(head, self.size)
        self.identity, _ = draw_people(head, 4, PEOPLE_SEED)

    def write(self, folder: Path) -> None:
        """Write all pictures, ``space-*.jpg``."""
        for name in ADJUSTMENTS:
            self._page(folder / f"space-{name.replace('_', '-')}.jpg", *self._direction(name))
        self._page(folder / "space-truncation.jpg", *self._truncation())
        self._page(folder / "space-samples.jpg", *self._samples())
        self._page(folder / "space-mixing.jpg", *self._mixing())
        self._page(folder / "space-seeds.jpg", *self._seeds())

    def _direction(self, name: str) -> tuple[list[str], list[list[np.ndarray]]]:
        values = (-1.0, 0.0, 1.0)
        tile = self.cheek if name == "pore_strength" else self.face
        rows = []
        for person, expression in ((0, "neutral"), (1, "smile")):
            w = self.code(person, expression)
            rows.append([tile(self.directions.apply(w, name, value), person) for value in values])
        return [f"{name.replace('_', ' ')} {value:+.0f}" for value in values], rows

    def _truncation(self) -> tuple[list[str], list[list[np.ndarray]]]:
        w_avg: Tensor = self.encoder.w_avg
        levels = (0.0, 0.5, 1.0)
        rows = [
            [self.face(w_avg + psi * (w[None] - w_avg), seed) for psi in levels]
            for seed, w in enumerate(self.sample(3))
        ]
        return [f"psi {psi:g}" for psi in levels], rows

    def _samples(self) -> tuple[list[str], list[list[np.ndarray]]]:
        tiles = [self.face(w[None], seed) for seed, w in enumerate(self.sample(8))]
        return [""] * 4, [tiles[:4], tiles[4:]]

    def _mixing(self) -> tuple[list[str], list[list[np.ndarray]]]:
        """Lines of one person with the last styles of another, from two layers on."""
        count = self.synthesis.num_ws
        one, other = self.code(2, "brow-raiser"), self.code(3, "brow-raiser")
        layers = (count - 1, count - 5)
        mixed = [torch.cat([one[:, :layer], other[:, layer:]], 1) for layer in layers]
        titles = ["one", *(f"one, other from {layer} on" for layer in layers), "other"]
        codes = [one, *mixed, other]
        return titles, [[self.face(w, 0) for w in codes], [self.cheek(w, 0) for w in codes]]

    def _seeds(self) -> tuple[list[str], list[list[np.ndarray]]]:
        w = self.code(0, "smile")
        seeds = (1, 2, 3)
        return [f"detail seed {seed}" for seed in seeds], [[self.cheek(w, seed) for seed in seeds]]

    @torch.no_grad()
    def code(self, person: int, expression: str) -> Tensor:
        """W+ (1, num_ws, 512) of one of the people shown, under one of FaceScape's expressions."""
        weights = torch.from_numpy(vector(FACESCAPE_PRESETS[expression]))[None]
        return self.encoder(self.identity[person : person + 1], weights)

    @torch.no_grad()
    def map(self, w: Tensor, seed: int) -> Tensor:
        """The map (1, 1, R, R) mm of W+ (1, num_ws, 512) and a detail seed."""
        noise = np.random.RandomState(seed).standard_normal((1, 1, self.size, self.size))
        return self.synthesis(w, torch.from_numpy(noise.astype(np.float32)))

    def face(self, w: Tensor, seed: int) -> np.ndarray:
        """The front of the face under light from the side, uint8."""
        image = F.avg_pool2d(self.map(w, seed), self.size // self.chart.resolution)[0, 0]
        lit = shaded(image.numpy(), float(np.median(self.chart.texel_mm)))
        return lit[front(self.chart)]

    def cheek(self, w: Tensor, seed: int) -> np.ndarray:
        """A quarter of the face's front, its left cheek, at the map's own resolution, uint8."""
        rows, columns = front(self.full)
        height, width = (part.stop - part.start for part in (rows, columns))
        image = self.map(w, seed)[0, 0].numpy()
        lit = shaded(image, float(np.median(self.full.texel_mm)))
        top, left = rows.start + height * 9 // 20, columns.start + width // 2
        part = lit[top : top + height // 3, left : left + width * 4 // 10]
        return np.kron(part, np.ones((SHOWN * 2 // self.size,) * 2, np.uint8))

    @staticmethod
    def _page(path: Path, titles: Sequence[str], rows: Sequence[Sequence[np.ndarray]]) -> None:
        """Write tiles in rows, with a title over each column, as a JPEG of at most LIMIT bytes."""
        gap, top = 4, 20 if any(titles) else 0
        height = top + sum(row[0].shape[0] + gap for row in rows)
        width = max(sum(tile.shape[1] + gap for tile in row) for row in rows)
        page = Image.new("L", (width, height), 255)
        y = top
        for row in rows:
            x = 0
            for tile in row:
                page.paste(Image.fromarray(tile), (x, y))
                x += tile.shape[1] + gap
            y += row[0].shape[0] + gap
        pen = ImageDraw.Draw(page)
        for i, title in enumerate(titles):
            pen.text((i * (rows[0][0].shape[1] + gap) + 4, 2), title, 0, ImageFont.load_default(14))
        for quality in (88, 80, 72, 64, 56, 48):
            file = io.BytesIO()
            page.save(file, "JPEG", quality=quality, optimize=True)
            if file.tell() <= LIMIT:
                break
        write_whole(path, file.getvalue())
