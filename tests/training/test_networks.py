"""The detail networks: what they compute, how they train, what they leave on disk."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

sys.path.insert(0, str(Path(__file__).parent))

import standin  # type: ignore[import-not-found]
import torch
from furrow.backend.head import Head
from furrow.backend.torch_layers import Relief
from furrow.backend.torch_networks import (
    Encoder,
    EncoderConfig,
    Synthesis,
    SynthesisConfig,
    style_split,
)
from furrow.training.dnpm.data import Maps, draw
from furrow.training.dnpm.inversion import without_convolutions
from furrow.training.dnpm.setup import Options, networks
from furrow.training.dnpm.train import Run
from furrow.training.encoder.train import fit
from furrow.training.networks.losses import band_energy, band_mixing, strengths_for
from furrow.training.networks.schedule import Budget

TINY = Options(
    resolution=64,
    channels=(16, 16, 16, 16, 16),
    const_channels=(4, 8, 4),
    hidden=(64,) * 5,
    basis_from=32,
    batch=4,
    bfloat16=False,
    stages=(("basis", 0.5), ("grow32", 0.3), ("detail", 0.2)),
)


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
def data() -> tuple[Maps, Maps]:
    return maps(40, 32, 1), maps(10, 64, 2)


def test_training_lowers_the_loss_and_resumes_to_the_same_curve(
    data: tuple[Maps, Maps], tmp_path: Path
) -> None:
    def begin(name: str) -> Run:
        (tmp_path / name).mkdir(exist_ok=True)
        return Run(TINY, *data, tmp_path / name)

    whole = begin("whole")
    whole.train(Budget(None, 60))
    for stage in ("basis", "detail"):
        losses = [float(row["loss"]) for row in whole.log if row["stage"] == stage]
        assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:3]), stage

    halted = begin("halted")
    halted.train(Budget(None, 60), halt_at=37)
    resumed = begin("halted")
    resumed.resume()
    resumed.train(Budget(None, 60))
    assert [row["loss"] for row in resumed.log] == pytest.approx(
        [row["loss"] for row in whole.log], rel=1e-4
    )


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
    synthesis = Synthesis(SynthesisConfig(128, (16,) * 6, (4, 8, 16, 8))).eval()
    w = torch.randn(8, synthesis.num_ws, 512)
    with torch.no_grad():
        for block in synthesis.blocks:  # as principal components come: in the map's small unit
            if block.const:
                block.noise_const.mul_(0.01)  # type: ignore[operator, union-attr]
    synthesis.calibrate(w, 128)
    with torch.no_grad():
        for resolution in (8, 16, 32, 64, 128):
            x, _ = synthesis.lower(w, resolution)
            assert 0.6 < float(x.square().mean().sqrt()) < 1.6, resolution


def test_convolutions_add_to_the_basis_for_people_whom_the_encoder_does_not_know(
    data: tuple[Maps, Maps], tmp_path: Path
) -> None:
    options = replace(
        TINY, kept_back=0.4, stages=(("basis", 0.4), ("grow32", 0.5), ("detail", 0.1))
    )
    run = Run(options, *data, tmp_path)
    run.train(Budget(None, 500))
    coarse = run.coarse
    rows = slice(0, run.kept_back)
    w = run.shadow.encoder(
        torch.from_numpy(coarse.identity[rows]), torch.from_numpy(coarse.expression[rows])
    )
    target = torch.from_numpy(coarse.map[rows].astype(np.float32))[:, None] / run.unit
    wrong = [
        float((synthesis.lower(w, 32)[1] - target).square().sum())
        for synthesis in (run.shadow.synthesis, without_convolutions(run.shadow.synthesis))
    ]
    assert wrong[0] < 0.97 * wrong[1]


def test_one_sample_and_a_batch_give_the_same_map() -> None:
    torch.manual_seed(0)
    synthesis = Synthesis(SynthesisConfig(64, (16,) * 5, (4, 4, 4))).eval()
    for parameter in synthesis.parameters():  # output layers start at zero
        torch.nn.init.normal_(parameter, std=0.5)
    w, noise = torch.randn(3, synthesis.num_ws, 512), torch.randn(3, 1, 64, 64)
    with torch.no_grad():
        batch = synthesis(w, noise)
        single = torch.cat([synthesis(w[i : i + 1], noise[i : i + 1]) for i in range(3)])
    assert torch.allclose(batch, single, atol=1e-4 * float(batch.abs().max()))


def test_relief_has_the_energy_of_the_skin_it_imitates() -> None:
    torch.manual_seed(0)
    network = Relief(16, 64, 0.55)
    relief = torch.randn(1, 1, 256, 256) * 0.01
    relief[..., :128] *= 4.0  # rough on one side
    relief = torch.nn.functional.avg_pool2d(relief, 3, 1, 1)
    wanted = strengths_for(relief, band_mixing(network, 0.55, 256), 0.55)
    with torch.no_grad():
        made = network(wanted, torch.randn(1, 1, 256, 256))
    for side in (slice(10, 54), slice(74, 118)):
        got = band_energy(made, 0.55)[..., side].mean((0, 2, 3)).sqrt()
        true = band_energy(relief, 0.55)[..., side].mean((0, 2, 3)).sqrt()
        assert torch.allclose(got, true, rtol=0.15), (got, true)


def test_an_encoder_learns_a_frozen_generator(data: tuple[Maps, Maps]) -> None:
    torch.manual_seed(0)
    coarse, _ = data
    made = networks(TINY, *data)
    for block in filter(lambda block: block.const, made.synthesis.blocks):
        torch.nn.init.normal_(block.noise_weight)  # type: ignore[arg-type]
        torch.nn.init.normal_(block.noise_const, std=0.1)  # type: ignore[arg-type]
    before = {k: v.clone() for k, v in made.synthesis.state_dict().items()}
    losses = fit(made.encoder, made.synthesis, coarse, Budget(None, 60), 32, batch=4)
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    assert all(v.equal(before[k]) for k, v in made.synthesis.state_dict().items())
