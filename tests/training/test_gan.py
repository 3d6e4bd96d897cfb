"""`furrow train gan`: augmentation, the recipe, and runs that stop, go on, fail and spread."""

from __future__ import annotations

import argparse
import csv
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from furrow.backend.detail.engines.stylegan2 import GanConfig
from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import parse_weights
from furrow.training.corpus import train as corpus
from furrow.training.gan import files, learning, losses, recipe
from furrow.training.gan import train as gan
from furrow.training.networks import augment
from furrow.training.networks.stylegan2 import Discriminator, Generator
from furrow.training.spine.files import read_checkpoint
from furrow.training.spine.processes import Processes
from furrow.training.spine.stage import Budget
from PIL import Image

TINY = ("--resolution", 32, "--channel-base", 256, "--batch", 4, "--tick", 0.032,
        "--device", "cpu", "--threads", 1)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def threads() -> Iterator[None]:
    """Leave PyTorch as many threads as it had."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of one person's five maps."""
    folder = tmp_path_factory.mktemp("corpus") / "set"
    parser = argparse.ArgumentParser()
    corpus.add_arguments(parser)
    options = ["--set", "test", "--people", "1", "--resolution", "64", "--processes", "1"]
    corpus.run(parser.parse_args([*options, "--output", str(folder)]))
    return folder


def parsed(maps: Path, out: Path, *options: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    gan.add_arguments(parser)
    given = ("--set", maps, "--out", out, *TINY, *options)
    return parser.parse_args([str(option) for option in given])


def train(maps: Path, out: Path, *options: object) -> list[dict[str, str]]:
    """Train as the command does; returns the log."""
    gan.run(parsed(maps, out, *options))
    with (out / "gan.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole(maps: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list]:
    """A run of 24 batches in one go, and its log."""
    out = tmp_path_factory.mktemp("gan") / "whole"
    return out, train(maps, out, "--kimg", 0.096, "--ada-kimg", 0.2)


def test_a_run_cut_off_at_an_odd_step_goes_on_to_the_same_losses(
    maps: Path, whole: tuple[Path, list], tmp_path: Path
) -> None:
    # Amid a row of the log, the path lengths' interval, R1's, and that of the augmentation.
    args = parsed(maps, tmp_path, "--ada-kimg", 0.2)
    gan.train(gan.begin(args, Processes("cpu")), tmp_path, Budget(24), args.tick, 10, halt_at=7)
    torch.manual_seed(99)
    rows = train(maps, tmp_path, "--kimg", 0.096)
    assert len(rows) == 3
    for name in set(rows[0]) - {"seconds", "seconds_per_kimg"}:
        assert [row[name] for row in rows] == [row[name] for row in whole[1]], name
    assert len({row["G_main"] for row in rows}) == 3
    one, other = (files.load_generator(f / "generator.safetensors") for f in (tmp_path, whole[0]))
    assert all(map(torch.equal, one.parameters(), other.parameters()))


def test_a_run_leaves_pictures_and_a_generator_in_millimetres(whole: tuple[Path, list]) -> None:
    output, rows = whole
    pictures = sorted(path.name for path in (output / "previews").iterdir())
    assert pictures == ["data.png", "kimg-00000.096.png"]
    with Image.open(output / "previews" / "data.png") as image:
        assert image.size == (4 * 32, 3 * 32)
        assert np.asarray(image).std() > 1
    generator = files.load_generator(output / "generator.safetensors")
    made = generator(torch.randn(3, 512)) * generator.unit_mm
    assert made.shape == (3, 1, 32, 32) and 0.001 < float(made.std()) < 1.0
    # The average lags behind, but has left its beginning.
    torch.manual_seed(0)
    start = Generator(generator.config)
    assert not torch.allclose(start.synthesis.blocks[3].conv1.weight, generator.synthesis.blocks[3].conv1.weight)  # fmt: skip
    assert float(generator.mapping.w_avg.abs().max()) > 0
    for row in rows:
        assert all(math.isfinite(float(row[n])) for n in ("G_main", "D_main", "path_lengths"))


def test_augmentation_follows_how_sure_the_discriminator_is(
    maps: Path, whole: tuple[Path, list], tmp_path: Path
) -> None:
    settled = whole[1][-1]
    assert float(settled["signs_real"]) > 0.6  # five maps are soon known by heart
    assert 0 < float(settled["probability"]) <= 0.096 / 0.2 + 1e-6
    shutil.copytree(whole[0], tmp_path / "run")
    (row,) = train(maps, tmp_path / "run", "--ada-target", 1, "--kimg", 0.112)[3:]
    assert float(row["probability"]) < float(settled["probability"])


def test_nothing_is_lost_where_training_diverges(
    maps: Path, whole: tuple[Path, list], tmp_path: Path
) -> None:
    shutil.copytree(whole[0], tmp_path / "run")
    before = (tmp_path / "run" / "gan.pt").read_bytes()
    with pytest.raises(FurrowError, match=r"diverged at step .*--learning-rate"):
        train(maps, tmp_path / "run", "--kimg", 0.2, "--learning-rate", 1e30)
    assert (tmp_path / "run" / "gan.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("failure", "wanted"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "GPU's memory.*--micro-batch"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "machine's memory.*--micro-batch"),
    ],
)  # fmt: skip
def test_full_memory_says_what_to_lower_and_loses_nothing(
    maps: Path,
    whole: tuple[Path, list],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: RuntimeError,
    wanted: str,
) -> None:
    shutil.copytree(whole[0], tmp_path / "run")
    before = (tmp_path / "run" / "gan.pt").read_bytes()

    def full(*arguments: object) -> None:
        raise failure

    monkeypatch.setattr(losses, "d_main", full)
    with pytest.raises(FurrowError, match=wanted):
        train(maps, tmp_path / "run", "--kimg", 0.2)
    assert (tmp_path / "run" / "gan.pt").read_bytes() == before


def test_a_run_begins_with_networks_from_elsewhere(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from furrow.training.networks.stylegan_pickle import Imported

    torch.manual_seed(5)
    config = GanConfig(32, 256, 8, mapping_layers=3)
    theirs, against = Generator(config), Discriminator(config)
    read = Imported(config, theirs.state_dict(), None, against.state_dict())
    monkeypatch.setattr(gan, "read_networks", lambda path: read)
    monkeypatch.setattr(learning, "read_networks", lambda path: read)
    train(maps, tmp_path, "--start-from", "faces.pkl", "--kimg", 0.004, "--learning-rate", 1e-9)
    ours = files.load_generator(tmp_path / "generator.safetensors")
    torch.testing.assert_close(dict(ours.named_parameters()), dict(theirs.named_parameters()), atol=1e-5, rtol=0)  # fmt: skip
    with pytest.raises(FurrowError, match="--channel-base 256"):
        train(maps, tmp_path / "b", "--start-from", "faces.pkl", "--channel-base", 512)


def test_bad_input_is_named(maps: Path, whole: tuple[Path, list], tmp_path: Path) -> None:
    for options, problem in (
        (("--resolution", 64), "resolution 32"),
        (("--batch", 8), "batch 4"),
        (("--kimg", 0), "more than 0"),
    ):
        with pytest.raises(FurrowError, match=problem):
            train(maps, whole[0], *options)
    wrong: tuple[tuple[tuple[str, object], str], ...] = (
        (("--resolution", 48), "power of two"),
        (("--resolution", 128), "64 x 64"),
        (("--batch", 0), "--batch"),
        (("--threads", 0), "--threads"),
        (("--start-from", tmp_path / "nowhere.pkl"), "no file"),
    )
    for flags, problem in wrong:
        with pytest.raises(FurrowError, match=problem):
            train(maps, tmp_path / "run", *flags)
    broken = shutil.copytree(maps, tmp_path / "broken")
    for name, content in (("1", np.zeros((64, 64), np.uint8)), ("2", np.zeros((64, 32), np.uint16))):  # fmt: skip
        Image.fromarray(content).save(broken / "dpmap" / f"0001_mixture-{name}.png")
    with pytest.raises(FurrowError, match=r"2 maps cannot be used.*16 bits.*32 x 64"):
        train(broken, tmp_path / "run")
    assert not (tmp_path / "run" / "maps.npy").exists()
    (broken / "dpmap" / "0001_mixture-1.png").unlink()
    shutil.copy(maps / "dpmap" / "0001_mixture-2.png", broken / "dpmap")
    with pytest.raises(FurrowError, match="not the set"):
        train(broken, shutil.copytree(whole[0], tmp_path / "other"), "--kimg", 1)


def test_damaged_files_of_a_run_say_so(
    maps: Path, whole: tuple[Path, list], tmp_path: Path
) -> None:
    run = shutil.copytree(whole[0], tmp_path / "run")
    foreign = tmp_path / "foreign.pt"
    torch.save({"model": {}, "step": 3}, foreign)
    for name, load in (
        ("gan.pt", lambda path: train(maps, run, "--kimg", 0.2)),
        ("config.json", lambda path: files.read_config(run)),
        ("generator.safetensors", files.load_generator),
    ):
        content = (run / name).read_bytes()
        for damaged in (b"", b"nothing", content[: len(content) // 2], foreign.read_bytes()):
            (run / name).write_bytes(damaged)
            with pytest.raises(FurrowError, match=name):
                load(run / name)
            assert (run / name).read_bytes() == damaged, "it stays as it is"
        (run / name).write_bytes(content)


def test_a_checkpoint_of_other_networks_is_refused(
    maps: Path, whole: tuple[Path, list], tmp_path: Path
) -> None:
    run = shutil.copytree(whole[0], tmp_path / "run")
    state = read_checkpoint(run / "gan.pt")
    networks = state["networks"]
    changes: tuple[dict, ...] = (
        {"networks": networks | {"generator": networks["discriminator"]}},
        {"averages": {}},
        {"optimisers": {}},
    )
    for change in changes:
        torch.save(state | change, run / "gan.pt")
        before = (run / "gan.pt").read_bytes()
        with pytest.raises(FurrowError, match=r"gan\.pt is damaged or no run"):
            train(maps, run, "--kimg", 0.2)
        assert (run / "gan.pt").read_bytes() == before


def test_two_processes_hold_the_same_networks(maps: Path, tmp_path: Path) -> None:
    # Started as torchrun does it.
    environment = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}  # fmt: skip
    options = map(str, ("--set", maps, "--out", tmp_path, *TINY, "--kimg", 0.016, "--tick", 0.016))
    script = (
        "import argparse, sys\nfrom furrow.training.gan import train as gan\n"
        "parser = argparse.ArgumentParser(); gan.add_arguments(parser)\n"
        "report = gan.check_finite\n"
        "def kept(losses, weights, *rest):\n"
        "    weights = list(weights)\n"
        "    print(repr(sum(float(w.double().sum()) for w in weights)), flush=True)\n"
        "    report(losses, weights, *rest)\n"
        "gan.check_finite = kept\n"
        "gan.run(parser.parse_args(sys.argv[1:]))\n"
    )
    port = str(20000 + os.getpid() % 20000)
    command = [sys.executable, "-c", script, *options]
    children = [
        subprocess.Popen(
            command,
            env=environment | {"RANK": rank, "MASTER_PORT": port},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    sums = [child.communicate(timeout=120)[0].splitlines()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert float(sums[0]) and sums[0] == sums[1]
    assert len(read_checkpoint(tmp_path / "gan.pt")["random"]) == 2


def test_the_automatic_recipe_is_the_published_one() -> None:
    made = recipe.automatic({"resolution": 1024}, 8)
    assert (made.batch, made.micro_batch, made.channel_base, made.channel_max) == (
        32,
        4,
        32768,
        512,
    )
    assert (made.learning_rate, made.mapping_layers, made.ema_kimg) == (0.002, 2, 10.0)
    assert made.gamma == pytest.approx(0.0002 * 1024**2 / 32)
    small = recipe.automatic({"resolution": 256}, 1)
    assert (small.batch, small.channel_base, small.learning_rate) == (16, 16384, 0.0025)
    with pytest.raises(FurrowError, match="shared among 3"):
        recipe.automatic({"resolution": 256, "batch": 16}, 3)


def test_penalties_are_what_their_definitions_say() -> None:
    torch.manual_seed(0)
    config = GanConfig(16, 64)
    generator, discriminator = Generator(config), Discriminator(config)
    real = torch.randn(4, 1, 16, 16)
    norms = losses.r1_penalty(discriminator, real, 0.0)
    direction = torch.randn_like(real) * 1e-2
    with torch.no_grad():
        ahead, back = (discriminator(real + sign * direction).sum() for sign in (1, -1))
    gradient = torch.autograd.grad(discriminator(real.requires_grad_()).sum(), real)[0]
    slope = (gradient * direction).sum()
    assert float(slope) == pytest.approx(float(ahead - back) / 2, rel=0.05)
    torch.testing.assert_close(norms, gradient.square().sum((1, 2, 3)))
    # Through the augmentation too, and differentiable once more.
    losses.r1_penalty(discriminator, real, 0.8).sum().backward()
    assert float(discriminator.conv.weight.grad.abs().sum()) > 0
    # A generator twice as loud moves maps twice as far.
    lengths = []
    for loudness in (1.0, 2.0):
        torch.manual_seed(1)
        with torch.no_grad():
            for name, parameter in generator.synthesis.named_parameters():
                if name.endswith("to_map.weight"):
                    parameter.mul_(loudness)
        lengths.append(float(losses.path_lengths(generator, 4, real.device).detach().mean()))
    assert lengths[1] == pytest.approx(2 * lengths[0], rel=1e-3)


def test_augmentation_is_right_for_displacement() -> None:
    torch.manual_seed(0)
    maps = torch.zeros(1, 1, 64, 64)
    maps[:, :, 30] = 1.0  # a ridge from left to right; bulges stay bulges, rows stay rows
    with torch.no_grad():
        changed = augment.augment(maps.expand(500, -1, -1, -1), 1.0)
    inner = changed - changed.median(-1).values.median(-1).values[..., None, None]
    crests = inner.flatten(1)
    assert (crests.max(1).values > -crests.min(1).values)[crests.abs().max(1).values > 0.2].all()
    down, across = (inner.diff(dim=d).square().sum((1, 2, 3)) for d in (2, 3))
    seen = down > 0.05
    assert seen.sum() > 300 and (down > across)[seen].float().mean() > 0.95
    rough = torch.randn(8, 1, 32, 32)
    assert augment.augment(rough, 0.0) is rough
    still = augment._resampled(rough, torch.eye(3).expand(8, 3, 3))
    torch.testing.assert_close(still, rough, atol=1e-4, rtol=0)
    share = (augment.augment(rough.expand(8, -1, -1, -1).repeat(100, 1, 1, 1), 0.1) - rough.repeat(100, 1, 1, 1)).abs().amax((1, 2, 3)) < 1e-3  # fmt: skip
    assert 0.3 < float(share.float().mean()) < 0.6  # each of eight changes rarely


def test_a_mirrored_map_swaps_left_and_right_weights() -> None:
    maps = torch.arange(4.0).expand(1, 1, 4, 4)
    left = torch.from_numpy(parse_weights("mouthSmileLeft=0.7,jawRight=0.2,browInnerUp=1"))[None]
    right = torch.from_numpy(parse_weights("mouthSmileRight=0.7,jawLeft=0.2,browInnerUp=1"))[None]
    turned, weights = augment.mirror(maps, left)
    torch.testing.assert_close(weights, right)
    torch.testing.assert_close(turned[0, 0, 0], torch.tensor([3.0, 2.0, 1.0, 0.0]))
    again = augment.mirror(turned, weights)
    assert torch.equal(again[0], maps) and torch.equal(again[1], left)
