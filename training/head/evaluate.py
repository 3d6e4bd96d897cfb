"""`furrow evaluate head`: the shipped head against people who are not in it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...backend.formats.expressions import EXPRESSIONS, INDEX, vector
from ...backend.formats.figures import Figure
from ...backend.head.bilinear import Head
from ...backend.head.contact import depth_in_eye
from ...backend.head.registration import polygon_triangles
from .anatomy import Anatomy
from .average import anatomy_of_head, scanned_anatomy
from .bodies import ScanBodies
from .core import importance, project
from .intersections import crossing_faces
from .people import age_offsets, package_offsets, sample, sliders
from .scans import read_scans
from .source import Source

HELD_OUT_SEED = 900_001


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `furrow evaluate head`."""
    parser.add_argument("--head", type=Path, help="head model (default: the one that ships)")
    parser.add_argument(
        "--ict",
        type=Path,
        metavar="FILE|CLONE",
        help="ICT's FaceXModel; without it the figures of scans are left out",
    )
    parser.add_argument("--people", type=int, default=20, help="held-out people (default: 20)")
    parser.add_argument("--random", type=int, default=100, help="random identities (default: 100)")
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED, help="of the held-out people")
    parser.add_argument("--cache", type=Path, help="where the source package lies or goes")
    parser.add_argument("--full", action="store_true", help="100 held-out people")


def run(args: argparse.Namespace) -> list[Figure]:
    """Measure the head; see docs/head.md for what each figure means."""
    head = Head.load(args.head)
    source = Source.open(args.cache)
    anatomy, bodies = anatomy_of_head(source, head)
    count = 100 if args.full else args.people
    figures = fit_errors(head, anatomy, package_people(source, bodies, count, args.seed))
    if args.ict:
        scanned, scan_bodies = scanned_anatomy(source, read_scans(args.ict))
        people = scan_people(scan_bodies, count, args.seed)
        figures += fit_errors(head, scanned, people, "fit_scan", with_units=False)
    else:
        print("The figures of scans are left out: name ICT's FaceXModel by --ict.")
    figures += contacts(head, anatomy, args.random)
    figures.append(half_blink(head, args.random))
    figures += crossings(head)
    return figures + timings(head)


def package_people(
    source: Source, bodies: ScanBodies, count: int, seed: int
) -> Iterator[np.ndarray]:
    """Bodies of people by the package's targets, on the head's average."""
    rng = np.random.default_rng(seed)
    choices = sliders(source)
    for _ in range(count):
        person = sample(rng, choices)
        offsets = package_offsets(source, person, choices) + age_offsets(source, person.age)
        yield bodies.body(np.zeros(0), offsets)


def scan_people(bodies: ScanBodies, count: int, seed: int) -> Iterator[np.ndarray]:
    """Bodies of people drawn from the scans' distribution."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield bodies.body(rng.standard_normal(len(bodies.fit.modes)))


def fit_errors(
    head: Head,
    anatomy: Anatomy,
    people: Iterable[np.ndarray],
    name: str = "fit",
    with_units: bool = True,
) -> list[Figure]:
    """Distance between held-out faces and their fits, on visible skin of face and head.

    The identity is fitted to the face at rest alone; the expressions then have to follow.
    """
    weight = importance(anatomy.layout)
    groups = head.groups
    face = (groups["skin"] > 0.5) & (groups["neck"] < 0.5) & (groups["scalp"] < 0.5)
    mean, basis = head.neutral(np.zeros(head.shape_count)).ravel(), head.basis
    at_rest, in_motion = [], []
    for body in tqdm(people, desc="held-out people", mininterval=2):
        truth = anatomy.face(body, with_units)
        shape = project(truth.rest.ravel(), mean, basis, weight).astype(np.float32)
        error = head.neutral(shape) - truth.rest
        at_rest.append(np.linalg.norm(error[face], axis=1))
        if truth.units is not None:
            difference = head.blendshapes(shape)[:, face] - truth.units[:, face]
            moved = np.linalg.norm(truth.units[:, face], axis=2) > 0.0005
            in_motion.append(np.linalg.norm(difference, axis=2)[moved])
    figures = _mean_and_worst(f"{name}", 1000 * np.concatenate(at_rest))
    if in_motion:
        figures += _mean_and_worst(f"{name}_expression", 1000 * np.concatenate(in_motion))
    return figures


def _mean_and_worst(name: str, errors: np.ndarray) -> list[Figure]:
    return [
        Figure(f"{name}_mean_mm", float(errors.mean()), "mm"),
        Figure(f"{name}_p99_mm", float(np.quantile(errors, 0.99)), "mm"),
    ]


def contacts(head: Head, anatomy: Anatomy, count: int) -> list[Figure]:
    """Worst gaps of lids and lips, and lids inside the eye, over random identities."""
    blink = vector({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0})
    closed = vector({"jawOpen": 1.0, "mouthClose": 1.0})
    mouth, *eyes = anatomy.openings
    lid_gap = lip_gap = 0.0
    depth = -1.0
    for seed in range(count):
        shape = head.random(seed).shape
        shut = head.vertices(shape, blink).astype(np.float64)
        for opening, lids in zip(eyes, head.contacts.lids, strict=True):
            lid_gap = max(lid_gap, opening.gap(shut))
            depth = max(depth, float(depth_in_eye(shut[lids.near], lids.eye(shut))[0].max()))
        lip_gap = max(lip_gap, mouth.gap(head.vertices(shape, closed).astype(np.float64)))
    return [
        Figure("lid_gap_mm", 1000 * lid_gap, "mm"),
        Figure("lip_gap_mm", 1000 * lip_gap, "mm"),
        Figure("lid_penetration_mm", 1000 * depth, "mm"),
    ]


def half_blink(head: Head, count: int) -> Figure:
    """Deepest lid vertex in the eye at half a blink, over random identities."""
    half = vector({"eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5})
    depth = 0.0
    for seed in range(count):
        points = head.vertices(head.random(seed).shape, half).astype(np.float64)
        for lids in head.contacts.lids:
            depth = max(depth, float(depth_in_eye(points[lids.near], lids.eye(points))[0].max()))
    return Figure("half_blink_depth_mm", 1000 * depth, "mm")


def crossings(head: Head) -> list[Figure]:
    """Counts of skin triangles of the average that cross others, at rest and in the worst unit.

    Triangles on the rims of lips and lids do not count: closed rims overlap a little by design.
    """
    skin = head.face_material == head.materials.index("skin")
    faces = head.faces[skin]
    on_rim = np.zeros(head.vertex_count, bool)
    for closing in (head.contacts.lips, *(lids.closing for lids in head.contacts.lids)):
        on_rim[closing.rims] = True
    touching = on_rim[polygon_triangles(faces)].any(1)
    shape = np.zeros(head.shape_count, np.float32)
    counts = {}
    for name in ("rest", *EXPRESSIONS):
        weights = {} if name == "rest" else {name: 1.0}
        if name == "mouthClose":
            weights["jawOpen"] = 1.0
        crossing = crossing_faces(head.vertices(shape, vector(weights)), faces)
        counts[name] = int((~touching[crossing]).sum())
    rest = counts.pop("rest")
    worst = max(counts, key=lambda name: counts[name])
    print("triangles that cross:", {name: n for name, n in counts.items() if n})
    return [
        Figure("crossings_rest", rest, "triangles"),
        Figure("crossings_worst", counts[worst], "triangles"),
    ]


def timings(head: Head) -> list[Figure]:
    """Median times of a new identity and of a new expression of the same identity."""
    rng = np.random.default_rng(0)
    fresh, same = [], []
    for seed in range(15):
        shape = head.random(seed).shape
        start = time.perf_counter()
        head.vertices(shape, np.zeros(len(INDEX), np.float32))
        fresh.append(time.perf_counter() - start)
        for _ in range(5):
            expression = rng.uniform(0, 1, len(INDEX)).astype(np.float32)
            start = time.perf_counter()
            head.vertices(shape, expression)
            same.append(time.perf_counter() - start)
    return [
        Figure("new_identity_ms", 1000 * float(np.median(fresh)), "ms"),
        Figure("new_expression_ms", 1000 * float(np.median(same)), "ms"),
    ]
