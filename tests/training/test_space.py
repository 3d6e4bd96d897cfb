"""The space W+: codes, mapping network, attributes, directions, and the files they are kept in."""

from __future__ import annotations

import json
import math
import types
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("safetensors")

import onnxruntime as ort
import torch
from furrow.backend.errors import FurrowError
from furrow.backend.formats.identity import ADJUSTMENTS
from furrow.backend.head.bilinear import Head
from furrow.training.corpus.chart import chart
from furrow.training.space import codes, directions, mapping
from furrow.training.spine.stage import Budget

RESOLUTION, NUM_WS = 128, 6
IMAGES = 40


class StandInEncoder:
    """W+ that follows skin and expression, their product included."""

    def __init__(self, identity: int) -> None:
        generator = torch.Generator().manual_seed(0)
        sizes = ((identity, IMAGES), (52, IMAGES), (IMAGES, NUM_WS * 512))
        self.skin, self.muscles, self.styles = (
            torch.randn(size, generator=generator) / size[0] ** 0.5 for size in sizes
        )
        self.skin[:-16] = 0.0
        self.w_avg = torch.randn(NUM_WS, 512, generator=generator)

    def __call__(self, identity: torch.Tensor, expression: torch.Tensor) -> torch.Tensor:
        skin, muscles = (identity - 0.5) @ self.skin * 4, expression @ self.muscles * 2
        w = (skin * (1 + muscles) + muscles) @ self.styles
        return self.w_avg + w.unflatten(1, (NUM_WS, 512))


class StandInGenerator:
    """A generator that mixes furrows linearly; the last style decides the strength of its relief."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.config = types.SimpleNamespace(resolution=RESOLUTION)
        self.num_ws, self.scale = NUM_WS, torch.tensor(0.05)
        self.reads = torch.randn((NUM_WS - 1) * 512, IMAGES, generator=generator) / 50
        # Furrows: short waves of any direction, in one place each.
        place = (torch.arange(RESOLUTION) + 0.5) / RESOLUTION
        centre, wave = (torch.randn(2, IMAGES, 1, 1, generator=generator) for _ in range(2))
        y, x = (place[:, None] - 0.5 - centre[0] / 8), (place - 0.5 - centre[1] / 8)
        self.images = torch.sin(30 * (wave[0] * x + wave[1] * y)) * torch.exp(-30 * (x**2 + y**2))
        self.strength = torch.randn(512, generator=generator) / 100

    def lower(self, w, resolution, dtype=torch.float32):
        amounts = w[:, :-1].flatten(1) @ self.reads + 1.0
        image = (amounts @ self.images.flatten(1)).view(-1, 1, RESOLUTION, RESOLUTION)
        return None, image

    def __call__(self, w, noise):
        strength = 0.1 * torch.exp(w[:, -1] @ self.strength)
        image = self.lower(w, RESOLUTION)[1] + strength[:, None, None, None] * noise
        return image * self.scale


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load()


@pytest.fixture(scope="module")
def networks(head: Head) -> tuple[StandInEncoder, StandInGenerator]:
    return StandInEncoder(head.shape_count + 16), StandInGenerator()


@pytest.fixture(scope="module")
def search(networks, head) -> directions.Search:
    encoder, synthesis = networks
    return directions.Search(encoder, synthesis, head, 500, 3)


@pytest.fixture(scope="module")
def found(search) -> directions.Directions:
    return search.find()


def two_heaps(count: int = 4000, num_ws: int = 3) -> codes.Components:
    """Codes in two heaps that lie far apart, so that a normal distribution is a poor likeness."""
    generator = torch.Generator().manual_seed(0)
    values = 0.1 * torch.randn(count, 2, generator=generator)
    values[:, 0] += torch.where(torch.arange(count) % 2 == 0, 1.0, -1.0)
    back = torch.eye(2, num_ws * 512)
    return codes.Components(torch.full((num_ws * 512,), 3.0), back, values, 1.0)


@pytest.fixture(scope="module")
def learned() -> mapping.Mapping:
    config = mapping.MappingConfig(num_ws=3, coordinates=2, width=64, layers=2)
    return mapping.fit(two_heaps(), config, Budget(1600), 0)


def sampled(network: mapping.Mapping, count: int = 1000) -> torch.Tensor:
    with torch.no_grad():
        return network(torch.randn(count, 512, generator=torch.Generator().manual_seed(1)))


def test_a_mapping_finds_the_heaps_that_a_normal_distribution_misses(learned) -> None:
    normal = mapping.gaussian(two_heaps(), learned.config)
    between = {
        name: float(((sampled(network)[:, 0, 0] - 3.0).abs() < 0.5).float().mean())
        for name, network in (("flow", learned), ("normal", normal))
    }
    assert between["normal"] > 0.3
    assert between["flow"] < 0.15


def test_samples_have_the_mean_and_covariance_of_the_codes(learned) -> None:
    goal = two_heaps().values
    got = sampled(learned, 8000)[:, 0, :2] - 3.0
    assert torch.allclose(got.mean(0), goal.mean(0), atol=0.05)
    assert torch.allclose(torch.cov(got.T), torch.cov(goal.T), atol=0.05)


def test_the_exported_mapping_is_the_same_in_both_files(learned, tmp_path: Path) -> None:
    mapping.export(learned, tmp_path, {"seed": 0})
    z = torch.randn(1, 512, generator=torch.Generator().manual_seed(2))
    again = mapping.load_mapping(tmp_path)
    session = ort.InferenceSession(tmp_path / "mapping.onnx", providers=["CPUExecutionProvider"])
    (w,) = session.run(["w"], {"z": z.numpy()})
    with torch.no_grad():
        assert np.abs(again(z).numpy() - w).max() < 1e-4
    assert w.shape == (1, 3, 512)


def test_a_mapping_that_cannot_be_read_is_named(learned, tmp_path: Path) -> None:
    with pytest.raises(FurrowError, match="holds no mapping network") as caught:
        mapping.load_mapping(tmp_path)
    assert caught.value.code == "missing_model"
    mapping.export(learned, tmp_path, {})
    description = tmp_path / "mapping.json"
    data = json.loads(description.read_text())
    description.write_text(json.dumps(data | {"mapping": data["mapping"] | {"width": 32}}))
    with pytest.raises(FurrowError, match=r"mapping\.safetensors is damaged .*mapping\.json"):
        mapping.load_mapping(tmp_path)
    description.write_text("{}")
    with pytest.raises(FurrowError, match=r"mapping\.json is damaged"):
        mapping.load_mapping(tmp_path)
    description.write_text(json.dumps(data))
    weights = tmp_path / "mapping.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(FurrowError, match=r"mapping\.safetensors is damaged"):
        mapping.load_mapping(tmp_path)


def test_components_hold_what_maps_show(networks, head) -> None:
    encoder, synthesis = networks
    people = codes.draw_people(head, 600, 4)
    mask = codes.skin_mask(head, RESOLUTION)
    none = torch.zeros(synthesis.num_ws, 512)
    found = codes.components(encoder, synthesis, *people, mask, none, IMAGES)
    w = encoder(people[0][:20], people[1][:20])
    lines = codes.line_maps(synthesis, w, RESOLUTION) * mask
    kept = codes.line_maps(synthesis, found.codes(found.values[:20]), RESOLUTION) * mask
    lost = (kept - lines).square().sum() / (lines - lines.mean(0)).square().sum()
    assert found.shown > 0.95
    assert lost < 0.05


def test_attributes_read_depth_and_asymmetry(search, head) -> None:
    attributes = search.attributes
    lines = attributes.lines(search.w[:4])
    before = attributes.of_lines(lines)
    twice = attributes.of_lines(2 * lines)
    assert torch.allclose(twice[:, 1] - before[:, 1], torch.tensor(math.log(2)), atol=1e-3)
    assert torch.allclose(twice[:, 2], before[:, 2], atol=1e-3)
    assert torch.allclose(attributes.of_lines(lines.flip(3))[:, 2], -before[:, 2], atol=0.01)
    # The character's left is +X.
    skin = chart(head, attributes.resolution)
    left = torch.from_numpy(skin.image(skin.position[:, 0]) > 0)
    deeper_left = attributes.of_lines(lines * (1 + left))
    assert torch.allclose(deeper_left[:, 2] - before[:, 2], torch.tensor(math.log(2)), atol=0.01)


def test_furrow_depth_deepens_the_same_lines(search, found) -> None:
    w = search.w[450:460]
    lines = search.attributes.lines(w)
    for value in (-1.0, 1.0):
        moved = search.attributes.lines(found.apply(w, "furrow_depth", value))
        wrong = moved - (1 + directions.DEPTH_GAIN * value) * lines
        assert wrong.square().sum() < 0.01 * lines.square().sum()


def test_sliders_move_their_own_attribute_most(search, found) -> None:
    table = directions.effects(found, search.attributes, search.w[450:490], 4)
    for name, least in (("pore_strength", 0.3), ("asymmetry", 0.05)):
        own = ADJUSTMENTS.index(name)
        (down, _), (up, _) = (table[name][value] for value in (-1.0, 1.0))
        assert down[own] < -least < least < up[own]
        for other in (i for i in range(4) if i != own and ADJUSTMENTS[i] != "skin_age"):
            assert abs(up[other] - down[other]) < 0.5 * (up[own] - down[own])


def test_directions_are_read_as_they_were_written(found, tmp_path: Path) -> None:
    path = tmp_path / "directions.safetensors"
    found.write(path)
    again = directions.read_directions(path, NUM_WS)
    for name in ADJUSTMENTS:
        assert torch.allclose(again.vectors[name], found.vectors[name], rtol=2e-3, atol=1e-4)
    assert torch.allclose(again.depth_gain, found.depth_gain, rtol=2e-3)
    with pytest.raises(FurrowError, match="it is of another generator"):
        directions.read_directions(path, 18)
