"""The spine of training: a stage that is cut off goes on to the same losses, and failures keep what was good."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from furrow.backend.errors import FurrowError
from furrow.training.spine import files, machine
from furrow.training.spine.schedule import averaged, cosine, lasting
from furrow.training.spine.stage import Budget, Stage, run
from torch import Tensor, nn

STEPS = 23


def stage(seed: int = 0) -> Stage:
    """A stage with everything that may go wrong: dropout, a counter, a loss of every third step."""
    torch.manual_seed(seed)
    first = nn.Linear(4, 16)
    network = nn.Sequential(first, nn.Dropout(0.3), nn.BatchNorm1d(16), nn.Linear(16, 1))
    optimiser = torch.optim.Adam(network.parameters(), 0.01)

    def learn(stage: Stage, rng: np.random.Generator) -> Mapping[str, Tensor | float]:
        x = torch.from_numpy(rng.standard_normal((8, 4)).astype(np.float32))
        loss = (network(x) - x.sum(1, keepdim=True)).square().mean()
        stage.counters["mean"].lerp_(loss.detach(), 0.1)
        optimiser.zero_grad()
        (loss + stage.counters["mean"] * first.weight.square().sum()).backward()
        optimiser.step()
        losses: dict[str, Tensor | float] = {"loss": loss}
        if stage.step % 3 == 0:
            losses["rare"] = float(stage.counters["mean"])
        return losses

    return Stage(
        "toy", {"network": network}, {"network": optimiser}, learn, {"network": averaged(network)},
        {"mean": torch.zeros(())}, batch=8,
    )  # fmt: skip


def log(folder: Path) -> np.ndarray:
    rows = np.genfromtxt(folder / "toy.csv", delimiter=",", names=True)
    return np.stack([rows[name] for name in ("step", "loss", "rare")])


@pytest.mark.parametrize("every", [1, 4])
def test_a_stage_that_was_cut_off_goes_on_to_the_same_losses(tmp_path: Path, every: int) -> None:
    budget = Budget(STEPS)
    whole = stage()
    run(whole, tmp_path / "whole", budget, "furrow train toy", log_every=every)
    cut = stage()
    run(cut, tmp_path / "cut", budget, "furrow train toy", log_every=every, halt_at=7)
    torch.manual_seed(99)
    again = stage(1)
    run(again, tmp_path / "cut", budget, "furrow train toy", log_every=every)
    np.testing.assert_array_equal(log(tmp_path / "cut"), log(tmp_path / "whole"))
    assert len(again.log) == math.ceil(STEPS / every)
    for name, value in whole.averages["network"].state_dict().items():
        assert again.averages["network"].state_dict()[name].equal(value), name
    done = (tmp_path / "whole" / "toy.pt").stat().st_mtime_ns
    complete = stage(2)
    run(complete, tmp_path / "whole", budget, "furrow train toy", log_every=every)
    assert (complete.step, complete.images) == (STEPS, 8 * STEPS)
    assert (tmp_path / "whole" / "toy.pt").stat().st_mtime_ns == done, "nothing is written anew"


def test_a_diverging_stage_stops_and_keeps_its_last_good_state(tmp_path: Path) -> None:
    run(stage(), tmp_path, Budget(STEPS), "furrow train toy", halt_at=5)
    good = (tmp_path / "toy.pt").read_bytes()
    for spoil in ("loss", "weights"):
        broken = stage()
        learn = broken.learn

        def bad(stage: Stage, rng: np.random.Generator) -> Mapping[str, Tensor | float]:
            losses = learn(stage, rng)  # noqa: B023
            if spoil == "weights":  # noqa: B023
                with torch.no_grad():
                    next(stage.networks["network"].parameters()).fill_(math.nan)
                return losses
            return {"loss": math.inf}

        broken.learn = bad
        with pytest.raises(FurrowError, match=r"diverged.*toy\.pt holds the last good state"):
            run(broken, tmp_path, Budget(STEPS), "furrow train toy", halt_at=6)
        assert (tmp_path / "toy.pt").read_bytes() == good


def test_memory_that_runs_out_is_said_and_the_checkpoint_stays(tmp_path: Path) -> None:
    run(stage(), tmp_path, Budget(STEPS), "furrow train toy", halt_at=5)
    good = (tmp_path / "toy.pt").read_bytes()
    full = stage()

    def learn(stage: Stage, rng: np.random.Generator) -> Mapping[str, Tensor | float]:
        raise MemoryError

    full.learn = learn
    with pytest.raises(FurrowError, match="memory does not suffice: lower the batch"):
        run(full, tmp_path, Budget(STEPS), "furrow train toy")
    assert (tmp_path / "toy.pt").read_bytes() == good


def test_a_checkpoint_that_is_damaged_or_of_another_network_is_named(tmp_path: Path) -> None:
    (tmp_path / "toy.pt").write_bytes(b"nothing")
    with pytest.raises(FurrowError, match=r"toy\.pt is damaged or no run of `furrow train toy`"):
        run(stage(), tmp_path, Budget(STEPS), "furrow train toy")


def test_a_ceiling_in_minutes_ends_a_stage_early_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = stage()
    run(short, tmp_path, Budget(10**9, 1e-3), "furrow train toy")
    assert 0 < short.step < 10**9
    assert short.optimisers["network"].param_groups[0]["lr"] == pytest.approx(
        0.01 * cosine(short.step - 1, 10**9)
    ), "the rate follows the steps and not the clock"
    assert "stopped after 0.001 minutes" in capsys.readouterr().out
    run(stage(), tmp_path, Budget(short.step + 2, 10), "furrow train toy")


def test_a_run_of_another_configuration_is_refused_by_what_differs(tmp_path: Path) -> None:
    begun = {"rate": 0.1, "sizes": (1, 2), "encoder": {"steps": 5, "batch": 2}}
    files.claim(tmp_path / "run", begun)
    files.claim(tmp_path / "run", begun)
    other = begun | {"encoder": {"steps": 5, "batch": 4}, "seed": 3}
    with pytest.raises(FurrowError, match=r"encoder\.batch was 2 and is 4; seed was None and is 3"):
        files.claim(tmp_path / "run", other)


def test_an_average_is_short_while_it_is_young() -> None:
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(0.0)
        average = averaged(network)
        network.weight.fill_(1.0)
        average.update_parameters(network)
        first = float(average.module.weight)
        for _ in range(400):
            average.update_parameters(network)
    assert first == pytest.approx(1 - lasting(1)) and first > 0.5
    assert float(average.module.weight) == pytest.approx(1.0, abs=1e-6)


def test_the_device_is_chosen_once_and_its_absence_is_said() -> None:
    parser = argparse.ArgumentParser()
    machine.add_arguments(parser, Path("out/toy"))
    threads = torch.get_num_threads()
    try:
        args = parser.parse_args(["--threads", "1", "--device", "cpu"])
        assert machine.begin(args) == torch.device("cpu")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    if not torch.cuda.is_available():
        assert machine.device("auto") == torch.device("cpu")
        with pytest.raises(FurrowError, match="cannot compute on cuda"):
            machine.device("cuda")
    wanted = torch.bfloat16 if machine.computes_bfloat16(torch.device("cpu")) else torch.float32
    with machine.autocast(torch.device("cpu")):
        product = torch.nn.functional.linear(torch.ones(1, 2), torch.ones(3, 2))
    assert product.dtype == wanted
