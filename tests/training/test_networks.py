"""The detail networks: what they compute, how they train, what they leave on disk."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

sys.path.insert(0, str(Path(__file__).parent))

import standin  # type: ignore[import-not-found]
import torch
from furrow.backend.detail.engines.torch_layers import LocalBasis, Relief
from furrow.backend.detail.engines.torch_networks import (
    Encoder,
    EncoderConfig,
    Synthesis,
    SynthesisConfig,
    load,
    style_split,
)
from furrow.backend.errors import FurrowError
from furrow.backend.head.bilinear import Head
from furrow.training.dnpm.bases import Bases, fit_bases
from furrow.training.dnpm.inversion import without_convolutions
from furrow.training.dnpm.loop import run_stage
from furrow.training.dnpm.regression import regression, restore_amplitude
from furrow.training.dnpm.samples import correct, draw_samples, samples_of
from furrow.training.dnpm.setup import Networks, Options, StageOptions, networks, read_options
from furrow.training.dnpm.train import Sets, samples_on_disk, train
from furrow.training.encoder.train import fit
from furrow.training.export.detail import export
from furrow.training.maps.data import Maps, draw
from furrow.training.networks.basis import fit_images, project
from furrow.training.networks.losses import furrow_loss
from furrow.training.networks.schedule import Budget

TINY = Options(
    resolution=128,
    channels=(16, 16, 16, 16, 8, 4),
    const_channels=(4, 4, 2, 0),
    basis_images=(0, 6, 4, 0),
    hidden=(128,) * 5,
    unit_mm=0.05,
    shape_gain=0.02,
    weight_decay=0.01,
    bfloat16=False,
    encoder=StageOptions(None, 1500, 64, 3e-3),
    relief=StageOptions(None, 6, 2, 2e-3),
    convolutions=StageOptions(None, 100, 8, 5e-3),
)


EVERY = np.arange(180)
"""All samples of the set that bases are fitted on."""


def maps(people: int, resolution: int, seed: int) -> Maps:
    rng = np.random.default_rng(seed)
    identity, expression, images = [], [], []
    for _ in range(people):
        person = standin.random_identity(rng)
        for _ in range(3):
            weights = standin.random_expression(rng)
            identity.append(person)
            expression.append(weights)
            images.append(standin.stand_in_map(person, weights, resolution))
    relief = 0.02 * rng.standard_normal((people, resolution, resolution))
    return Maps(
        identity=np.stack(identity),
        expression=np.stack(expression),
        map=np.stack(images).astype(np.float16),
        relief=relief.astype(np.float16),
        mask=np.ones((resolution, resolution), np.float32),
        digest="",
        texel_mm=0.55,
        per_identity=3,
        made_by={},
    )


@pytest.fixture(scope="module")
def sets() -> Sets:
    return Sets(maps(60, 64, 1), maps(4, 128, 2))


@pytest.fixture(scope="module")
def fitted(sets: Sets, tmp_path_factory: pytest.TempPathFactory) -> tuple[Networks, Bases]:
    torch.manual_seed(0)
    model = networks(TINY, (26, 52), 0.3)
    folder = tmp_path_factory.mktemp("bases")
    return model, fit_bases(model.synthesis, sets.half, EVERY, folder / "bases.pt")


def share_explained(made: torch.Tensor, target: torch.Tensor) -> float:
    return 1 - float((made - target).square().sum() / target.square().sum())


def targets(found: Maps, rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(found.map[rows].astype(np.float32))[:, None]


def test_patches_of_a_local_basis_join_without_a_seam() -> None:
    """As many images as a patch has texels draw everything, also where patches overlap."""
    basis = LocalBasis(32, 16)
    torch.manual_seed(0)
    images = torch.randn(60, 1, 32, 32)
    everywhere = torch.ones(1, 1, 32, 32)
    fit_images(basis, images, everywhere)
    with torch.no_grad():
        again = basis.mixture(project(basis, images, everywhere))
    assert torch.allclose(again, images, atol=1e-3)


def test_bases_draw_maps_of_unseen_people_and_are_kept(
    fitted: tuple[Networks, Bases], sets: Sets, tmp_path: Path
) -> None:
    _, bases = fitted
    unseen = targets(maps(20, 64, 9), np.arange(60))
    with torch.no_grad():
        style = bases.styles(unseen)
        coarse = torch.nn.functional.interpolate(
            bases.coarse(style[:, 0]), scale_factor=2.0, mode="bilinear"
        )
        made = (coarse + bases.fine(style[:, 1])) * bases.unit
        alone = share_explained(coarse * bases.unit, unseen)
    assert share_explained(made, unseen) > 0.75
    assert share_explained(made, unseen) > alone
    again = networks(TINY, (26, 52), 0.3)
    path = tmp_path / "bases.pt"
    first = fit_bases(again.synthesis, sets.half, EVERY, path)
    kept = fit_bases(networks(TINY, (26, 52), 0.3).synthesis, sets.half, EVERY, path)
    assert kept.fine.images.equal(first.fine.images)
    assert kept.coarse_variance.equal(first.coarse_variance)


def test_a_stage_resumes_to_the_same_curve(
    fitted: tuple[Networks, Bases], sets: Sets, tmp_path: Path
) -> None:
    _, bases = fitted
    samples = samples_of(bases, sets.half, np.arange(len(sets.half.map)))
    variance = torch.stack([bases.coarse_variance, bases.fine_variance])

    def go(folder: str, halt_at: int | None = None) -> np.ndarray:
        torch.manual_seed(1)
        encoder = networks(TINY, (26, 52), 0.3).encoder
        stage = regression(encoder, samples, variance, TINY.wanted, 64, 3e-3, 0.3, False)
        (tmp_path / folder).mkdir(exist_ok=True)
        run_stage(stage, tmp_path / folder, None, 150, 0, halt_at=halt_at)
        rows = np.genfromtxt(tmp_path / folder / "encoder.csv", delimiter=",", names=True)
        return rows["loss"]

    whole = go("whole")
    assert whole[-10:].mean() < 0.8 * whole[:10].mean()
    assert len(go("halted", halt_at=37)) == 37
    np.testing.assert_allclose(go("halted"), whole, rtol=1e-4)


def test_a_diverging_stage_stops_and_keeps_its_last_good_state(
    fitted: tuple[Networks, Bases], sets: Sets, tmp_path: Path
) -> None:
    _, bases = fitted
    samples = samples_of(bases, sets.half, np.arange(len(sets.half.map)))
    variance = torch.stack([bases.coarse_variance, bases.fine_variance])
    encoder = networks(TINY, (26, 52), 0.3).encoder
    stage = regression(encoder, samples, variance, TINY.wanted, 32, 3e-3, 0.3, False)
    run_stage(stage, tmp_path, None, 20, 0, halt_at=5)
    good = (tmp_path / "encoder.pt").read_bytes()
    with torch.no_grad():
        encoder.layer1.weight.fill_(torch.nan)
    stage.step = lambda rng: {"folds": 0.0, "loss": float("nan")}
    with pytest.raises(FurrowError, match="last good state"):
        run_stage(stage, tmp_path, None, 20, 0)
    assert (tmp_path / "encoder.pt").read_bytes() == good


def test_lines_of_unseen_people_get_their_depth_back(
    fitted: tuple[Networks, Bases], sets: Sets
) -> None:
    model, bases = copy.deepcopy(fitted)
    samples = samples_of(bases, sets.half, EVERY)
    a, b = torch.from_numpy(samples.identity), torch.from_numpy(samples.expression)
    with torch.no_grad():
        for head in model.encoder.heads:  # an encoder that is not sure of anything
            head.weight.mul_(0.5)
        w = model.encoder(a, b)[:, TINY.wanted[0]]
        before = bases.coarse.coefficients(w)
        truth = bases.coarse.coefficients(torch.from_numpy(samples.styles[:, 0]).float())
        restore_amplitude(model.encoder, (bases.coarse, bases.fine), samples, TINY.wanted, 1.0)
        after = bases.coarse.coefficients(w)
    ratio = truth.std(0) / before.std(0)
    known = (ratio > 1.0) & (ratio < 2.5) & (truth.std(0) > 1e-3)
    assert known.any()
    assert torch.allclose(after.std(0)[known], truth.std(0)[known], rtol=0.01)
    assert torch.allclose(after.mean(0), before.mean(0), atol=1e-3)
    assert (after.std(0) >= before.std(0) * 0.999).all()


def test_training_leaves_networks_that_follow_people_and_come_back_from_disk(
    sets: Sets, tmp_path: Path
) -> None:
    model = train(TINY, sets, samples_on_disk(sets), tmp_path)
    known = np.flatnonzero(sets.half.person > 20)
    with torch.no_grad():
        w = model.encoder(
            torch.from_numpy(sets.half.identity[known]),
            torch.from_numpy(sets.half.expression[known]),
        )
        made = model.synthesis.lower(w, 64)[1] * TINY.unit_mm
    target = targets(sets.half, known)
    assert share_explained(made, target) > 0.4
    with torch.no_grad():
        plain = without_convolutions(model.synthesis).lower(w, 64)[1] * TINY.unit_mm
    mask = torch.ones(1, 1, 64, 64)
    with_them, without = (
        float(furrow_loss(image / TINY.unit_mm, target / TINY.unit_mm, mask))
        for image in (made, plain)
    )
    assert with_them < without, "what the convolutions were trained for"
    assert (tmp_path / "relief.csv").exists()
    export(model, tmp_path, {"data": {}})
    encoder, synthesis = load(tmp_path)
    noise = torch.randn(1, 1, 128, 128)
    person, weights = (torch.from_numpy(v[:1]) for v in (sets.half.identity, sets.half.expression))
    with torch.no_grad():
        maps_mm = [
            decoder(code(person, weights), noise)
            for code, decoder in ((model.encoder, model.synthesis), (encoder, synthesis))
        ]
    assert torch.allclose(*maps_mm, atol=1e-6)
    stored = sum((tmp_path / f"{n}.safetensors").stat().st_size for n in ("encoder", "generator"))
    count = sum(p.numel() for p in model.parameters())
    assert stored < 1.6 * count, "large parameters take 8 bits each"


def test_a_configuration_says_what_it_does_not_know(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text('{"people": 10, "encoder": {"minutes": 1.5}}')
    options = read_options(file)
    assert (options.people, options.encoder.minutes) == (10, 1.5)
    for text, said in (
        ('{"peple": 10}', "peple"),
        ('{"encoder": {"minuets": 1}}', "minuets"),
        ("[1]", "no object"),
        ("{", "no JSON"),
    ):
        file.write_text(text)
        with pytest.raises(FurrowError, match=said):
            read_options(file)
    with pytest.raises(FurrowError, match="no configuration"):
        read_options(tmp_path / "absent.json")


def test_coarse_samples_are_corrected_by_people_drawn_finer(tmp_path: Path) -> None:
    head = Head.load()
    half = draw(tmp_path / "half", head, 128, 4, 2, seed=3, workers=1)
    sizes = replace(TINY, resolution=256, channels=(4,) * 7, const_channels=(0,) * 5,
                    basis_images=(0, 0, 3, 2, 0))  # fmt: skip
    model = networks(sizes, (half.identity.shape[1], 52), 0.3)
    bases = fit_bases(model.synthesis, half, np.arange(8), tmp_path / "bases.pt")
    held = samples_of(bases, half, np.arange(8))
    coarse = draw_samples(tmp_path / "coarse", head, bases, 0, 6, 2, 3, 64)
    assert np.array_equal(coarse.identity[:8], held.identity), "the same people"
    assert np.isnan(coarse.styles[:, 1]).all()
    better = correct(coarse, held, strength=1e-3)
    assert len(better.identity) == 4
    again = draw_samples(tmp_path / "coarse", head, bases, 0, 6, 2, 3, 64)
    assert again.digest == coarse.digest


def test_relief_is_nothing_without_noise_and_the_same_in_a_crop() -> None:
    torch.manual_seed(0)
    relief = Relief(256, 0.3)
    torch.nn.init.normal_(relief.texture2, std=0.3)
    torch.nn.init.normal_(relief.mixing_weight)
    w, noise = torch.randn(1, 512), torch.randn(1, 1, 256, 256)
    with torch.no_grad():
        whole = relief(w, noise)
        part = relief(w, noise[..., 64:192, 96:224], (64, 96, 128))
        assert not relief(w, torch.zeros_like(noise)).any()
        stronger = relief(w, 2 * noise)
    inner = (..., slice(24, -24), slice(24, -24))
    assert float(whole.std()) > 1e-3
    assert torch.allclose(2 * whole, stronger, atol=1e-5), "pores keep their shape when they deepen"
    # Coarse bands turn the noise over, so that only the finest ones are the same in a part.
    assert part[inner].shape == (1, 1, 80, 80)


def test_a_smaller_set_holds_the_first_people_of_a_larger_one(tmp_path: Path) -> None:
    head = Head.load()
    many = draw(tmp_path / "many", head, 128, 3, 2, seed=5, workers=2)
    few = draw(tmp_path / "few", head, 64, 2, 1, seed=5, relief=True, workers=1)
    assert np.array_equal(few.identity, many.identity[[0, 2]])
    assert np.array_equal(few.expression, many.expression[[0, 2]])
    assert not np.array_equal(many.expression[0], many.expression[1])
    assert few.relief.shape == (2, 64, 64)
    again = draw(tmp_path / "few", head, 64, 2, 1, seed=5, relief=True, workers=1)
    assert again.digest == few.digest


def test_the_papers_encoder_has_its_113_million_parameters() -> None:
    with torch.device("meta"):
        encoder = Encoder(EncoderConfig(50, 52, style_split(1024), (7680, 7680)))
    count = sum(p.numel() for p in encoder.parameters())
    assert count == pytest.approx(113.2e6, rel=0.03)
    assert encoder.num_ws == 18


def test_activations_keep_their_scale_through_every_up_sampling() -> None:
    torch.manual_seed(0)
    synthesis = Synthesis(SynthesisConfig(128, (16,) * 6, (4, 8, 16, 8), (0,) * 4)).eval()
    w = torch.randn(8, synthesis.num_ws, 512)
    synthesis.calibrate(w, 128)
    with torch.no_grad():
        for resolution in (8, 16, 32, 64, 128):
            x, _ = synthesis.lower(w, resolution)
            assert 0.6 < float(x.square().mean().sqrt()) < 1.6, resolution


def test_one_sample_and_a_batch_give_the_same_map() -> None:
    torch.manual_seed(0)
    synthesis = Synthesis(SynthesisConfig(64, (16,) * 5, (4, 4, 4), (0, 2, 0))).eval()
    for parameter in synthesis.parameters():  # output layers start at zero
        torch.nn.init.normal_(parameter, std=0.5)
    w, noise = torch.randn(3, synthesis.num_ws, 512), torch.randn(3, 1, 64, 64)
    with torch.no_grad():
        batch = synthesis(w, noise)
        single = torch.cat([synthesis(w[i : i + 1], noise[i : i + 1]) for i in range(3)])
    assert torch.allclose(batch, single, atol=1e-4 * float(batch.abs().max()))


def test_an_encoder_learns_a_frozen_generator(fitted: tuple[Networks, Bases], sets: Sets) -> None:
    model, _ = fitted
    torch.manual_seed(0)
    encoder = networks(TINY, (26, 52), 0.3).encoder
    before = {k: v.clone() for k, v in model.synthesis.state_dict().items()}
    fit(encoder, model.synthesis, sets.half, Budget(None, 150), 64, batch=16)
    a, b = (torch.from_numpy(v) for v in (sets.half.identity, sets.half.expression))
    with torch.no_grad():
        made = model.synthesis.lower(encoder(a, b), 64)[1] * TINY.unit_mm
    assert share_explained(made, targets(sets.half, EVERY)) > 0.2
    assert all(v.equal(before[k]) for k, v in model.synthesis.state_dict().items())
