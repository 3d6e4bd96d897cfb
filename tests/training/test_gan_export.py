"""The paper's recipe, whole: a GAN, an encoder for it, and networks that the runtime plays."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from furrow.__main__ import main
from furrow.backend.detail.detail_model import DetailModel
from furrow.backend.detail.engines import engines
from furrow.backend.detail.engines.stylegan2 import GanConfig, SeededSynthesis
from furrow.backend.detail.engines.torch_networks import load
from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import parse_weights
from furrow.backend.formats.maps import read_map
from furrow.backend.head.bilinear import Head
from furrow.backend.process.server import Request
from furrow.backend.process.services import Services
from furrow.training.corpus import train as corpus
from furrow.training.encoder import train as encoder
from furrow.training.gan import files
from furrow.training.gan import train as gan
from furrow.training.networks.stylegan2 import Generator
from furrow.training.networks.stylegan_pickle import Imported

SIZE = 64
EXPRESSION = "browInnerUp=1,mouthSmileLeft=0.6"


def command(part: ModuleType, *options: object) -> None:
    """Run a part of ``furrow train`` as the command does."""
    parser = argparse.ArgumentParser()
    part.add_arguments(parser)
    part.run(parser.parse_args([str(option) for option in options]))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A set of maps, a run of the GAN on it, and the networks that are exported for its encoder."""
    root = tmp_path_factory.mktemp("recipe")
    folders = {name: root / name for name in ("set", "gan", "networks")}
    command(corpus, "--set", "test", "--people", 1, "--resolution", SIZE, "--processes", 1,
            "--output", folders["set"])  # fmt: skip
    command(gan, "--set", folders["set"], "--resolution", SIZE, "--channel-base", 256, "--batch", 4,
            "--device", "cpu", "--threads", 1, "--tick", 0.008, "--kimg", 0.008, "--out", folders["gan"])  # fmt: skip
    learn_encoder(folders["gan"], root, folders["networks"])
    return folders


def learn_encoder(generator: Path, root: Path, out: Path, *options: object) -> None:
    command(encoder, "--device", "cpu", "--threads", 1, "--generator", generator, "--set", root / "set", "--data", root / "data",
            "--steps", 20, "--hidden", "32,32,16,16,16", "--out", out, *options)  # fmt: skip


@pytest.fixture(scope="module")
def generator(folders: dict[str, Path]) -> Generator:
    return files.load_generator(folders["gan"] / "generator.safetensors")


def model(folder: Path, kind: str = "ort") -> DetailModel:
    return DetailModel(engines.load(kind, folder), folder)


def test_one_command_after_another_leads_from_maps_to_the_runtime(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    options = ["--networks", str(folders["networks"]), "--engine", "ort"]
    person = ["--random-identity", "3", "--expression", EXPRESSION]
    assert main(["detail", *options, *person, "-o", str(tmp_path / "map.exr")]) == 0
    whole = read_map(tmp_path / "map.exr")
    assert whole.shape == (SIZE, SIZE) and 0.001 < whole.std() < 1.0
    drawn = ["--random-detail", "5", "--truncation", "0.7", "--resolution", "256"]
    assert main(["detail", *options, *drawn, "-o", str(tmp_path / "drawn.exr")]) == 0
    assert read_map(tmp_path / "drawn.exr").std() > 0.001


def test_engines_agree_on_a_standard_generator(folders: dict[str, Path]) -> None:
    person, expression = Head.load().random(3), parse_weights(EXPRESSION)
    kinds = [e.kind for e in engines.available() if e.reason is None]
    maps = [model(folders["networks"], k).map(person, expression, SIZE) for k in kinds]
    assert {"ort", "torch"} <= set(kinds)
    for other in maps[1:]:
        np.testing.assert_allclose(other, maps[0], atol=1e-5)


def test_random_people_and_the_mean_face_are_the_gans_own(
    folders: dict[str, Path], generator: Generator
) -> None:
    space = model(folders["networks"]).space
    w = space.random(5)
    z = np.random.RandomState(5).standard_normal((1, 512)).astype(np.float32)
    mapped = generator.mapping(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(w, np.repeat(mapped, len(w), 0), atol=1e-5)
    mean = np.repeat(generator.mapping.w_avg[None].numpy(), len(w), 0)
    np.testing.assert_array_equal(space.truncated(w, 0.0), mean)


def test_a_seed_decides_pores_and_nothing_else(folders: dict[str, Path]) -> None:
    detail = model(folders["networks"])
    w = detail.space.random(1)
    one, same, other = (detail.synthesise(w, seed, SIZE) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert 0 < np.abs(one - other).max() < 0.5 * one.std()


def test_noise_is_white_in_every_layer_and_no_layer_repeats_another() -> None:
    synthesis = SeededSynthesis(GanConfig(SIZE, 64))
    noise = torch.randn(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    coarse, fine = synthesis.filtered(noise)
    assert coarse.shape == (1, 2, SIZE // 2, SIZE // 2) and fine.shape == (1, 2, SIZE, SIZE)
    layers = [*fine[0], *(coarse[0, :, :size, :size] for size in (32, 16, 8))]
    planes = [plane for layer in layers for plane in layer.reshape(-1, *layer.shape[-2:])]
    for plane in planes:
        assert 0.7 < float(plane.std()) < 1.3
    for k, plane in enumerate(planes):
        for other in planes[:k]:  # at the same places of the tile
            finer, coarser = sorted((plane, other), key=len, reverse=True)
            size = len(coarser)
            pooled = torch.nn.functional.avg_pool2d(finer[None], len(finer) // size)[0]
            both = torch.stack([pooled.flatten(), coarser.flatten()])
            assert abs(float(torch.corrcoef(both)[0, 1])) < 4 / size


def test_a_live_map_of_networks_without_a_mixture_is_exact(folders: dict[str, Path]) -> None:
    services = Services("ort", folders["networks"])
    services.warm_up()
    person = Head.load().random(3)
    maps = []
    for expression in (np.zeros(52), parse_weights(EXPRESSION)):
        params = {"identity": person.request(), "expression": expression.tolist(),
                  "resolution": 256, "live": True}  # fmt: skip
        reply = services.map(Request(lambda message: None, 1, params, "head"))
        assert reply["exact"]
        maps.append(reply["array"])
    assert np.abs(maps[0] - maps[1]).max() > 1e-4


def test_networks_of_stylegan2_ada_go_the_same_way(
    folders: dict[str, Path], generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = Imported(generator.config, generator.state_dict(), None, None)
    monkeypatch.setattr(files, "read_networks", lambda path: content)
    root, source = folders["set"].parent, tmp_path / "faces.pkl"
    with pytest.raises(FurrowError, match="--unit-mm"):
        learn_encoder(source, root, tmp_path / "networks")
    with pytest.raises(FurrowError, match=r"for a \.pkl"):
        learn_encoder(folders["gan"], root, tmp_path / "networks", "--unit-mm", 1)
    unit = float(generator.unit_mm)
    learn_encoder(source, root, tmp_path / "networks", "--unit-mm", 2 * unit)
    deep, ours = model(tmp_path / "networks"), model(folders["networks"])
    w = ours.space.random(5)
    np.testing.assert_allclose(
        deep.synthesise(w, 1, SIZE), 2 * ours.synthesise(w, 1, SIZE), atol=1e-5
    )


def test_what_needs_local_bases_says_so(folders: dict[str, Path]) -> None:
    with pytest.raises(FurrowError, match=r"stylegan2.*furrow train dnpm"):
        load(folders["networks"])
