"""`furrow evaluate head`: the shipped head against people who are not in it."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...backend.formats.expressions import EXPRESSIONS, INDEX, vector
from ...backend.formats.figures import Figure
from ...backend.head.bilinear import Head
from ...backend.head.contact import depth_in_eye
from .anatomy import Anatomy, triangles
from .core import importance, project
from .intersections import crossing_faces
from .people import body_of, sample, sliders
from .source import Source

HELD_OUT_SEED = 900_001


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `furrow evaluate head`."""
    parser.add_argument("--head", type=Path, help="head model (default: the one that ships)")
    parser.add_argument("--people", type=int, default=20, help="held-out people (default: 20)")
    parser.add_argument("--random", type=int, default=100, help="random identities (default: 100)")
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED, help="of the held-out people")
    parser.add_argument("--cache", type=Path, help="where the source package lies or goes")
    parser.add_argument("--full", action="store_true", help="100 held-out people")


def run(args: argparse.Namespace) -> list[Figure]:
    """Measure the head; see docs/head.md for what each figure means."""
    head = Head.load(args.head)
    source = Source.open(args.cache)
    anatomy = Anatomy(source)
    count = 100 if args.full else args.people
    figures = fit_errors(head, source, anatomy, count, args.seed)
    figures += contacts(head, anatomy, args.random)
    worst, name = self_intersections(head)
    print(f"most self-intersections: {name}")
    figures.append(Figure("self_intersections_worst", worst, "faces"))
    return figures + timings(head)


def fit_errors(head: Head, source: Source, anatomy: Anatomy, count: int, seed: int) -> list[Figure]:
    """Distance between held-out faces and their fits, on visible skin of face and head.

    The identity is fitted to the face at rest alone; the expressions then have to follow.
    """
    rng = np.random.default_rng(seed)
    choices = sliders(source)
    weight = importance(anatomy.layout)
    groups = head.groups
    face = (groups["skin"] > 0.5) & (groups["neck"] < 0.5) & (groups["scalp"] < 0.5)
    mean, basis = head.neutral(np.zeros(head.shape_count)).ravel(), head.basis
    at_rest, in_motion = [], []
    for _ in tqdm(range(count), desc="held-out people", mininterval=2):
        truth = anatomy.face(body_of(source, sample(rng, choices), choices))
        shape = project(truth.rest.ravel(), mean, basis, weight).astype(np.float32)
        error = head.neutral(shape) - truth.rest
        at_rest.append(np.linalg.norm(error[face], axis=1))
        assert truth.units is not None
        difference = head.blendshapes(shape)[:, face] - truth.units[:, face]
        moved = np.linalg.norm(truth.units[:, face], axis=2) > 0.0005
        in_motion.append(np.linalg.norm(difference, axis=2)[moved])
    rest, motion = 1000 * np.concatenate(at_rest), 1000 * np.concatenate(in_motion)
    return [
        Figure("fit_mean_mm", float(rest.mean()), "mm"),
        Figure("fit_p99_mm", float(np.quantile(rest, 0.99)), "mm"),
        Figure("fit_expression_mean_mm", float(motion.mean()), "mm"),
        Figure("fit_expression_p99_mm", float(np.quantile(motion, 0.99)), "mm"),
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


def self_intersections(head: Head) -> tuple[int, str]:
    """The largest count of skin faces that cross others in one expression of the average person.

    Faces on the rims of lips and lids do not count: closed rims overlap a little by design.
    """
    skin = head.face_material == head.materials.index("skin")
    faces = head.faces[skin]
    on_rim = np.zeros(head.vertex_count, bool)
    for closing in (head.contacts.lips, *(lids.closing for lids in head.contacts.lids)):
        on_rim[closing.rims] = True
    touching = on_rim[triangles(faces)].any(1)
    shape = np.zeros(head.shape_count, np.float32)
    worst, worst_name = -1, ""
    for name in ("neutral", *EXPRESSIONS):
        weights = {} if name == "neutral" else {name: 1.0}
        if name == "mouthClose":
            weights["jawOpen"] = 1.0
        crossing = crossing_faces(head.vertices(shape, vector(weights)), faces)
        count = int((~touching[crossing]).sum())
        if count > worst:
            worst, worst_name = count, name
    return worst, worst_name


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
