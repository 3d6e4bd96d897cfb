"""`furrow bench`: what it measures, what it says of what is absent or fails, and its files."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import furrow.__main__ as command
import pytest
from furrow.backend.detail.engines import engines
from furrow.backend.errors import FurrowError
from furrow.backend.formats.figures import Figure
from furrow.commands import bench, bench_blender, bench_maps, blender


def names(figures: list[Figure]) -> dict[str, str]:
    """Units by name."""
    assert all(figure.value > 0 for figure in figures)
    return {figure.name: figure.unit for figure in figures}


@pytest.fixture
def launch() -> bench_blender.Launch:
    """Runs the add-on's script in the bpy module, or skips."""
    pytest.importorskip("bpy")
    return functools.partial(blender.run, None, command.SCRIPT)


def no_blender(*_: object, **_options: object) -> int:
    """In place of a launch: no test here starts one by it."""
    raise AssertionError


def no_peers(_networks: Path) -> bench.Peers:
    """In place of what makes the paper's generator: it fails."""
    raise ZeroDivisionError


@pytest.fixture
def small_floors(monkeypatch) -> None:
    """Floors of arrays that cost nothing."""
    monkeypatch.setattr(bench_maps, "COPIED", 1 << 16)
    monkeypatch.setattr(bench_maps, "SIDE", 32)


def test_engines_and_rivals_take_turns(tiny_networks, small_floors) -> None:
    calls: list[str] = []
    rivals = {name: (lambda name=name: calls.append(name)) for name in ("paper_a", "paper_b")}
    ours = bench_maps.contenders(engines.choose("ort"), tiny_networks(), 3)
    units = names(bench_maps.maps(ours, rivals))
    both = ["paper_a", "paper_b"]
    assert calls == ["paper_a", *both, "paper_b"] + both * (bench_maps.ROUNDS - 1)
    assert units["exact_256_ort_ms"] == units["paper_a_ms"] == "ms"
    assert units["floor_copy_gb_s"] == "GB/s" and units["floor_matmul_gflop_s"] == "GFLOP/s"
    assert units["exact_256_ort_maps_s"] == "maps/s"
    assert units["mixture_256_ort_p95_ms"] == "ms"
    assert "exact_256_ort_p95_ms" not in units  # so few maps have no 95th percentile


def test_maps_are_set_against_the_paper(tiny_networks, monkeypatch) -> None:
    figures = bench_maps.speedup([Figure("paper_1024_eager_ms", 3000.0, "ms"),
                                Figure("exact_1024_ort_ms", 100.0, "ms")])  # fmt: skip
    assert figures == [Figure("speedup_vs_paper", 30.0, "x")]
    assert bench_maps.speedup([Figure("exact_1024_ort_ms", 100.0, "ms")]) == []


def test_the_papers_generator_runs_in_both_libraries(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from furrow.training.gan import cost
    from furrow.training.networks.stylegan2 import GanConfig, Synthesis, count

    rivals = cost.rivals(tmp_path, GanConfig(resolution=16, channel_base=64, channel_max=8))
    eager = np.asarray(rivals["paper_16_eager"]())
    (runtime,) = np.asarray(rivals["paper_16_ort"]())
    assert eager.shape == (1, 1, 16, 16)
    np.testing.assert_allclose(runtime, eager, atol=1e-4 * np.abs(runtime).max())
    import torch

    with torch.device("meta"):  # as many parameters as the paper's, less two colour channels
        assert count(Synthesis(cost.PAPER).parameters()) == pytest.approx(28.3e6, rel=0.01)


def test_work_of_a_map_is_counted(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from furrow.training.gan import cost

    figures = {f.name: f.value for f in cost.work(engines.DETAIL, tmp_path)}
    assert figures["work_paper_gflop"] > 140  # 70 billion multiply-adds at least
    assert figures["work_mixture_gflop"] < figures["work_exact_gflop"] < figures["work_paper_gflop"]
    assert 0 < figures["work_exact_convolutions_percent"] < 100
    for name in ("mixture", "exact"):
        assert 4 < figures[f"work_{name}_least_mb"] < figures[f"work_{name}_moved_mb"]


def test_what_is_absent_is_named_with_its_remedy(monkeypatch, tiny_networks) -> None:
    monkeypatch.setattr(bench, "_parts", only("maps"))
    monkeypatch.setattr(bench_maps, "maps", lambda *_: [])
    monkeypatch.setattr(
        engines, "available",
        lambda: [engines.Availability("openvino", "openvino", None, None, "It is not here.")],
    )  # fmt: skip
    missing = bench.Peers(absent="This needs torch: make train-env.")
    result = bench.measure(lambda *_: None, lambda _: missing, no_blender)
    assert "furrow[openvino]" in result.absent["openvino"]
    assert "make train-env" in result.absent["the paper's generator"]
    assert "not here: openvino" in bench.report(result)
    assert not result.failed


def only(*wanted: str) -> Callable[..., dict]:
    """The parts of the bench, without the others."""
    whole = bench._parts
    return lambda *a: {name: part for name, part in whole(*a).items() if name in wanted}


def test_a_part_that_fails_is_named_and_the_others_go_on(
    monkeypatch, capsys, tmp_path: Path
) -> None:
    def fails(*_: object) -> list[Figure]:
        raise FurrowError("the disk is full")

    monkeypatch.setattr(bench, "_parts", only("maps", "speech"))
    monkeypatch.setattr(command, "_peers", lambda _: bench.Peers(absent="not wanted"))
    monkeypatch.setattr(bench_maps, "maps", lambda *_: [Figure("exact_1024_ort_ms", 70.0, "ms")])
    monkeypatch.setattr(bench_blender, "figures_inside", fails)
    path = tmp_path / "bench.json"
    assert command.main(["bench", "--json", str(path)]) == 1
    output = capsys.readouterr()
    assert "FAILED: speech. the disk is full" in output.out and "exact_1024_ort_ms" in output.out
    assert output.err.strip().splitlines()[-1].startswith("furrow: not measured: speech")
    content = json.loads(path.read_text())
    assert content["failed"] == {"speech": "the disk is full"}
    assert [figure["name"] for figure in content["figures"]] == ["exact_1024_ort_ms"]
    assert "onnxruntime" in content["versions"] and content["memory_gb"] > 0


def test_an_engine_that_does_not_start_leaves_the_others(monkeypatch, tiny_networks, small_floors):
    (ort,) = (engine for engine in engines.available() if engine.kind == "ort")
    faulty = replace(ort, kind="openvino", name="openvino")
    monkeypatch.setattr(engines, "available", lambda: [faulty, ort])
    load = engines.load

    def refuses(kind: str, folder: Path) -> engines.Engine:
        if kind == "openvino":
            raise FurrowError("it does not start")
        return load(kind, folder)

    monkeypatch.setattr(engines, "load", refuses)
    monkeypatch.setattr(bench, "_parts", only("maps"))
    plan = bench.Plan(tiny_networks(), runs=1)
    result = bench.measure(lambda *_: None, no_peers, no_blender, plan)
    assert result.failed["openvino"] == "it does not start"
    assert "ZeroDivisionError" in result.failed[bench.PAPER]
    assert "exact_256_ort_ms" in names(result.figures)


def test_a_failure_in_blender_keeps_its_reason(launch) -> None:
    with pytest.raises(FurrowError, match="KeyError: 'nothing'"):
        bench_blender.figures_inside("nothing", 1, launch)


def test_blenders_start_is_measured(launch) -> None:
    units = names(bench_blender.addon_start(1, launch))
    assert units == {"addon_start_ms": "ms", "addon_start_min_ms": "ms"}


def test_the_backends_tick_is_measured(launch) -> None:
    units = names(bench_blender.figures_inside("backend", 1, launch))
    assert units["tick_backend_1024_ms"] == units["exact_backend_1024_ms"] == "ms"
    assert units["backend_start_s"] == units["backend_first_map_s"] == "s"


def test_the_viewports_tick_is_measured(launch) -> None:
    figures = bench_blender.figures_inside("viewport", 1, launch)
    value = {figure.name: figure.value for figure in figures}
    assert names(figures)["tick_shaded_ms"] == names(figures)["identity_exact_ms"] == "ms"
    ends = sorted(value[f"tick_displaced_level{level}_ms"] for level in (1, 2))
    assert ends[0] <= value["tick_displaced_ms"] <= ends[1]
    assert (
        value["tick_displaced_level1_vertices"] < 80_000 < value["tick_displaced_level2_vertices"]
    )


def test_a_bake_that_makes_no_frame_is_no_measurement(launch) -> None:
    with pytest.raises(FurrowError, match="nothing failed"):
        bench_blender.bake_seconds("nothing", 256, 1, launch)
