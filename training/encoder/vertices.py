"""Baselines that see the expressive mesh instead of (a, b): encoders of 1.7K and 5K vertices.

After Table I of the paper, at the width of the shipped encoder. The head's skin has 3,501 vertices,
so points are taken of the skin divided once: vertices, midpoints of edges and of faces.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor, nn
from tqdm import tqdm

from ...backend.formats.identity import SKIN
from ...backend.head.bilinear import Head
from ..maps.data import Maps
from ..spine.schedule import averaged, lasting
from ..spine.stage import Budget, Stage, run

COUNTS = {"1.7K": 1700, "5K": 5000}
"""Points of the two encoders; the fewer are the first of the more."""

PARTS = 512
"""Principal components that vertices enter by; they leave out less than a micrometre."""

WIDTHS = (1024, 1024, 384, 256, 128)
"""Of the layers, those of the shipped encoder."""

STEPS, BATCH, RATE, WEIGHT_DECAY = 2500, 128, 1e-3, 0.3
"""Of the training; rate and decay are those of the shipped encoder."""

SETTINGS = {
    "points": COUNTS,
    "parts": PARTS,
    "widths": WIDTHS,
    "steps": STEPS,
    "batch": BATCH,
    "rate": RATE,
    "weight_decay": WEIGHT_DECAY,
}

VERSION = 1
"""Of what is computed here: raised by hand when a change alters results, so that kept ones are not used."""


def sample_points(head: Head, count: int) -> sparse.csr_matrix:
    """Points spread evenly over the average face's visible skin, by farthest-point sampling.

    Returns
    -------
    scipy.sparse.csr_matrix
        (count, V): each point's weights on the head's vertices.
    """
    faces = [face[face >= 0] for face in head.faces[head.face_material == 0]]
    groups: set[tuple[int, ...]] = {(int(v),) for face in faces for v in face}
    groups |= {
        (min(int(a), int(b)), max(int(a), int(b)))
        for face in faces
        for a, b in zip(face, np.roll(face, -1), strict=True)
    }
    groups |= {tuple(map(int, face)) for face in faces}
    visible = head.groups["skin"]
    selection = sorted(group for group in groups if visible[list(group)].min() > 0.5)
    rows = np.repeat(np.arange(len(selection)), [len(group) for group in selection])
    columns = np.concatenate(selection)
    weights = np.concatenate([np.full(len(group), 1 / len(group)) for group in selection])
    points = sparse.csr_matrix((weights, (rows, columns)), (len(selection), head.vertex_count))
    places = points @ head.neutral(head.average().shape)
    order = [0]
    distance = np.full(len(places), np.inf)
    for _ in range(count - 1):
        distance = np.minimum(distance, ((places - places[order[-1]]) ** 2).sum(1))
        order.append(int(distance.argmax()))
    return points[order].astype(np.float32)


def positions(
    head: Head, points: sparse.csr_matrix, identity: np.ndarray, expression: np.ndarray
) -> np.ndarray:
    """Points of the expressive meshes of samples (n, K + 16) and (n, 52): float32 (n, 3 P) mm.

    Fast where samples of one person lie together.
    """
    shapes = identity[:, : -len(SKIN)]
    meshes = (head.vertices(a, b) for a, b in zip(shapes, expression, strict=True))
    return np.stack([(points @ mesh).ravel() * np.float32(1000) for mesh in meshes])


def inputs(head: Head, train: Maps) -> dict[str, Tensor]:
    """Learn how the points of each encoder become its inputs, and those of all training samples.

    Points enter by principal components of unit variance: the same function of the points as
    before, since the first layer is linear, and one that Adam can learn.

    Returns
    -------
    dict
        By count: ``mean.C`` (3 P,), ``basis.C`` (3 P, parts), ``inputs.C`` (N, parts).
    """
    points = sample_points(head, max(COUNTS.values()))
    people = np.linspace(0, train.people - 1, min(400, train.people)).astype(int)
    rows = np.flatnonzero(np.isin(train.person, people))
    sample = torch.from_numpy(positions(head, points, train.identity[rows], train.expression[rows]))
    projection: dict[str, Tensor] = {}
    for name, count in COUNTS.items():
        part = sample[:, : 3 * count]
        mean = part.mean(0)
        # The small side's eigenvectors: meshes are fewer than coordinates.
        values, vectors = torch.linalg.eigh(((part - mean) @ (part - mean).T).double())
        leading = torch.flip(vectors, (1,))[:, :PARTS].float()
        strengths = torch.flip(values, (0,))[:PARTS].clamp(min=1e-6).float()
        basis = (part - mean).T @ leading / strengths * len(rows) ** 0.5
        projection |= {f"mean.{name}": mean, f"basis.{name}": basis}
    parts: dict[str, list[Tensor]] = {name: [] for name in COUNTS}
    for chunk in tqdm(np.array_split(np.arange(len(train.map)), train.people), "meshes"):
        meshes = torch.from_numpy(
            positions(head, points, train.identity[chunk], train.expression[chunk])
        )
        for name in COUNTS:
            parts[name].append(project(projection, name, meshes))
    return projection | {f"inputs.{name}": torch.cat(parts[name]) for name in COUNTS}


def project(projection: dict[str, Tensor], name: str, meshes: Tensor) -> Tensor:
    """Inputs (n, parts) of points (n, 3 P) mm, P at least the encoder's."""
    mean = projection[f"mean.{name}"]
    return (meshes[:, : len(mean)] - mean) @ projection[f"basis.{name}"]


class Readout(nn.Module):
    """The shipped encoder's layers with linear heads to the coefficients of a basis.

    The shipped one has heads to W+, which the generator reads its coefficients from linearly: two
    linear maps in a row, which are one here.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        first, second, *rest = WIDTHS
        self.layer1 = nn.Linear(inputs, first)
        self.layer2 = nn.Linear(first + inputs, second)
        self.trunk = nn.ModuleList(
            nn.Linear(a, b) for a, b in zip((second, *rest[:-1]), rest, strict=True)
        )
        self.heads = nn.ModuleList(nn.Linear(width, outputs) for width in rest)

    def forward(self, x: Tensor) -> Tensor:
        """Coefficients (n, outputs) of inputs (n, inputs)."""
        y = F.relu(self.layer1(x))
        y = F.relu(self.layer2(torch.cat([y, x], 1)))
        total = torch.zeros(())
        for layer, head in zip(self.trunk, self.heads, strict=True):
            y = F.relu(layer(y))
            total = total + head(y)
        return total


def readout(x: Tensor, coefficients: Tensor, title: str, steps: int) -> Stage:
    """The stage, on the CPU: a :class:`Readout` from inputs (N, D) to coefficients (N, C) of unit mean square."""
    torch.manual_seed(0)
    network = Readout(x.shape[1], coefficients.shape[1])
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=WEIGHT_DECAY)
    order = np.random.default_rng(0).integers(len(x), size=(steps, BATCH))

    def learn(stage: Stage, rng: np.random.Generator) -> dict[str, Tensor]:
        rows = torch.from_numpy(order[stage.step])
        loss = (network(x[rows]) - coefficients[rows]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"loss": loss}

    averages = {"readout": averaged(network, lambda count: lasting(count - 1))}
    return Stage(title, {"readout": network}, {"readout": optimiser}, learn, averages, batch=BATCH)


def learn(
    x: Tensor, coefficients: Tensor, title: str, steps: int = STEPS, folder: Path | None = None
) -> dict[str, Tensor]:
    """Train a :class:`Readout` from inputs (N, D) to coefficients (N, C); its averaged weights.

    Squared error of coefficients, which is that of maps; AdamW with a cosine, from a fixed seed.
    Goes on where `folder` holds a checkpoint.
    """
    unit = coefficients.square().mean(0).sum().sqrt() / coefficients.shape[1] ** 0.5
    stage = readout(x, coefficients / unit, title, steps)
    run(stage, folder, Budget(steps), "furrow evaluate encoder --full")
    network = stage.averages["readout"].module
    weights: dict[str, Tensor] = network.state_dict()
    return {n: v * unit if n.startswith("heads.") else v for n, v in weights.items()}


def apply(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Coefficients (n, C) of inputs (n, D), by weights of :func:`learn`."""
    network = Readout(x.shape[1], len(weights["heads.0.bias"]))
    network.load_state_dict(weights)
    with torch.inference_mode():
        return network(x)
