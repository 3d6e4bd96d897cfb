"""The local bases laid out for inference: what ``bases.onnx`` computes, in few and large steps.

`LocalBasis` as PyTorch exports it mixes all images, of which a quarter is empty, and adds shifted
patches up. Here the same sums are products of matrices alone, which runtimes compute fastest.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from ...backend.detail.engines.stylegan2 import SeededSynthesis
from ...backend.detail.engines.torch_layers import LocalBasis
from ...backend.detail.engines.torch_networks import Synthesis


class Cells(nn.Module):
    """A local basis whose patches are added up by the products that mix their images.

    Patches of `side` texels begin every `hop` texels. A cell of `side - hop` texels, a quarter of a
    patch, sees one patch, two, or four. The cells that see as many are one product of the
    coefficients and images of all their patches; then each row of each cell is put where it belongs
    in the tile. Cells without skin, a quarter of them, are left out.
    """

    place: Tensor

    def __init__(self, basis: LocalBasis) -> None:
        super().__init__()
        self.basis = basis
        self.cell = basis.side - basis.hop
        self.parts = basis.side // self.cell  # of a patch, along its side
        skin = self._cut(basis.images.detach()).any(-1).any(1)
        visible = self._visible(skin)
        place = torch.zeros(basis.resolution, basis.resolution // self.cell, dtype=torch.int32)
        rows = place.view(-1, self.cell, place.shape[1])
        start = 1  # row 0 is of zeros, for cells without skin
        self.counts = sorted({len(patches) for patches in visible.values()})
        for count in self.counts:
            cells = [cell for cell, patches in visible.items() if len(patches) == count]
            numbers = torch.tensor([visible[cell] for cell in cells])
            self.register_buffer(f"patches{count}", numbers, persistent=False)
            for row, column in cells:
                rows[row, :, column] = torch.arange(start, start + self.cell, dtype=torch.int32)
                start += self.cell
        self.register_buffer("place", place, persistent=False)

    def _visible(self, skin: Tensor) -> dict[tuple[int, int], list[int]]:
        """For each cell (row, column) with skin, the parts of patches that it sees.

        `skin` tells which parts are not zero throughout, counted through all patches row by row.
        """
        n, parts = self.basis.patches, self.parts

        def along(cell: int) -> list[tuple[int, int]]:
            """The patches that a row or column of cells sees, and which part of each."""
            # The tile begins a cell after the first patch.
            patch, part = divmod(cell + 1, parts - 1)
            pairs = [(patch, part)] if part else [(patch, 0), (patch - 1, parts - 1)]
            return [pair for pair in pairs if 0 <= pair[0] < n]

        visible = {}
        for row, column in itertools.product(range(self.basis.resolution // self.cell), repeat=2):
            both = itertools.product(along(row), along(column))
            numbers = [((n * i + j) * parts + p) * parts + q for (i, p), (j, q) in both]
            if skin[numbers].any():
                visible[row, column] = numbers
        return visible

    def _cut(self, images: Tensor) -> Tensor:
        """Images (n^2, K, side, side) by part: (n^2 parts^2, K, cell^2)."""
        count, parts, cell = self.basis.count, self.parts, self.cell
        cut = images.reshape(-1, count, parts, cell, parts, cell).permute(0, 2, 4, 1, 3, 5)
        return cut.reshape(-1, count, cell * cell)

    def forward(self, w: Tensor) -> Tensor:
        """Map of the style w (1, 512): (R, R) in the raw unit."""
        basis, cell = self.basis, self.cell
        coefficients = basis.coefficients(w).unflatten(1, (-1, basis.count))[0]
        parts = self._cut(basis.images)
        rows = [torch.zeros(cell)]
        for count in self.counts:
            visible = self.get_buffer(f"patches{count}")
            weights = coefficients[visible // self.parts**2].reshape(-1, 1, count * basis.count)
            images = parts[visible].reshape(-1, count * basis.count, cell * cell)
            rows.append(torch.matmul(weights, images).flatten())
        placed = torch.cat(rows).unflatten(0, (-1, cell))[self.place]
        return placed.reshape(basis.resolution, basis.resolution)


class Bases(nn.Module):
    """The local bases of a synthesis, and the part of its maps that they make."""

    def __init__(self, synthesis: Synthesis | SeededSynthesis) -> None:
        super().__init__()
        lean = list(synthesis.blocks) if synthesis.levels() else []
        bases = [
            (2 * i + 3, block.basis)
            for i, block in enumerate(lean)
            if isinstance(block.basis, LocalBasis)
        ]
        self.styles = [style for style, _ in bases]
        self.cells = nn.ModuleList(Cells(basis) for _, basis in bases)
        self.mixture = synthesis.mixture

    def forward(self, w: Tensor, rest: Tensor) -> tuple[Tensor, ...]:
        """Styles (1, num_ws, 512) and rest (1, 1, R, R) mm: each basis's image, then the map in mm."""
        if not self.styles:  # the exporter would drop an input that nothing reads
            return (rest + 0.0 * w[0, 0, 0],)
        images = [
            cells(w[:, style])[None, None]
            for style, cells in zip(self.styles, self.cells, strict=True)
        ]
        return (*images, self.mixture(images, rest))
