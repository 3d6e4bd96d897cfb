"""Figures on maps: what they punish, that baselines are real, and that records know what they are of."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from furrow.backend.detail.engines.torch_networks import (
    Encoder,
    EncoderConfig,
    Synthesis,
    SynthesisConfig,
)
from furrow.backend.errors import FurrowError
from furrow.backend.head.bilinear import Head
from furrow.training.corpus.sampler import sample_identity
from furrow.training.dnpm import inversion, sampling_quality
from furrow.training.encoder import baselines, evaluate, image_to_image, vertices
from furrow.training.encoder.scores import Evaluator, errors_db, summary
from furrow.training.maps.data import Maps, draw
from furrow.training.networks.metrics import BANDS_MM, band_energies, resized
from scipy import ndimage

LEARNED_ON = 256


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, head: Head) -> Path:
    """A folder with a training set of eight people, two maps each."""
    folder = tmp_path_factory.mktemp("sets")
    draw(folder / "train256", head, LEARNED_ON, 8, 2, 1)
    return folder


@pytest.fixture(scope="module")
def known(data: Path, head: Head) -> baselines.Baselines:
    return baselines.Baselines(data, head, resolution=64)


@pytest.fixture(scope="module")
def test_set(data: Path, head: Head) -> Maps:
    return draw(data / "test", head, 256, 2, 2, 100, relief=True)


def test_energy_lands_in_the_band_of_its_wavelength() -> None:
    everywhere = {"all": np.ones((256, 256), bool)}
    for wanted, wavelength in enumerate((1.4, 2.8, 5.7, 11.3)):
        wave = np.sin(2 * np.pi * 0.3 / wavelength * np.arange(256))[None].repeat(256, 0)
        (energies,) = band_energies(wave, everywhere, texel_mm=0.3)
        assert energies.argmax() == wanted


def test_methods_are_judged_by_what_they_miss(head: Head, test_set: Maps, perceptual: None) -> None:
    evaluator = Evaluator(head, test_set, resolution=256)

    def truth(row: int) -> tuple[torch.Tensor, torch.Tensor]:
        return evaluator.truth(row)

    def blurred(row: int) -> tuple[torch.Tensor, torch.Tensor]:
        soft = [ndimage.gaussian_filter(m[0, 0], 2.0)[None, None] for m in evaluator.truth(row)]
        return torch.from_numpy(soft[0]), torch.from_numpy(soft[1])

    def without_relief(row: int) -> tuple[torch.Tensor, torch.Tensor]:
        return evaluator.truth(row)[0], evaluator.truth(row)[0]

    methods = {"same": truth, "blurred": blurred, "bare": without_relief}
    rows = np.array([1, 3])
    found = evaluator.compare(methods, rows)
    figures = {name: summary(found[name], found["truth"], np.arange(len(rows))) for name in methods}
    assert figures["same"]["lpips"] == pytest.approx(0, abs=1e-6)
    assert figures["same"]["band_error_worst_db"] == pytest.approx(0, abs=1e-6)
    assert figures["blurred"]["psnr_db"] < 50 < figures["same"]["psnr_db"]
    assert figures["blurred"]["ssim"] < figures["same"]["ssim"]
    assert figures["bare"]["lpips"] < 1e-6 < figures["bare"]["lpips_whole"]
    assert figures["bare"]["band_error_plain_db"] < 1e-6 < figures["bare"]["band_error_worst_db"]
    errors = errors_db(found["blurred"], found["truth"], "whole", np.arange(len(rows)))
    assert errors.shape == (len(evaluator.regions[256]), len(BANDS_MM))
    assert (errors[:, 1] < errors[:, 3]).all()  # a blur takes the fine bands first


@pytest.mark.parametrize("name", ["mean", "expression", "nearest", "ridge"])
def test_baselines_learn_the_maps_that_they_saw(
    known: baselines.Baselines, head: Head, data: Path, name: str
) -> None:
    train, rows = known.train, np.arange(0, 16, 3)
    made = known.predict(name, train.identity[rows], train.expression[rows])
    target = resized(
        torch.from_numpy(np.asarray(train.map[rows], np.float32))[:, None], known.resolution
    )
    assert made.shape == target.shape
    error = float((made - target).square().mean())
    if name == "nearest":  # drawn at this resolution, which blurs other than the area mean
        assert error < 0.3 * float(target.square().mean())
    else:
        assert error < float((target - target.mean(0)).square().mean()) * 1.5
    assert list((data / "baselines").glob("components-*.safetensors"))


def test_an_encoder_of_vertices_learns_coefficients(
    known: baselines.Baselines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vertices, "learn", functools.partial(vertices.learn, steps=60))
    train = known.train
    made = known.predict("vertices_1.7K_skin", train.identity, train.expression)
    flat = known.predict("mean", train.identity, train.expression)
    target = resized(torch.from_numpy(np.asarray(train.map, np.float32))[:, None], 64)
    assert float((made - target).square().mean()) < 0.8 * float((flat - target).square().mean())


def test_points_lie_evenly_on_the_visible_skin(head: Head) -> None:
    points = vertices.sample_points(head, 300)
    places = points @ head.neutral(head.average().shape)
    assert np.allclose(points.sum(1), 1)
    gaps = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.eye(len(places))
    assert gaps.min(1).max() < 3 * gaps.min()
    assert (points @ head.groups["skin"]).min() > 0.5


def test_pictures_of_meshes_become_maps(head: Head, known: baselines.Baselines) -> None:
    train = known.train
    x = image_to_image.inputs(
        head, image_to_image.texel_points(head, 64), train.identity[:2], train.expression[:2]
    )
    assert x.shape == (2, 22, 64, 64)
    assert torch.allclose(x[0, :3], x[1, :3])  # one person's neutral face
    weights = image_to_image.learn(head, train, steps=2)
    made = image_to_image.apply(head, weights, train.identity[:1], train.expression[:1])
    assert made.shape == (1, 1, LEARNED_ON, LEARNED_ON)
    assert torch.isfinite(made).all()


def test_borrowed_relief_is_a_training_persons(known: baselines.Baselines, test_set: Maps) -> None:
    relief = known.relief(test_set.identity[0], 256)
    own = torch.from_numpy(test_set.relief_of(np.array([0])))[0]
    assert 0.3 < float(relief.std() / own.std()) < 3
    assert abs(float(np.corrcoef(relief.ravel(), own.ravel())[0, 1])) < 0.5


def test_an_unknown_baseline_and_a_set_of_other_people_are_named(
    known: baselines.Baselines, data: Path, head: Head
) -> None:
    with pytest.raises(FurrowError, match="no baseline median"):
        known.predict("median", known.train.identity[:1], known.train.expression[:1])
    with pytest.raises(FurrowError, match="other people"):
        baselines.Baselines(data, head, seed=2)


def test_records_of_other_data_or_computations_are_refused(
    known: baselines.Baselines, test_set: Maps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "RECORD", tmp_path / "baselines.json")
    with pytest.raises(FurrowError, match="no recorded baselines"):
        baselines.read_record(1, test_set)
    figures = {"subset": {"mean": {"psnr_db": 28.0}}}
    baselines.write_record(figures, known.train, test_set)
    assert baselines.read_record(1, test_set) == figures
    with pytest.raises(FurrowError, match="other people than these networks"):
        baselines.read_record(2, test_set)
    with pytest.raises(FurrowError, match="another test set"):
        baselines.read_record(1, known.train)
    record = json.loads(baselines.RECORD.read_text())
    record["computation"]["vertices"]["version"] = 0
    baselines.RECORD.write_text(json.dumps(record))
    with pytest.raises(FurrowError, match=r"vertices\.version was 0 and is 1\).*--full"):
        baselines.read_record(1, test_set)


def test_recorded_baselines_fit_the_computation_that_ships() -> None:
    assert json.loads(baselines.RECORD.read_text())["computation"] == baselines.computation()


def test_figures_name_the_best_baseline() -> None:
    worse = {"psnr_db": 20.0, "ssim": 0.5, "lpips": 0.2, "lpips_whole": 0.2}
    worse |= {"band_error_plain_db": 9.0, "band_error_worst_db": 9.0}
    better = {
        key: value + (1 if key in ("psnr_db", "ssim") else -0.1) for key, value in worse.items()
    }
    found = {f.name: f.value for f in evaluate.comparison(worse, {"a": worse, "b": better})}
    assert found["psnr_db"] == 20.0
    assert found["psnr_best_baseline_db"] == 21.0
    assert found["lpips_best_baseline"] == pytest.approx(0.1)
    assert found["band_error_worst_best_baseline_db"] == pytest.approx(8.9)


@pytest.fixture(scope="module")
def tiny() -> tuple[Encoder, Synthesis]:
    """Untrained networks at 64 texels whose maps vary with W+."""
    torch.manual_seed(0)
    synthesis = Synthesis(SynthesisConfig(64, (8,) * 5, (2, 2, 2), (0, 0, 4))).eval()
    with torch.no_grad():
        synthesis.scale.fill_(0.1)
        for part in (synthesis.blocks[-1].basis.images, synthesis.blocks[-1].basis.loadings):
            torch.nn.init.normal_(part, 0, 0.2)
    return Encoder(EncoderConfig(80, 52, (9, 1, 0), (16,) * 5)).eval(), synthesis


def test_inversion_finds_a_map_that_the_generator_can_make(
    tiny: tuple[Encoder, Synthesis],
) -> None:
    encoder, synthesis = tiny
    noise, mask = torch.zeros(1, 1, 64, 64), torch.ones(1, 1, 64, 64)
    with torch.inference_mode():
        target = synthesis(torch.randn(1, synthesis.num_ws, 512), noise)
    target = target.clone()
    found = inversion.invert(encoder, synthesis, target, mask, (60, 20))
    start = synthesis(encoder.w_avg[None], noise).detach()
    assert float((found - target).square().mean()) < 0.1 * float((start - target).square().mean())


def test_ways_through_w_are_measured_beside_blends(
    tiny: tuple[Encoder, Synthesis], perceptual: None
) -> None:
    _, synthesis = tiny
    codes = torch.randn(2, synthesis.num_ws, 512, generator=torch.Generator().manual_seed(1))

    def jumping(w: torch.Tensor) -> torch.Tensor:
        near = (w - codes[0]).square().mean((1, 2)) < (w - codes[1]).square().mean((1, 2))
        return sampling_quality.drawn_maps(
            synthesis, torch.where(near[:, None, None], *codes), 64, False
        )

    def smooth(w: torch.Tensor) -> torch.Tensor:
        return sampling_quality.drawn_maps(synthesis, w, 64, False)

    through, blend = sampling_quality.path_steps(smooth, codes)
    jumps, _ = sampling_quality.path_steps(jumping, codes)
    assert through < 3 and blend < 3
    assert jumps == pytest.approx(8)


def test_fresh_people_get_codes_and_maps_of_their_own(
    tiny: tuple[Encoder, Synthesis], head: Head
) -> None:
    encoder, synthesis = tiny
    codes = sampling_quality.encoded_codes(encoder, head, 3)
    assert codes.shape == (3, synthesis.num_ws, 512)
    maps = sampling_quality.drawn_maps(synthesis, codes, 64, True)
    assert maps.shape == (3, 1, 64, 64)
    assert (maps[0] - maps[1]).abs().max() > 1e-4


def test_quality_of_the_corpus_itself_is_the_floor() -> None:
    rng = np.random.default_rng(0)
    people = np.arange(40) // 2
    real = rng.normal(size=(40, 8)) + rng.normal(size=(20, 8))[people]
    good = sampling_quality.quality(real, people, rng.normal(size=(20, 8)) * 2**0.5)
    far = sampling_quality.quality(real, people, rng.normal(size=(20, 8)) + 9)
    assert good["frechet"] < 3 * good["frechet_floor"] < far["frechet"]
    assert far["precision"] == far["recall"] == 0
    assert good["recall_floor"] > 0.3


def test_copies_of_training_maps_are_noticed(
    tiny: tuple[Encoder, Synthesis], known: baselines.Baselines, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, synthesis = tiny
    train = known.train
    codes = torch.zeros(4, synthesis.num_ws, 512)

    def copies(*_: object) -> torch.Tensor:
        maps = torch.from_numpy(np.asarray(train.map[:4], np.float32))[:, None]
        return resized(maps, sampling_quality.COPIES_AT) + 1e-4

    monkeypatch.setattr(sampling_quality, "drawn_maps", copies)
    assert sampling_quality.copy_ratio(synthesis, codes, train) < 0.1


def test_people_of_the_line_figures_are_the_test_sets(head: Head, test_set: Maps) -> None:
    first = sample_identity(head, np.random.default_rng((evaluate.TEST_SEED, 0)))
    assert np.allclose(first.vector, test_set.identity[0])
