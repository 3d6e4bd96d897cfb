"""The shipped detail networks: exports agree, and maps follow identity and expression."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch
from furrow.backend.detail.engines import engines
from furrow.backend.detail.engines.torch_networks import Encoder, Synthesis, load
from furrow.backend.formats.expressions import vector
from furrow.backend.formats.files import ASSETS
from furrow.backend.formats.identity import SKIN
from furrow.backend.head.bilinear import Head

DETAIL = ASSETS / "detail"
TORCH_EQUALS_ORT_MM = 1e-4


@pytest.fixture(scope="module")
def networks() -> tuple[Encoder, Synthesis]:
    return load(DETAIL)


@pytest.fixture(scope="module")
def region() -> dict[str, np.ndarray]:
    """Bounding boxes of regions on the tile as masks (R, R), from the head's groups."""
    head = Head.load()
    resolution = json.loads((DETAIL / "detail.json").read_text())["resolution"]
    masks = {}
    for name in ("forehead", "chin"):
        mask = np.zeros((resolution, resolution), bool)
        own = np.flatnonzero(head.groups[name] > 0.8)
        corners = np.isin(head.faces, own) & (head.face_material == 0)[:, None]
        u, v = head.uv[corners].T
        mask[(resolution * (1 - v)).astype(int) - 1, (resolution * u).astype(int) - 1] = True
        rows, columns = np.nonzero(mask)
        mask[rows.min() : rows.max(), columns.min() : columns.max()] = True
        masks[name] = mask
    return masks


def person(head_size: int, seed: int = 3, **skin: float) -> torch.Tensor:
    values = np.full(len(SKIN), 0.5, np.float32)
    values += np.random.default_rng(seed).uniform(-0.2, 0.2, len(SKIN)).astype(np.float32)
    for name, value in skin.items():
        values[SKIN.index(name)] = value
    shape = np.zeros(head_size - len(SKIN), np.float32)
    return torch.from_numpy(np.concatenate([shape, values]))[None]


def synthesise(
    networks: tuple[Encoder, Synthesis], identity: torch.Tensor, **weights: float
) -> np.ndarray:
    encoder, synthesis = networks
    size = synthesis.config.resolution
    with torch.inference_mode():
        w = encoder(identity, torch.from_numpy(vector(weights))[None])
        return synthesis(w, torch.zeros(1, 1, size, size))[0, 0].numpy()


def energy(image: np.ndarray, mask: np.ndarray) -> float:
    return float(np.sqrt((image[mask] ** 2).mean()))


def test_onnx_equals_pytorch(networks: tuple[Encoder, Synthesis]) -> None:
    encoder, synthesis = networks
    size = synthesis.config.resolution
    identity = person(encoder.config.identity)
    expression = torch.from_numpy(vector({"browInnerUp": 0.8, "mouthSmileLeft": 0.5}))[None]
    noise = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        w = encoder(identity, expression)
        image = synthesis(w, noise).numpy()
    engine = engines.load("ort")
    w_ort = engine.encode(identity[0].numpy(), expression[0].numpy())
    image_ort = engine.synthesise(w_ort, noise[0, 0].numpy())
    assert w_ort.shape == (synthesis.num_ws, 512)
    assert np.abs(image - image_ort).max() <= TORCH_EQUALS_ORT_MM


def test_raised_brows_fold_the_forehead_and_not_the_chin(
    networks: tuple[Encoder, Synthesis], region: dict[str, np.ndarray]
) -> None:
    identity = person(networks[0].config.identity, age=0.4)
    rest = synthesise(networks, identity)
    change = {
        strength: synthesise(networks, identity, browInnerUp=strength, browOuterUpLeft=strength,
                             browOuterUpRight=strength) - rest
        for strength in (0.4, 1.0)
    }  # fmt: skip
    weak, strong = (energy(change[s], region["forehead"]) for s in (0.4, 1.0))
    assert strong > 0.03, "forehead furrows of less than 0.03 mm RMS"
    assert strong > 1.2 * weak
    assert energy(change[1.0], region["chin"]) < 0.2 * strong


def test_the_map_follows_expression_and_identity(networks: tuple[Encoder, Synthesis]) -> None:
    encoder, synthesis = networks
    size = encoder.config.identity
    one, other = person(size, 3, age=0.3), person(size, 8, age=0.9)
    frown = {"browDownLeft": 1.0, "browDownRight": 1.0}
    raised = synthesise(networks, one, browInnerUp=1.0)
    everywhere = np.ones_like(raised, bool)
    assert energy(synthesise(networks, one, **frown) - raised, everywhere) > 0.01
    assert energy(synthesise(networks, other, browInnerUp=1.0) - raised, everywhere) > 0.01
    resolution = synthesis.config.resolution
    with torch.inference_mode():
        nothing = synthesis(
            torch.zeros(1, synthesis.num_ws, 512), torch.zeros(1, 1, resolution, resolution)
        )
    assert energy(nothing[0, 0].numpy() - raised, everywhere) > 0.01


def test_age_shows_at_rest(networks: tuple[Encoder, Synthesis]) -> None:
    size = networks[0].config.identity
    young, old = (synthesise(networks, person(size, 3, age=age)) for age in (0.05, 0.95))
    everywhere = np.ones_like(young, bool)
    assert energy(old, everywhere) > 1.3 * energy(young, everywhere)


def test_noise_makes_fine_relief_and_nothing_broad(networks: tuple[Encoder, Synthesis]) -> None:
    encoder, synthesis = networks
    size = synthesis.config.resolution
    noise = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        w = encoder(person(encoder.config.identity), torch.zeros(1, 52))
        relief = synthesis(w, noise) - synthesis(w, torch.zeros_like(noise))
        broad = torch.nn.functional.avg_pool2d(relief, 32)
    assert 0.002 < float(relief.std()) < 0.05
    assert float(broad.std()) < 0.2 * float(relief.std())
