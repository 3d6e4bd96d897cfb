"""Renews the tables of docs/bench.md from figures that were measured before.

make bench && cp out/bench.json docs/bench.json
python tools/bench_tables.py docs/bench.json
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tables import DOCS, Figures, Tables, main

MAP_MB = 4 * 1024**2 / 1e6
"""A map of 1024 texels in float32."""

VERTEX_MB = 100 / 1e6
"""Of an evaluated mesh: position in and out, normal, UV, weight, four texels of three floats."""

KEY_MB = 60 / 1e6
"""One key of an F-curve in Blender: a BezTriple."""

BLENDSHAPES = 53
"""Shape keys of a head, Basis included."""


@dataclass(frozen=True)
class Aim:
    """What a figure should be: at most, or at least."""

    title: str
    figure: str
    value: float
    unit: str
    at_least: bool = False


AIMS = (
    Aim("tick in the backend, 1024", "tick_backend_1024_ms", 3, "ms"),
    Aim("tick in Blender, shaded", "tick_shaded_ms", 25, "ms"),
    Aim("tick in Blender, displaced, 80,000 vertices", "tick_displaced_ms", 60, "ms"),
    Aim("exact map, ONNX Runtime", "exact_1024_ort_ms", 200, "ms"),
    Aim("exact map, OpenVINO, float32", "exact_1024_fp32_ms", 90, "ms"),
    Aim("exact map, OpenVINO, bfloat16 (aim: with AMX)", "exact_1024_fast_ms", 40, "ms"),
    Aim("times as fast as the paper's generator", "speedup_vs_paper", 20, "", at_least=True),
    Aim("bake, 1024, ONNX Runtime", "bake_1024_fps", 4, "frames/s", at_least=True),
    Aim("bake, 1024, OpenVINO", "bake_1024_openvino_fps", 8, "frames/s", at_least=True),
    Aim("keys for ten minutes of speech", "keys_10min_s", 1, "s"),
    Aim("memory of the backend, at most", "backend_rss_mb", 1200, "MB"),
    Aim("start of the backend", "backend_start_s", 1.5, "s"),
    Aim("what the add-on adds to Blender's start", "addon_start_ms", 60, "ms"),
    Aim("exact map, GPU", "exact_1024_torch_fast_ms", 4, "ms"),
    Aim("bake, 1024, GPU", "bake_1024_torch_fps", 60, "frames/s", at_least=True),
)

MAPS = {
    "exact_1024_ort": "exact, ONNX Runtime",
    "exact_512_ort": "the same at 512",
    "exact_256_ort": "the same at 256",
    "exact_1024_fp32": "exact, OpenVINO, float32",
    "exact_512_fp32": "the same at 512",
    "exact_256_fp32": "the same at 256",
    "exact_1024_fast": "exact, OpenVINO, bfloat16",
    "exact_1024_torch": "exact, PyTorch on the CPU",
    "paper_1024_eager": "**the paper's**, eager PyTorch",
    "paper_1024_ort": "**the paper's**, ONNX Runtime",
}

MIXTURES = {
    "mixture_1024_ort": "mixture, ONNX Runtime",
    "mixture_1024_openvino": "mixture, OpenVINO",
    "mixture_1024_torch": "mixture, PyTorch on the CPU",
    "tick_backend_1024": "**tick in the backend**, 1024",
    "tick_backend_512": "the same at 512",
    "tick_backend_256": "the same at 256",
}


def number(value: float) -> str:
    """Three significant digits, as people write them."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cell(figures: Figures, name: str) -> str:
    """A figure, or nothing if it was not measured."""
    return number(figures[name]) if name in figures else ""


def table(head: str, rows: list[list[str]]) -> list[str]:
    """A table with right-aligned numbers."""
    columns = head.count("|") - 2
    return [head, "|---|" + "---:|" * columns, *("| " + " | ".join(row) + " |" for row in rows)]


def copied_ms(figures: Figures, megabytes: float) -> float:
    """How long the machine takes to copy so much, reading and writing counted."""
    return megabytes / figures["floor_copy_gb_s"]


def tick_mb(figures: Figures) -> float:
    """What a tick in the backend moves at least: the mixture's bytes, into shared memory and out of it."""
    return figures.get("work_mixture_least_mb", 0.0) + 4 * MAP_MB


def machine(record: dict[str, Any]) -> list[str]:
    """What was measured on."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    values = {figure["name"]: figure["value"] for figure in record["figures"]}
    lines = [
        f"- {record['machine']}, {record.get('memory_gb', '?')} GB",
        f"- {versions}",
        f"- it copies {number(values['floor_copy_gb_s'])} GB/s (read and written, NumPy, one thread) and "
        f"multiplies matrices at {number(values['floor_matmul_gflop_s'])} GFLOP/s (float32, NumPy)",
        f"- commit {record['commit']}",
    ]
    lines += [f"- not here: {name}. {how}" for name, how in record["absent"].items()]
    return lines + [f"- **failed**: {name}. {why}" for name, why in record["failed"].items()]


def aims(figures: Figures) -> list[str]:
    """What was aimed at, and whether it is met."""
    rows = []
    for aim in AIMS:
        bound = f"{'≥' if aim.at_least else '≤'} {aim.value:,g} {aim.unit}".strip()
        if aim.figure not in figures:
            rows.append([aim.title, "", bound, "not run"])
            continue
        value = figures[aim.figure]
        met = value >= aim.value if aim.at_least else value <= aim.value
        rows.append([aim.title, number(value), bound, "met" if met else "**missed**"])
    return table("| | measured | aim | |", rows)


def maps(figures: Figures) -> list[str]:
    """Exact maps beside the paper's generator, and what they cannot do without."""
    rows = []
    rate = figures["floor_matmul_gflop_s"]
    for name, title in MAPS.items():
        if f"{name}_ms" not in figures:
            continue
        floors = ["", ""]
        kind = name.split("_")[0]
        if f"work_{kind}_gflop" in figures:
            floors[0] = number(1000 * figures[f"work_{kind}_gflop"] / rate)
        if name == "exact_1024_ort" and "work_exact_moved_mb" in figures:
            floors[1] = number(copied_ms(figures, figures["work_exact_moved_mb"]))
        rows.append(
            [
                title,
                *(cell(figures, f"{name}_{of}") for of in ("min_ms", "ms", "p95_ms", "maps_s")),
                *floors,
            ]
        )
    head = "| | least ms | median ms | 95 % ms | maps/s | operations alone, ms | its operators' bytes alone, ms |"
    return table(head, rows)


def mixtures(figures: Figures) -> list[str]:
    """Live maps in the backend, and the bytes that they move at least."""
    rows = []
    for name, title in MIXTURES.items():
        if f"{name}_ms" not in figures:
            continue
        floor = ["", ""]
        if "1024" in name and "work_mixture_least_mb" in figures:
            moved = figures["work_mixture_least_mb"]
            if name.startswith("tick"):
                moved = tick_mb(figures)
            floor = [number(moved), number(copied_ms(figures, moved))]
        times = [cell(figures, f"{name}_{of}") for of in ("min_ms", "ms", "p95_ms")]
        rows.append([title, *times, *floor])
    return table("| | least ms | median ms | 95 % ms | MB at least | floor, ms |", rows)


def viewport(figures: Figures) -> list[str]:
    """From slider to mesh, beside the same head without detail."""
    rows = []
    # The backend's tick; then the map as RGBA: read, written, and handed to Blender, which reads and
    # writes it.
    shaded_mb = tick_mb(figures) + (1 + 3 * 4) * MAP_MB
    for title, name, level, image in (
        ("shaded", "tick_shaded", 0, shaded_mb),
        ("displaced, level 1", "tick_displaced_level1", 1, shaded_mb),
        ("displaced, level 2", "tick_displaced_level2", 2, shaded_mb),
        ("portable, level 1", "portable_frame_level1", 1, 0.0),
        ("portable, level 2", "portable_frame_level2", 2, 0.0),
    ):
        counted = f"tick_displaced_level{level}_vertices" if level else "head_vertices"
        if f"{name}_ms" not in figures or counted not in figures:
            continue
        names = (f"{name}_min_ms", f"{name}_ms", f"{name}_p95_ms", f"plain_frame_level{level}_ms")
        floor = copied_ms(figures, image + VERTEX_MB * figures[counted])
        times = [cell(figures, figure) for figure in names]
        rows.append([title, f"{figures[counted]:,.0f}", *times, number(floor)])
    if "tick_displaced_ms" in figures:
        between = cell(figures, "tick_displaced_ms")
        rows.append(["**displaced, between the two**", "80,000", "", between, "", "", ""])
    head = "| | vertices | least ms | median ms | 95 % ms | the same without detail, ms | bytes alone, ms |"
    return table(head, rows)


def rest(figures: Figures) -> list[str]:
    """Identity, speech, bakes, memory, starts."""
    vertices = figures.get("head_vertices", 0.0)
    keys = BLENDSHAPES * vertices * 12 * 2 / 1e6
    written = KEY_MB * 600 * 30 * (BLENDSHAPES - 1)
    listed = (
        ("identity slider: head and keys written", "identity_mesh_ms", "ms", f"{number(copied_ms(figures, keys))} ms: 53 keys of {vertices:,.0f} vertices, read and written"),
        ("identity slider: head with its live map", "identity_live_ms", "ms", ""),
        ("identity slider: its exact map", "identity_exact_ms", "ms", "150 ms of it is the wait for the hand to rest"),
        ("first speech of 10 s, models loading", "speech_10s_first_s", "s", ""),
        ("speech of 10 s to an Action", "speech_10s_s", "s", ""),
        ("speech of 10 min to an Action", "speech_10min_s", "s", ""),
        ("its keys alone", "keys_10min_s", "s", f"{number(copied_ms(figures, written))} ms: {number(written)} MB of keys, 18,000 frames"),
        ("portable basis, made and packed", "portable_make_s", "s", ""),
    )  # fmt: skip
    rows = [
        [title, f"{number(figures[name])} {unit}", floor]
        for title, name, unit, floor in listed
        if name in figures
    ]
    for name, title, exact in (
        ("bake_512_fps", "bake, 512, ONNX Runtime", "exact_512_ort_ms"),
        ("bake_1024_fps", "bake, 1024, ONNX Runtime", "exact_1024_ort_ms"),
        ("bake_1024_openvino_fps", "bake, 1024, OpenVINO", "exact_1024_fp32_ms"),
    ):
        if name in figures:
            alone = (
                f"{number(1000 / figures[exact])} by the engine alone" if exact in figures else ""
            )
            rows.append([title, f"{number(figures[name])} frames/s", alone])
    for name, title, unit in (
        ("backend_rss_mb", "peak memory of the backend, live at 1024", "MB"),
        ("backend_speech_rss_mb", "the same, ten minutes of speech", "MB"),
        ("blender_peak_mb", "peak memory of Blender, live at 1024, level 2", "MB"),
        ("blender_speech_peak_mb", "the same, ten minutes of keys", "MB"),
        ("backend_start_s", "start of the backend, until it answers", "s"),
        ("backend_first_map_s", "until its first exact map is here", "s"),
        ("addon_start_ms", "what the add-on adds to Blender's start", "ms"),
    ):
        if name in figures:
            rows.append([title, f"{number(figures[name])} {unit}", ""])
    return ["| | measured | floor, or what it is compared with |", "|---|---:|---|",
            *("| " + " | ".join(row) + " |" for row in rows)]  # fmt: skip


def work(figures: Figures) -> list[str]:
    """Operations and bytes of one map."""
    columns = ("gflop", "least_mb", "moved_mb", "convolutions_percent")
    rows = [
        [title, *(cell(figures, f"work_{name}_{of}") for of in columns)]
        for name, title in (
            ("mixture", "mixture"),
            ("exact", "exact map"),
            ("paper", "the paper's generator"),
        )
    ]
    return table(
        "| | GFLOP | MB at least | MB of ONNX Runtime's operators | % of its time in convolutions |",
        rows,
    )


def tables(figures: Figures) -> Tables:
    """The page's tables."""
    record = json.loads((DOCS / "bench.json").read_text())
    return {
        "machine": machine(record),
        "aims": aims(figures),
        "work": work(figures),
        "maps": maps(figures),
        "mixtures": mixtures(figures),
        "viewport": viewport(figures),
        "rest": rest(figures),
    }


if __name__ == "__main__":
    raise SystemExit(main("bench.md", __doc__, tables))
