"""What the sliders of detail change, read off generated maps; differentiable, so that it can be steered."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...backend.detail.engines.torch_networks import Synthesis
from ...backend.formats.identity import ADJUSTMENTS
from ...backend.head.bilinear import Head
from ..corpus.chart import chart
from .codes import drawn_lines, line_maps, skin_mask

LINES_RESOLUTION = 128
"""Texels of the maps that furrows are read from."""

PATCHES = 8
"""Patches along each side of the tile, in which the age regression takes local energies."""

RIDGE = 10.0

_FLOOR = 1e-8
"""Added to mean squares (mm^2) under a logarithm: 0.1 micrometres."""


class Attributes:
    """Reads `ADJUSTMENTS` of the skin off the maps of a generator.

    skin_age: the corpus's coefficient (0 about 20 years, 1 about 80), by ridge regression on the
    log energy of two bands in 8 x 8 patches. furrow_depth: log RMS of the map without relief.
    pore_strength: log RMS of the relief, the map with seeded noise less the map without.
    asymmetry: log ratio of the RMS of the map without relief on the character's left half of the
    face and on the right one.

    Parameters
    ----------
    synthesis
        The generator.
    head
        Gives the skin's place on the tile.
    w
        (N, num_ws, 512) codes to learn to read age from.
    age
        (N,) in [0, 1], the age of each.
    """

    def __init__(self, synthesis: Synthesis, head: Head, w: Tensor, age: Tensor) -> None:
        self.synthesis = synthesis
        size = synthesis.config.resolution
        self.resolution = min(LINES_RESOLUTION, size // 2)
        self.mask = skin_mask(head, self.resolution)
        across = chart(head, self.resolution)
        self.left = self.mask * torch.from_numpy(across.image(across.position[:, 0]) > 0)
        self.right = self.mask - self.left
        self.full_mask = skin_mask(head, size)
        self.no_noise = torch.zeros(1, 1, size, size)
        self.noise = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(1))
        energies = self._energies(drawn_lines(synthesis, w, self.resolution) * self.mask)
        self._mean, self._age = energies.mean(0), age.mean()
        centred = energies - self._mean
        gram = centred.T @ centred + RIDGE * torch.eye(centred.shape[1])
        self._slope = torch.linalg.solve(gram, centred.T @ (age - self._age))

    def lines(self, w: Tensor) -> Tensor:
        """Maps without relief of codes w: (N, 1, r, r) mm, on the skin alone."""
        return line_maps(self.synthesis, w, self.resolution) * self.mask

    def of_lines(self, lines: Tensor) -> Tensor:
        """skin_age, furrow_depth and asymmetry (N, 3) of maps without relief."""
        age = (self._energies(lines) - self._mean) @ self._slope + self._age
        left, right = (self._log_rms(lines, half) for half in (self.left, self.right))
        return torch.stack([age, self._log_rms(lines, self.mask), left - right], 1)

    def pores(self, w: Tensor) -> Tensor:
        """pore_strength (N,); takes whole maps, so it is slow."""
        return self._log_rms(self.relief(w), self.full_mask)

    def relief(self, w: Tensor) -> Tensor:
        """What the noise draws on maps of codes w: (N, 1, R, R) mm."""
        return self.synthesis(w, self.noise) - self.synthesis(w, self.no_noise)

    @torch.no_grad()
    def measure(self, w: Tensor, slow: int) -> tuple[Tensor, Tensor]:
        """The fast attributes (N, 3) of codes w, and pore_strength of the first `slow` of them."""
        fast = torch.cat([self.of_lines(self.lines(part)) for part in w.split(8)])
        return fast, torch.cat([self.pores(part) for part in w[:slow].split(1)])

    def _energies(self, lines: Tensor) -> Tensor:
        """Log energies of the finest band and of what is coarser, by patches: (N, 2 * 64)."""
        coarse = F.avg_pool2d(lines, 2)
        fine = lines - F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
        energies = [F.avg_pool2d(x.square(), x.shape[-1] // PATCHES) for x in (fine, coarse)]
        # Patches without skin stay at the floor, and so say nothing.
        return torch.log(torch.cat(energies, 1).flatten(1) + 1e-6)

    @staticmethod
    def _log_rms(image: Tensor, mask: Tensor) -> Tensor:
        return 0.5 * torch.log((image.square() * mask).sum((1, 2, 3)) / mask.sum() + _FLOOR)


FAST = [ADJUSTMENTS.index(name) for name in ("skin_age", "furrow_depth", "asymmetry")]
"""Where the columns of :meth:`Attributes.of_lines` stand among `ADJUSTMENTS`."""
