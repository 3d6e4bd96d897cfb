"""The local bases' stage: principal components of the corpus's maps, in closed form."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ...backend.detail.engines.torch_layers import LocalBasis, enlarge
from ...backend.detail.engines.torch_networks import Synthesis
from ..maps.data import Maps
from ..networks.basis import fit_images, fit_loadings, project, styles
from ..spine.files import digest_of, read_checkpoint, write_checkpoint
from ..spine.guard import restoring

FINE_MAPS = 2000
"""Maps that the fine images are found on; the coarse ones and all loadings see all rows."""

OFF_SKIN = 0.02
"""Weight of texels off the skin: a little, so that nothing wild stands at the border."""


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
        coarse = self.project_coarse(maps / self.unit)
        residual = maps / self.unit - enlarge(self.coarse.mixture(coarse), 2)
        return coarse, project(self.fine, residual, self.mask)

    def project_coarse(self, raw: Tensor) -> Tensor:
        """Coefficients of the coarse basis for maps (N, 1, R, R) in raw units."""
        return project(self.coarse, F.avg_pool2d(raw, 2), F.avg_pool2d(self.mask, 2))

    def residual(self, raw: Tensor) -> Tensor:
        """What the coarse basis leaves of maps (N, 1, R, R) in raw units."""
        return raw - enlarge(self.coarse.mixture(self.project_coarse(raw)), 2)

    def coarse_styles(self, maps: Tensor) -> Tensor:
        """The coarse style (N, 512) of maps (N, 1, R / 2, R / 2) in mm."""
        coefficients = project(self.coarse, maps / self.unit, F.avg_pool2d(self.mask, 2))
        return styles(self.coarse, coefficients, self.coarse_variance)

    def styles(self, maps: Tensor) -> Tensor:
        """The two styles (N, 2, 512) of maps (N, 1, R, R) in mm."""
        coarse, fine = self.coefficients(maps)
        pair = (
            styles(self.coarse, coarse, self.coarse_variance),
            styles(self.fine, fine, self.fine_variance),
        )
        return torch.stack(pair, 1)

    @property
    def digest(self) -> str:
        """SHA-256 of what decides the styles of a map."""
        variances = torch.stack([self.coarse_variance, self.fine_variance])
        both = digest_of(self.coarse, self.fine) + str(variances.tolist())
        return hashlib.sha256(both.encode()).hexdigest()


def block_at(synthesis: Synthesis, resolution: int) -> torch.nn.Module:
    """The block that leads to a resolution."""
    return synthesis.blocks[int(np.log2(resolution)) - 3]


def weights_of(mask: np.ndarray) -> Tensor:
    """How much each texel counts, (1, 1, R, R) in (0, 1]."""
    return torch.from_numpy(mask)[None, None].clamp(min=OFF_SKIN)


def bases_of(synthesis: Synthesis, maps: Maps, variances: Tensor | None = None) -> Bases:
    """The synthesis's own bases, for projection; `variances` (2, 512) where they are fitted."""
    fine = maps.map.shape[1]
    both = [block_at(synthesis, r).basis for r in (fine // 2, fine)]
    worth = torch.zeros(2, 512) if variances is None else variances
    unit = float(synthesis.scale)
    return Bases(both[0], both[1], worth[0], worth[1], weights_of(maps.mask), unit)  # type: ignore[arg-type]


@torch.no_grad()
def fit_bases(synthesis: Synthesis, maps: Maps, rows: np.ndarray, path: Path) -> Bases:
    """Fit the synthesis's two bases on `rows` of maps at half its resolution, or take them from `path`.

    Both bases' images take about a minute for 4,000 maps on one core, the projection two.
    """
    plain = bases_of(synthesis, maps)
    if path.exists():
        with restoring(path, "furrow train dnpm"):
            content = read_checkpoint(path)
            plain.coarse.load_state_dict(content["coarse"])
            plain.fine.load_state_dict(content["fine"])
        return bases_of(synthesis, maps, content["variances"])
    mask = plain.mask
    chunks = np.array_split(rows, max(1, len(rows) // 100))

    def raw(part: np.ndarray) -> Tensor:
        images = np.stack([np.asarray(maps.map[r], np.float32) for r in part])
        return torch.from_numpy(images)[:, None] / plain.unit

    small = torch.cat([F.avg_pool2d(raw(c), 2) for c in tqdm(chunks, desc="coarse basis")])
    fit_images(plain.coarse, small, F.avg_pool2d(mask, 2))
    del small
    some = np.linspace(0, len(rows) - 1, min(len(rows), FINE_MAPS)).astype(int)
    parts = np.array_split(rows[some], max(1, len(some) // 100))
    fit_images(
        plain.fine,
        torch.cat([plain.residual(raw(c)) for c in tqdm(parts, desc="fine basis")]),
        mask,
    )
    pairs = [plain.coefficients(raw(c) * plain.unit) for c in tqdm(chunks, desc="coefficients")]
    variances = torch.stack(
        [
            fit_loadings(basis, torch.cat([pair[i] for pair in pairs]))
            for i, basis in enumerate((plain.coarse, plain.fine))
        ]
    )
    state = {"coarse": plain.coarse.state_dict(), "fine": plain.fine.state_dict()}
    write_checkpoint(path, state | {"variances": variances})
    return bases_of(synthesis, maps, variances)
