"""Baseline that sees pictures of the mesh: a network from position maps to displacement maps.

FaceScape's way, after pix2pixHD's global generator: strided convolutions, residual blocks,
up-sampling. It differs in four things. Position maps enter at 64, since a mesh of this density is
smooth there. Skin coefficients enter as even planes, since in this corpus a mesh does not tell
them. Batch normalisation takes the place of instance normalisation, which would erase even planes.
And it starts from the mean map and learns by the loss of the shipped networks, without a
discriminator: by L1 alone it had drawn nothing after the same time, since the median of a line of
uncertain place is no line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.spatial import Delaunay, cKDTree
from torch import Tensor, nn

from ...backend.formats.identity import SKIN
from ...backend.head.bilinear import Head
from ..maps.data import Maps
from ..networks.losses import furrow_loss
from ..spine import machine
from ..spine.stage import Budget, Stage, run

COARSE = 64
"""Resolution of the position maps."""

WIDTHS = (48, 96, 128)
"""Channels at 64, 32 and 16; towards the map 48, 24 and 12 at 64, 128 and 256."""

STEPS, BATCH, RATE = 300, 8, 2e-3
"""Of the training."""

SETTINGS = {"positions": COARSE, "widths": WIDTHS, "steps": STEPS, "batch": BATCH, "rate": RATE}

VERSION = 1
"""Of what is computed here: raised by hand when a change alters results, so that kept ones are not used."""


def texel_points(head: Head, resolution: int) -> sparse.csr_matrix:
    """Weights (R * R, V) of the head's vertices at texel centres, row 0 on top.

    Points are interpolated over the UV layout, across eyes and mouth too; off it the nearest counts.
    """
    own = head.face_material == 0
    faces, uv = head.faces[own], head.uv[own]
    kept = faces >= 0
    vertices, places = faces[kept], uv[kept]
    places, first = np.unique(places, axis=0, return_index=True)
    vertices = vertices[first]
    centres = (np.arange(resolution) + 0.5) / resolution
    u, v = np.meshgrid(centres, 1 - centres)
    texels = np.stack([u.ravel(), v.ravel()], 1)
    mesh = Delaunay(places)
    triangle = mesh.find_simplex(texels)
    transform = mesh.transform[triangle]
    two = np.einsum("nij,nj->ni", transform[:, :2], texels - transform[:, 2])
    weights = np.concatenate([two, 1 - two.sum(1, keepdims=True)], 1)
    corners = vertices[mesh.simplices[triangle]]
    outside = triangle < 0
    corners[outside] = vertices[cKDTree(places).query(texels[outside])[1]][:, None]
    weights[outside] = (1.0, 0.0, 0.0)
    rows = np.repeat(np.arange(len(texels)), 3)
    shape = (len(texels), head.vertex_count)
    return sparse.csr_matrix((weights.ravel(), (rows, corners.ravel())), shape, np.float32)


def inputs(
    head: Head, points: sparse.csr_matrix, identity: np.ndarray, expression: np.ndarray
) -> Tensor:
    """Position maps and planes (n, 22, 64, 64) of samples (n, K + 16) and (n, 52).

    Channels: the neutral face's position in units of 50 mm, what the expression adds in units of
    2 mm, and the skin coefficients minus one half.
    """
    images = np.empty((len(identity), 6 + len(SKIN), COARSE * COARSE), np.float32)
    for image, a, b in zip(images, identity, expression, strict=True):
        rest = points @ head.vertices(a[: -len(SKIN)], np.zeros_like(b))
        moved = points @ head.vertices(a[: -len(SKIN)], b)
        image[:3] = (rest - rest.mean(0)).T * 20
        image[3:6] = (moved - rest).T * 500
        image[6:] = a[-len(SKIN) :, None] - 0.5
    return torch.from_numpy(images.reshape(len(identity), -1, COARSE, COARSE))


class Generator(nn.Module):
    """(n, 22, 64, 64) to maps (n, 1, 256, 256), in units of the training maps' RMS."""

    def __init__(self) -> None:
        super().__init__()
        one, two, three = WIDTHS
        self.first = _layer(6 + len(SKIN), one)
        self.down = nn.Sequential(_layer(one, two, 2), _layer(two, three, 2))
        self.residual = nn.ModuleList(
            nn.Sequential(
                _layer(three, three),
                nn.Conv2d(three, three, 3, padding=1, bias=False),
                nn.BatchNorm2d(three),
            )
            for _ in range(4)
        )
        self.up = nn.Sequential(_double(), _layer(three, two), _double(), _layer(two, one))
        # The input's own layer once more: places that strides have lost.
        self.fine = nn.Sequential(
            _double(), _layer(2 * one, one // 2), _double(), _layer(one // 2, one // 4),
            nn.Conv2d(one // 4, 1, 7, padding=3),
        )  # fmt: skip
        nn.init.zeros_(self.fine[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.fine[-1].bias)  # type: ignore[arg-type]
        self.register_buffer("mean", torch.zeros(1, 1, 4 * COARSE, 4 * COARSE))

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps."""
        start = self.first(x)
        x = self.down(start)
        for block in self.residual:
            x = x + block(x)
        return self.mean + self.fine(torch.cat([self.up(x), start], 1))


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _double() -> nn.Upsample:
    return nn.Upsample(scale_factor=2, mode="bilinear")


def position_maps(
    head: Head, train: Maps, steps: int, where: torch.device, batch: int = BATCH
) -> Stage:
    """The stage: a :class:`Generator` learns maps at 256, in units of :func:`_unit`."""
    torch.manual_seed(0)
    points = texel_points(head, COARSE)
    network = Generator().to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    unit = _unit(train)
    network.mean += torch.from_numpy(_some(train).mean(0)) / unit
    network.to(where)
    mask = torch.from_numpy(train.mask)[None, None].to(where)
    optimiser = torch.optim.Adam(network.parameters(), RATE, betas=(0.9, 0.99))
    order = np.random.default_rng(0).integers(len(train.map), size=(steps, batch))

    def learn(stage: Stage, rng: np.random.Generator) -> dict[str, Tensor]:
        rows = order[stage.step]
        target = torch.from_numpy(np.stack([np.asarray(train.map[r], np.float32) for r in rows]))
        x = inputs(head, points, train.identity[rows], train.expression[rows]).to(where)
        with machine.autocast(where):
            maps = network(x.contiguous(memory_format=torch.channels_last)).float()
        loss = furrow_loss(maps, target[:, None].to(where) / unit, mask)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"loss": loss}

    networks, optimisers = {"generator": network}, {"generator": optimiser}
    return Stage("image_to_image", networks, optimisers, learn, batch=batch)


def learn(
    head: Head,
    train: Maps,
    steps: int = STEPS,
    folder: Path | None = None,
    where: torch.device | None = None,
) -> dict[str, Tensor]:
    """Train a :class:`Generator` on maps at 256; its weights and ``unit`` in mm.

    Goes on where `folder` holds a checkpoint.
    """
    stage = position_maps(head, train, steps, where or machine.device())
    run(stage, folder, Budget(steps), "furrow evaluate encoder --full")
    weights = stage.networks["generator"].cpu().state_dict()
    unit = torch.tensor(_unit(train))
    return {k: v.contiguous() for k, v in weights.items()} | {"unit": unit}


def _some(train: Maps) -> np.ndarray:
    """About a thousand of the training maps."""
    return train.map[:: max(1, len(train.map) // 1000)].astype(np.float32)


def _unit(train: Maps) -> float:
    """RMS of the training maps in mm."""
    return float(np.sqrt((_some(train) ** 2).mean()))


def apply(
    head: Any, weights: dict[str, Tensor], identity: np.ndarray, expression: np.ndarray
) -> Tensor:
    """Maps (n, 1, 256, 256) mm of samples, by weights of :func:`learn`."""
    network = Generator()
    network.load_state_dict({k: v for k, v in weights.items() if k != "unit"})
    network.eval()
    points = texel_points(head, COARSE)
    with torch.inference_mode():
        parts = [
            network(inputs(head, points, identity[i : i + 8], expression[i : i + 8]))
            for i in range(0, len(identity), 8)
        ]
    return torch.cat(parts) * weights["unit"]
