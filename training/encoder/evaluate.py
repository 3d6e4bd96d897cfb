"""`furrow evaluate encoder`: the shipped networks on people and expressions that training never saw."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...backend.detail.engines.torch_networks import Encoder, Synthesis, load
from ...backend.formats.figures import Figure
from ...backend.formats.files import ASSETS
from ...backend.formats.identity import Identity
from ...backend.head.bilinear import Head
from ..corpus import lines
from ..corpus.sampler import sample_identity
from ..maps.data import Maps
from ..maps.testset import TEST_PEOPLE, TEST_SEED, draw_test_set
from ..networks.metrics import BANDS_MM, resized
from ..spine import machine
from . import baselines
from .pictures import write_comparison
from .scores import FINE, RESOLUTION, Evaluator, Method, Scores, errors_db, summary

SUBSET = 4
"""Every n-th person's maps are measured without --full."""

LINED = 6
"""People whose lines are compared."""

UNITS = {
    "psnr_db": "dB",
    "ssim": "",
    "lpips": "",
    "lpips_whole": "",
    "band_error_plain_db": "dB",
    "band_error_worst_db": "dB",
}
"""Of the figures that every method has; see `scores.summary`."""

LARGER_IS_BETTER = ("psnr_db", "ssim")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``furrow evaluate encoder``."""
    parser.add_argument("--data", type=Path, default=Path("out/detail-data"))
    parser.add_argument(
        "--assets", type=Path, default=ASSETS / "detail", help="networks to measure"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="all test maps, and the baselines learned and measured anew (needs the training set)",
    )
    machine.add_threads(parser)
    parser.add_argument(
        "--picture", type=Path, metavar="FILE.png", help="also draw truth beside the networks' maps"
    )


def run(args: argparse.Namespace) -> list[Figure]:
    """Figures on 60 maps of 15 unseen people, or with --full on 240 of 60; 4 minutes on 2 cores.

    All methods are compared at 512; `psnr_db`, `ssim` and `lpips` on maps without relief, which is
    what follows from (a, b), `lpips_whole` and `band_error_worst_db` on whole maps. Those of
    the baselines are recorded ones, except with --full.
    """
    machine.set_threads(args.threads)
    head = Head.load()
    test = draw_test_set(args.data, head)
    seed = json.loads((args.assets / "detail.json").read_text())["config"]["seed"] + 1
    others = {} if args.full else baselines.read_record(seed, test)["subset"]
    encoder, synthesis = load(args.assets)
    ours = networks(encoder, synthesis, test)
    evaluator = Evaluator(head, test)
    rows = np.flatnonzero(test.person % SUBSET == 0)
    if args.full:
        scores, others = _all(args, evaluator, ours, rows, seed)
    else:
        scores = evaluator.compare({"ours": ours}, rows, bar)
    if args.picture:
        _draw(args.picture, evaluator, ours)
    own = summary(scores["ours"], scores["truth"], np.arange(len(scores["ours"].lpips)))
    return [
        *comparison(own, others),
        *line_figures(head, encoder, synthesis),
        *band_figures(scores, list(evaluator.regions[RESOLUTION])),
        *(_finest(head, test, ours) if args.full else []),
        *(
            Figure(f"{key}_{name}", value, UNITS[key])
            for name, figures in others.items()
            for key, value in figures.items()
        ),
    ]


def bar(rows: np.ndarray) -> tqdm:
    """Rows with a bar of progress."""
    return tqdm(rows, "maps", unit="map")


def networks(encoder: Encoder, synthesis: Synthesis, test: Maps, seed: int = 0) -> Method:
    """The networks as a method to compare; each row has a noise of its own."""
    size = synthesis.config.resolution

    def of(row: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(1_000_000 * seed + int(row))
        noise = torch.randn(1, 1, size, size, generator=generator)
        with torch.inference_mode():
            w = encoder(
                torch.from_numpy(test.identity[row : row + 1]),
                torch.from_numpy(test.expression[row : row + 1]),
            )
            return synthesis(w, torch.zeros_like(noise)), synthesis(w, noise)

    return of


def _all(
    args: argparse.Namespace, evaluator: Evaluator, ours: Method, subset: np.ndarray, seed: int
) -> tuple[dict[str, Scores], dict[str, dict[str, float]]]:
    """Measure the networks and all baselines on the whole test set, and record the baselines'."""
    test = evaluator.test
    store = baselines.Baselines(args.data, evaluator.head, seed)
    rows = np.arange(len(test.map))
    methods = {name: baselines.method(store, test, name, rows) for name in baselines.NAMES}
    scores = evaluator.compare({"ours": ours} | methods, rows, bar)
    record = {
        part: {name: summary(scores[name], scores["truth"], positions) for name in baselines.NAMES}
        for part, positions in (("subset", subset), ("all", rows))
    }
    baselines.write_record(record, store.train, test)
    return scores, record["all"]


def comparison(own: Mapping[str, float], others: Mapping[str, Mapping[str, float]]) -> list[Figure]:
    """The networks' figures, each with the best baseline's; baselines by name and figure."""
    figures = []
    for key, unit in UNITS.items():
        best = max if key in LARGER_IS_BETTER else min
        stem, suffix = (key[:-3], "_db") if key.endswith("_db") else (key, "")
        figures += [
            Figure(key, own[key], unit),
            Figure(f"{stem}_best_baseline{suffix}", best(f[key] for f in others.values()), unit),
        ]
    return figures


def line_figures(head: Head, encoder: Encoder, synthesis: Synthesis) -> list[Figure]:
    """Whether unseen people's lines stay where they are, differ between people, and are theirs.

    `line_fixity_corr` and `line_identity_corr` are those of ``furrow evaluate corpus`` for the
    networks' maps; `line_truth_corr` compares the networks' lines with the corpus' for the same
    person and expression, `line_stranger_corr` with the corpus' for the other people.
    """
    people = [
        sample_identity(head, np.random.default_rng((TEST_SEED, number))) for number in range(LINED)
    ]
    truth = lines.line_changes(head, people, RESOLUTION)
    ours = lines.line_changes(head, people, RESOLUTION, _maps_of(encoder, synthesis))
    right = [lines.correlation(ours[key][1], truth[key][1]) for key in ours]
    wrong = [
        lines.correlation(ours[name, i][1], truth[name, j][1])
        for name, i in ours
        for j in range(LINED)
        if j != i
    ]
    values = {
        "line_fixity_corr": lines.line_correlations(ours)[0],
        "line_fixity_corpus_corr": lines.line_correlations(truth)[0],
        "line_identity_corr": lines.line_correlations(ours)[1],
        "line_identity_corpus_corr": lines.line_correlations(truth)[1],
        "line_truth_corr": float(np.mean(right)),
        "line_stranger_corr": float(np.mean(wrong)),
    }
    return [Figure(name, value, "correlation") for name, value in values.items()]


def _maps_of(encoder: Encoder, synthesis: Synthesis) -> lines.Maps:
    """The networks' maps without relief at `RESOLUTION`, by person."""
    size = synthesis.config.resolution
    noise = torch.zeros(1, 1, size, size)

    def of(person: Identity) -> lines.Draw:
        def image(weights: np.ndarray) -> np.ndarray:
            a, b = (torch.from_numpy(v)[None] for v in (person.vector, weights))
            with torch.inference_mode():
                return resized(synthesis(encoder(a, b), noise), RESOLUTION)[0, 0].numpy()

        return image

    return of


def band_figures(scores: Mapping[str, Scores], regions: list[str]) -> list[Figure]:
    """The networks' energy over the corpus', by region and band of whole maps."""
    rows = np.arange(len(scores["ours"].lpips))
    errors = errors_db(scores["ours"], scores["truth"], "whole", rows)
    return [
        Figure(f"band_{region}_{low:g}_{high:g}_mm_db", float(errors[i, j]), "dB")
        for i, region in enumerate(regions)
        for j, (low, high) in enumerate(BANDS_MM)
    ]


def _finest(head: Head, test: Maps, ours: Method) -> list[Figure]:
    """The networks' figures at `FINE`, on all test maps."""
    rows = np.arange(len(test.map))
    scores = Evaluator(head, test, FINE).compare({"ours": ours}, rows, bar)
    values = summary(scores["ours"], scores["truth"], rows)
    names = {"psnr_1024_db": "psnr_db", "ssim_1024": "ssim", "lpips_1024": "lpips"}
    return [Figure(name, values[key], UNITS[key]) for name, key in names.items()]


def _draw(path: Path, evaluator: Evaluator, ours: Method) -> None:
    """Draw whole maps of truth and networks: the most folded one of every twentieth person."""
    test = evaluator.test
    front = (slice(20, 440), slice(100, 420))  # the face, without its rim
    pairs = []
    for person in range(0, TEST_PEOPLE, 20):
        rows = np.flatnonzero(test.person == person)
        # Flat maps show nothing.
        row = max(rows, key=lambda r: np.square(test.map[r], dtype=np.float32).sum())
        whole = [
            resized(m, RESOLUTION)[0, 0].numpy() for m in (evaluator.truth(row)[1], ours(row)[1])
        ]
        pairs.append((whole[0][front], whole[1][front]))
    write_comparison(path, pairs, evaluator.texel_mm[RESOLUTION])
