"""The stages of training: what they learn, that they go on where they stopped, what they leave on disk."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

sys.path.insert(0, str(Path(__file__).parent))

import standin  # type: ignore[import-not-found]
import torch
from furrow.backend.detail.engines.torch_networks import load
from furrow.backend.errors import FurrowError
from furrow.backend.head.bilinear import Head
from furrow.training.dnpm.bases import Bases, fit_bases
from furrow.training.dnpm.regression import regression, restore_amplitude
from furrow.training.dnpm.relief import adversarial, begin
from furrow.training.dnpm.samples import correct, draw_samples, samples_of
from furrow.training.dnpm.setup import Networks, Options, StageOptions, networks, read_options
from furrow.training.dnpm.train import Sets, samples_on_disk, train
from furrow.training.encoder import image_to_image, vertices
from furrow.training.encoder.train import fit, matching
from furrow.training.export.detail import export
from furrow.training.maps.data import Maps, draw
from furrow.training.space import mapping
from furrow.training.spine.stage import Budget, Stage, run

CPU = torch.device("cpu")

TINY = Options(
    resolution=128,
    basis_images=(0, 6, 4, 0),
    hidden=(128,) * 5,
    unit_mm=0.05,
    shape_gain=0.02,
    weight_decay=0.01,
    bfloat16=False,
    encoder=StageOptions(1500, 64, 3e-3),
    relief=StageOptions(6, 2, 2e-3),
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


def encoder_stage(sets: Sets, bases: Bases) -> Stage:
    samples = samples_of(bases, sets.half, EVERY)
    variance = torch.stack([bases.coarse_variance, bases.fine_variance])
    encoder = networks(TINY, (26, 52), 0.3).encoder
    return regression(encoder, samples, variance, TINY.styles, TINY.encoder, 0.3, False)


def relief_stage(sets: Sets, bases: Bases) -> Stage:
    relief = networks(TINY, (26, 52), 0.3).synthesis.relief
    begin(relief, sets.full, 0.05)
    return adversarial(relief, sets.full, 0.05, 2, 2e-3)


def frozen() -> Networks:
    """What a stage takes as it is."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return networks(TINY, (26, 52), 0.3)


def matching_stage(sets: Sets, bases: Bases) -> Stage:
    encoder = networks(TINY, (26, 52), 0.3).encoder
    return matching(encoder, frozen().synthesis, sets.half, 64, 4)


def mapping_stage(sets: Sets, bases: Bases) -> Stage:
    config = mapping.MappingConfig(num_ws=3, coordinates=4, width=16, layers=2)
    codes = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    return mapping.flow_matching(mapping.Mapping(config), codes, 16)


def readout_stage(sets: Sets, bases: Bases) -> Stage:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(200, 30, generator=generator), torch.randn(200, 7, generator=generator)
    return vertices.readout(x, y, "vertices", STEPS)


def pictures_stage(sets: Sets, bases: Bases) -> Stage:
    head = Head.load()
    people = [head.random(seed).vector for seed in range(4)]
    maps = replace(
        sets.half, identity=np.stack(people), expression=sets.half.expression[:4],
        map=np.random.default_rng(0).normal(0, 0.1, (4, 256, 256)).astype(np.float16),
        mask=np.ones((256, 256), np.float32),
    )  # fmt: skip
    return image_to_image.position_maps(head, maps, STEPS, CPU, batch=2)


STAGES = (
    encoder_stage, relief_stage, matching_stage, mapping_stage, readout_stage, pictures_stage,
)  # fmt: skip
STEPS, HALT = 5, 3
"""Of the test: 3 is odd, and just before the relief's first gradient penalty."""


@pytest.mark.parametrize("begun", STAGES, ids=lambda f: f.__name__.removesuffix("_stage"))
def test_a_stage_that_was_cut_off_goes_on_to_the_same_losses(
    begun: Callable[[Sets, Bases], Stage],
    fitted: tuple[Networks, Bases],
    sets: Sets,
    tmp_path: Path,
) -> None:
    def go(folder: str, seed: int, halt_at: int | None = None) -> Stage:
        torch.manual_seed(seed)
        stage = begun(sets, fitted[1])
        run(stage, tmp_path / folder, Budget(STEPS), "furrow train", halt_at=halt_at)
        return stage

    whole = go("whole", 1)
    cut = go("cut", 1, HALT)
    assert (cut.step, len(cut.log)) == (HALT, HALT)
    again = go("cut", 2)  # other weights and random numbers, until the checkpoint is read
    names = [name for name in whole.log[0] if name not in ("step", "seconds")]
    assert [[row[n] for n in names] for row in again.log] == [
        [row[n] for n in names] for row in whole.log
    ]
    assert len({row[names[-1]] for row in whole.log}) == STEPS
    for kind in ("networks", "averages"):
        for name, network in getattr(whole, kind).items():
            other = getattr(again, kind)[name].state_dict()
            assert all(value.equal(other[key]) for key, value in network.state_dict().items())


def test_the_encoders_regression_learns(fitted: tuple[Networks, Bases], sets: Sets) -> None:
    torch.manual_seed(1)
    stage = encoder_stage(sets, fitted[1])
    run(stage, None, Budget(150), "furrow train dnpm")
    losses = [row["loss"] for row in stage.log]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_lines_of_unseen_people_get_their_depth_back(
    fitted: tuple[Networks, Bases], sets: Sets
) -> None:
    model, bases = copy.deepcopy(fitted)
    samples = samples_of(bases, sets.half, EVERY)
    a, b = torch.from_numpy(samples.identity), torch.from_numpy(samples.expression)
    with torch.no_grad():
        for head in model.encoder.heads:  # an encoder that is not sure of anything
            assert isinstance(head, torch.nn.Linear)
            head.weight.mul_(0.5)
        w = model.encoder(a, b)[:, TINY.styles[0]]
        before = bases.coarse.coefficients(w)
        truth = bases.coarse.coefficients(torch.from_numpy(samples.styles[:, 0]).float())
        restore_amplitude(model.encoder, (bases.coarse, bases.fine), samples, TINY.styles, 1.0)
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
    model = train(TINY, sets, samples_on_disk(sets), tmp_path, CPU)
    known = np.flatnonzero(sets.half.person > 20)
    with torch.no_grad():
        w = model.encoder(
            torch.from_numpy(sets.half.identity[known]),
            torch.from_numpy(sets.half.expression[known]),
        )
        made = model.synthesis.lower(w, 64)[1] * TINY.unit_mm
    target = targets(sets.half, known)
    assert share_explained(made, target) > 0.4
    assert (tmp_path / "relief.csv").exists()
    export(model.encoder, model.synthesis, tmp_path, {"data": {}})
    encoder, synthesis = load(tmp_path)
    noise = torch.randn(1, 1, 128, 128)
    person, weights = (torch.from_numpy(v[:1]) for v in (sets.half.identity, sets.half.expression))
    with torch.no_grad():
        expected = model.synthesis(model.encoder(person, weights), noise)
        map_mm = synthesis(encoder(person, weights), noise)
    assert torch.allclose(expected, map_mm, atol=1e-6)
    stored = sum((tmp_path / f"{n}.safetensors").stat().st_size for n in ("encoder", "generator"))
    count = sum(p.numel() for p in model.parameters())
    assert stored < 1.6 * count, "large parameters take 8 bits each"


def test_a_configuration_says_what_it_does_not_know(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text('{"people": 10, "encoder": {"steps": 7, "minutes": 1.5}}')
    options = read_options(file)
    assert (options.people, options.encoder.budget) == (10, Budget(7, 1.5))
    for text, said in (
        ('{"peple": 10}', "peple"),
        ('{"encoder": {"minuets": 1}}', "minuets"),
        ('{"encoder": {"minutes": 1}}', "steps"),
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
    sizes = replace(TINY, resolution=256, basis_images=(0, 0, 3, 2, 0))
    model = networks(sizes, (half.identity.shape[1], 52), 0.3)
    bases = fit_bases(model.synthesis, half, np.arange(8), tmp_path / "bases.pt")
    held = samples_of(bases, half, np.arange(8))
    coarse = draw_samples(tmp_path, head, bases, 0, 6, 2, 3, 64)
    assert np.array_equal(coarse.identity[:8], held.identity), "the same people"
    assert np.isnan(coarse.styles[:, 1]).all()
    better = correct(coarse, held, strength=1e-3)
    assert len(better.identity) == 4
    again = draw_samples(tmp_path, head, bases, 0, 6, 2, 3, 64)
    assert again.digest == coarse.digest


def test_an_encoder_learns_a_frozen_generator(fitted: tuple[Networks, Bases], sets: Sets) -> None:
    model, _ = fitted
    torch.manual_seed(0)
    encoder = networks(TINY, (26, 52), 0.3).encoder
    before = {k: v.clone() for k, v in model.synthesis.state_dict().items()}
    fit(encoder, model.synthesis, sets.half, Budget(150), 64, batch=16)
    a, b = (torch.from_numpy(v) for v in (sets.half.identity, sets.half.expression))
    with torch.no_grad():
        made = model.synthesis.lower(encoder(a, b), 64)[1] * TINY.unit_mm
    assert share_explained(made, targets(sets.half, EVERY)) > 0.2
    assert all(v.equal(before[k]) for k, v in model.synthesis.state_dict().items())
