"""Sets of maps on disk: who is in them, and what a run does that is stopped, killed or out of space."""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from furrow.backend.errors import FurrowError
from furrow.backend.formats.maps import read_map
from furrow.backend.head.bilinear import Head
from furrow.backend.system import memory, processor
from furrow.training.corpus import batch, pool, sets, train, version
from furrow.training.corpus.compose import Skin
from furrow.training.corpus.sampler import sample_expression, sample_identity

PNG_STEP_MM = 2.0 / 32768
"""Of maps up to 2 mm deep."""


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load()


def options(folder: Path, *arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    small = ["--resolution", "64", "--output", folder]
    return parser.parse_args([str(argument) for argument in (*small, *arguments)])


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 3 people that nothing interrupted, written by one process."""
    folder = tmp_path_factory.mktemp("corpus") / "whole"
    train.run(options(folder, "--people", 3, "--processes", 1))
    return folder


def test_sets_have_their_sizes_and_share_nobody(head: Head) -> None:
    sizes = {name: plan.people * len(plan.names) for name, plan in sets.PLANS.items()}
    assert sizes["generator"] == sizes["encoder"] == 7000
    assert sizes["test"] >= 200
    drawn = {
        name: [plan.person(head, seed, k) for seed in (0, 1, 2) for k in range(4)]
        for name, plan in sets.PLANS.items()
    }
    people = [identity.vector for plan in drawn.values() for identity, _ in plan]
    assert len({tuple(vector) for vector in people}) == len(people)
    trained = [w for name in ("generator", "encoder") for _, b in drawn[name] for w in b.values()]
    for _, expressions in drawn["test"]:
        for weights in expressions.values():
            assert np.count_nonzero(weights) > 1
            assert np.abs(np.stack(trained) - weights).max(1).min() > 1e-3
    encoder = np.stack([w for _, b in drawn["encoder"] for w in b.values()])
    assert len(np.unique(encoder[encoder > 0])) > 50, "strengths are not continuous"


def test_a_set_holds_the_maps_of_its_people(head: Head, whole: Path) -> None:
    assert len(list((whole / "dpmap").iterdir())) == 60
    identity = head.read_identity(whole / "identity" / "0002.json")
    with np.load(whole / "expression" / "0002.npz") as file:
        weights = dict(zip(file["names"], file["weights"], strict=True))
    for name in ("smile", "brow-raiser"):
        expected = Skin(head, identity, 64).map(weights[name])
        written = read_map(whole / "dpmap" / f"0002_{name}.png")
        np.testing.assert_allclose(written, expected, atol=PNG_STEP_MM)


def test_two_processes_write_the_same_bytes_and_only_what_is_missing(
    whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    arguments = options(folder, "--people", 3, "--processes", 2)
    train.run(arguments)
    assert contents(folder) == contents(whole)
    maps = sorted((folder / "dpmap").iterdir())
    stamps = {path: path.stat().st_mtime_ns for path in maps}
    maps[7].unlink()
    left = folder / "dpmap" / ".partial-of-a-killed-run.png"
    left.write_bytes(b"half")
    train.run(arguments)
    assert contents(folder) == contents(whole)
    assert all(path.stat().st_mtime_ns == stamps[path] for path in maps if path != maps[7])


def start(folder: Path, *arguments: str, **settings) -> subprocess.Popen:
    command = ["train", "corpus", "--resolution", "64", "--output", str(folder), *arguments]
    return subprocess.Popen(
        [sys.executable, "-m", "furrow", *command],
        start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        **settings,
    )  # fmt: skip


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def finished(group: int) -> bool:
    """Whether no process of the group is left, those that nobody has waited for not counted."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of = status.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(of) == group and state != "Z":
            return False
    return True


def test_a_stopped_and_a_killed_run_leave_only_whole_files_and_go_on(
    whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    expected = contents(whole)

    def maps() -> int:
        return len(list((folder / "dpmap").glob("[!.]*.png")))

    for sent in (signal.SIGINT, signal.SIGKILL):
        before = maps()
        run = start(folder, "--people", "3", "--processes", "2")
        wait_until(functools.partial(lambda count: maps() > count, before))
        if sent == signal.SIGINT:
            os.killpg(run.pid, sent)  # a terminal sends Ctrl-C to the whole group
        else:
            run.send_signal(sent)
        _, errors = run.communicate(timeout=60)
        wait_until(functools.partial(finished, run.pid))
        if sent == signal.SIGINT:
            assert maps() < 60, "it was done before it could be stopped"
            assert run.returncode == 130
            assert "Traceback" not in errors
            assert not list(folder.rglob(".partial-*"))
        for name, data in contents(folder).items():
            assert Path(name).name.startswith(".partial-") or data == expected[name]
    train.run(options(folder, "--people", 3, "--processes", 1))
    assert contents(folder) == expected


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))

    folder = tmp_path / "set"
    run = start(folder, "--people", "2", "--resolution", "256", "--processes", "2",
                preexec_fn=little_room)  # fmt: skip
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "cannot be written: File too large. Choose another folder or free" in errors
    assert "Traceback" not in errors
    assert not list(folder.rglob("*.png")) and not list(folder.rglob(".partial-*"))


def test_a_process_that_dies_is_reported(tmp_path: Path) -> None:
    def kill() -> None:
        wait_until(lambda: any((tmp_path / "set" / "dpmap").glob("*.png")))
        for process in multiprocessing.active_children():
            process.kill()

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(FurrowError, match=r"memory.*--processes"):
        train.run(options(tmp_path / "set", "--people", 6, "--processes", 1))


def test_no_more_processes_start_than_memory_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "usable_cores", lambda: 4)
    monkeypatch.setattr(memory, "available_bytes", lambda: 4_000_000_000)
    assert [pool.affordable(size) for size in (9e9, 1.5e9, 0.5e9)] == [1, 2, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resolution", 8], "resolution"),
        (["--people", 0], "at least one person"),
        (["--processes", 0], "processes"),
        (["--seed", -1], "seed"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--device", "abacus"], "abacus"),
    ],
)
def test_options_that_make_no_set_are_refused_before_anything_is_written(
    tmp_path: Path, arguments: list, message: str
) -> None:
    with pytest.raises(FurrowError, match=message):
        train.run(options(tmp_path / "never", *arguments))
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    "code",
    [
        {"made_with": "0123456789abcdef"},  # sets from before versions had numbers
        {**version.maker(), "corpus_version": version.CORPUS_VERSION - 1},
        {**version.maker(), "head": "another"},
    ],
)
def test_a_set_of_another_version_is_named_as_one(whole: Path, tmp_path: Path, code: dict) -> None:
    settings = json.loads((whole / "set.json").read_text())
    others = {key: settings[key] for key in settings.keys() - version.maker().keys()}
    (tmp_path / "set.json").write_text(json.dumps({**others, **code}))
    with pytest.raises(FurrowError, match="made with another version of Furrow"):
        train.run(options(tmp_path, "--people", 3))


def test_a_folder_with_something_else_is_refused(whole: Path, tmp_path: Path) -> None:
    before = contents(whole)
    for other in (["--seed", 1], ["--set", "test"], ["--people", 4], ["--resolution", 128]):
        with pytest.raises(FurrowError, match="made with other options"):
            train.run(options(whole, "--people", 3, *other))
    assert contents(whole) == before
    (tmp_path / "foreign" / "dpmap").mkdir(parents=True)
    with pytest.raises(FurrowError, match=r"no set\.json"):
        train.run(options(tmp_path / "foreign"))
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FurrowError, match="Choose another folder"):
        train.run(options(tmp_path / "file"))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "set.json").write_text("{")
    with pytest.raises(FurrowError, match="cannot be read"):
        train.run(options(tmp_path / "damaged"))


@pytest.fixture
def drawn(head: Head) -> Iterator[tuple[Skin, np.ndarray]]:
    rng = np.random.default_rng(11)
    skin = Skin(head, sample_identity(head, rng), 128)
    yield skin, np.stack([sample_expression(rng) for _ in range(6)])


@pytest.mark.parametrize("relief", [True, False])
def test_a_batch_with_torch_equals_the_maps_one_by_one(
    drawn: tuple[Skin, np.ndarray], relief: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    skin, expressions = drawn
    monkeypatch.setattr(batch, "PER_CHUNK", 4 * 128**2)
    together = list(batch.BatchSkin(skin, torch.device("cpu")).maps(expressions, relief))
    one_by_one = [skin.map(expression, relief) for expression in expressions]
    assert len(together) == len(one_by_one)
    assert together[0].dtype == np.float32
    np.testing.assert_allclose(np.stack(together), np.stack(one_by_one), rtol=0, atol=1e-5)
    with pytest.raises(FurrowError, match="between 0 and 1"):
        list(batch.BatchSkin(skin, torch.device("cpu")).maps(2.0 + expressions))


def test_a_set_folded_with_torch_is_the_same_up_to_rounding(whole: Path, tmp_path: Path) -> None:
    job = sets.Fold(tmp_path, "generator", 64, 0, device="cpu")
    job.begin()
    assert job.person("0001", lambda: False) == (20, [])
    for path in (tmp_path / "dpmap").iterdir():
        expected = read_map(whole / "dpmap" / path.name)
        np.testing.assert_allclose(read_map(path), expected, atol=PNG_STEP_MM)
