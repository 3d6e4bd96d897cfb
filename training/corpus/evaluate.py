"""`furrow evaluate corpus`: how the synthesised skin compares with real skin."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ...backend.formats.expressions import FACESCAPE_PRESETS, vector
from ...backend.formats.figures import Figure
from ...backend.formats.identity import Identity
from ...backend.head.bilinear import Head
from . import bands, lines, measures, orientation, pictures
from .chart import chart
from .compose import Skin
from .sampler import sample_identity

SEED = 7

RAMPS = ("brow-raiser", "smile")
"""Expressions whose growth from rest is measured."""

RAMPED = 2
"""People whose ramps are measured."""

TURNED = 4
"""People whose furrows' directions are measured."""

RESOLUTION = 1024
"""Where maps are measured, if their fine structure matters."""

LINE_RESOLUTION = 512
"""Where people's lines are compared."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `furrow evaluate corpus`."""
    parser.add_argument("--people", type=int, default=10, help="random people (default: 10)")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE.png", help="also draw maps under side light"
    )
    parser.add_argument(
        "--muscles", type=Path, metavar="FILE.png", help="also draw what each muscle folds"
    )


def run(args: argparse.Namespace) -> list[Figure]:
    """Return the figures; under three minutes on one core."""
    head = Head.load()
    if args.picture:
        pictures.write_picture(args.picture, head)
    if args.muscles:
        from .muscle_picture import write_muscles  # matplotlib takes a second to load

        write_muscles(args.muscles, head)
    rng = np.random.default_rng(SEED)
    people = [sample_identity(head, rng) for _ in range(max(2, args.people))]
    return [
        *band_figures(head),
        *orientation_figures(head, people[:TURNED]),
        *line_figures(head, people),
        *map_figures(head, people),
    ]


def band_figures(head: Head) -> list[Figure]:
    """Return the worst ratio to the measured bands, and the table behind it."""
    rms = bands.band_table(head)
    ratios = bands.band_ratios(rms)
    others = [
        max(bands.band_ratios(bands.band_rms(head, bands.young_person(head, seed))).values())
        for seed in range(3)
    ]
    return [
        Figure("band_ratio_worst", max(ratios.values()), "ratio"),
        Figure("band_ratio_median", float(np.median(list(ratios.values()))), "ratio"),
        Figure("band_ratio_worst_others", max(others), "ratio"),
        *(
            Figure(f"band_{region}_{low:g}_{high:g}_mm", value, "um")
            for (region, (low, high)), value in sorted(rms.items())
        ),
    ]


def orientation_figures(head: Head, people: list[Identity]) -> list[Figure]:
    """Return the angles between furrows and what they should lie across, overall and by muscle."""
    fibres = orientation.across_fibres(head, people)
    mesh = orientation.across_compression(head, people)
    crossed = [f.name for f in orientation.fields(chart(head, RESOLUTION)) if f.crossed]
    named = {
        "orientation_median": orientation.together([fibres[name] for name in crossed]),
        "orientation_with_folds_median": orientation.together(list(fibres.values())),
        "orientation_mesh_median": orientation.together(list(mesh.values())),
        **{f"orientation_{name}": angles for name, angles in fibres.items()},
        **{f"orientation_mesh_{name}": angles for name, angles in mesh.items()},
    }
    return [Figure(f"{name}_deg", angles.median(), "deg") for name, angles in named.items()]


def line_figures(head: Head, people: list[Identity]) -> list[Figure]:
    """Return whether lines stay where they are as an expression grows, and differ between people."""
    fixity, identity = lines.line_correlations(lines.line_changes(head, people, LINE_RESOLUTION))
    ramps = [
        lines.ramp(skin, vector(FACESCAPE_PRESETS[name]))
        for skin in (Skin(head, person, RESOLUTION) for person in people[:RAMPED])
        for name in RAMPS
    ]
    return [
        Figure("line_fixity_corr", fixity, "correlation"),
        Figure("line_identity_corr", identity, "correlation"),
        Figure("ramp_largest_step_um", max(r.largest_step_um for r in ramps), "um"),
        Figure("ramp_step_ratio", max(r.step_ratio for r in ramps), "ratio"),
        Figure("ramp_line_corr", min(r.correlation for r in ramps), "correlation"),
        Figure("ramp_line_shift_mm", max(r.shift_mm for r in ramps), "mm"),
    ]


def map_figures(head: Head, people: list[Identity]) -> list[Figure]:
    """Return the figures of whole maps: mean, seam, variety, seconds."""
    skin = Skin(head, people[0], RESOLUTION)
    means = np.abs([measures.mean_displacement(Skin(head, one, 512)) for one in people])
    edges = measures.seam_edges(head)
    maps = [skin.map(vector(FACESCAPE_PRESETS[name])) for name in lines.FOLDING]
    border = max(measures.border_displacement(one, skin) for one in maps)
    varied = measures.variety(head, people, lines.FOLDING)
    return [
        Figure("mean_displacement_mm", float(means.mean()), "mm"),
        Figure("mean_displacement_worst_mm", float(means.max()), "mm"),
        Figure("seam_jump_mm", max(measures.seam_jump(one, edges) for one in maps), "mm"),
        Figure("seam_border_mm", border, "mm"),
        Figure("variety_nearest_um", varied.nearest_um, "um"),
        Figure("variety_nearest_ratio", varied.nearest_ratio, "ratio"),
        Figure("seconds_per_map_512", measures.seconds_per_map(head, people[0], 512), "s"),
        Figure("seconds_per_map_1024", measures.seconds_per_map(head, people[0], 1024), "s"),
    ]
