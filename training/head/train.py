"""`furrow train head`: learns a head from scans (ICT) and from the package's targets."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...backend.errors import FurrowError
from ...backend.formats.files import ASSETS
from ...backend.formats.identity import SKIN
from ...backend.head.contact import to_arrays
from .anatomy import Anatomy
from .average import scanned_anatomy
from .bodies import ScanBodies
from .conversion import conversion_arrays
from .core import identity_basis, importance, interaction
from .directions import directions
from .pack import layout_arrays, pack_rows, write_head
from .people import Person, sample, scan_body, sliders
from .scans import read_scans
from .source import Source

TRAINING_SEED = 1
"""Of the people in the core; those of evaluation come from another seed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `furrow train head`."""
    parser.add_argument(
        "--ict",
        type=Path,
        required=True,
        metavar="FILE|CLONE",
        help="ICT's FaceXModel: a clone of https://github.com/ICT-VGL/ICT-FaceKit, or one .npz",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("out/head.npz"), help="file to write (out/head.npz)"
    )
    parser.add_argument(
        "--replaces",
        type=Path,
        default=ASSETS / "head.npz",
        help="the head whose chart is kept and whose identities are converted (the one that ships)",
    )
    parser.add_argument("--people", type=int, default=700, help="faces at rest (default: 700)")
    parser.add_argument(
        "--expressive", type=int, default=160, help="people with all 52 expressions (default: 160)"
    )
    parser.add_argument("--components", type=int, default=64, help="K (default: 64)")
    parser.add_argument("--rank", type=int, default=180, help="R of the interaction (default: 180)")
    parser.add_argument("--cache", type=Path, help="where the source package lies or goes")


def run(args: argparse.Namespace) -> None:
    """Build the head; about five minutes on two cores. Raises FurrowError."""
    if not args.components < args.expressive <= args.people:
        raise FurrowError("It needs components < expressive <= people.")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    source = Source.open(args.cache)
    anatomy, bodies = scanned_anatomy(source, read_scans(args.ict))
    _keep_chart(args.replaces, anatomy)
    rest, units, people = gather(source, anatomy, bodies, args.people, args.expressive)
    weight = importance(anatomy.layout)
    mean, basis, coefficients = identity_basis(rest, weight, args.components)
    turn = _turn_of(args.replaces, basis, anatomy.layout.skin_count)
    basis, coefficients = turn @ basis, coefficients @ turn.T
    middle, spatial, core = interaction(
        coefficients[: args.expressive], units, weight, args.rank, ridge=4.0
    )
    named = directions(source, anatomy, bodies, mean, basis, weight)
    together = np.concatenate([coefficients, skin_of(people)], axis=1)
    values, vectors = np.linalg.eigh(np.cov(together.T))
    arrays = layout_arrays(anatomy.layout) | to_arrays(anatomy.contacts)
    arrays |= {"mean": mean.reshape(-1, 3).astype(np.float32)}
    arrays |= pack_rows(basis, "basis") | pack_rows(middle, "units") | pack_rows(spatial, "spatial")
    arrays |= {
        "core": core.astype(np.float16),
        "people_mean": together.mean(0).astype(np.float32),
        # The symmetric root, which no reordering of components changes.
        "people_factor": ((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T).astype(
            np.float32
        ),
        "direction_names": np.array([name for name, _, _ in named]),
        "direction_groups": np.array([group for _, group, _ in named]),
        "direction_vectors": np.stack([vector for _, _, vector in named]).astype(np.float32),
    }
    arrays |= conversion_arrays(args.replaces, mean, basis, weight)
    write_head(args.output, arrays)
    print(f"{args.output}: {args.output.stat().st_size / 2**20:.1f} MiB")


def gather(
    source: Source, anatomy: Anatomy, bodies: ScanBodies, count: int, expressive: int
) -> tuple[np.ndarray, np.ndarray, list[Person]]:
    """Sample people: faces at rest (count, 3V), units (expressive, 52, 3V), and who they are."""
    rng = np.random.default_rng(TRAINING_SEED)
    choices = sliders(source)
    people = [sample(rng, choices) for _ in range(count)]
    size = 3 * len(anatomy.layout.groups["skin"])
    rest = np.empty((count, size), np.float32)
    units = np.empty((expressive, 52, size), np.float32)
    for i, person in enumerate(tqdm(people, desc="people", mininterval=2)):
        face = anatomy.face(scan_body(source, bodies, person, choices), i < expressive)
        rest[i] = face.rest.ravel()
        if face.units is not None:
            units[i] = face.units.reshape(52, -1)
    return rest, units, people


def skin_of(people: list[Person]) -> np.ndarray:
    """Skin coefficients (N, 16) that go with the people: age from the geometry, habits drawn.

    Depths of furrows lean towards the old a little; their own growth with age is the skin's affair.
    """
    rng = np.random.default_rng(TRAINING_SEED + 1)
    age = np.array([person.age for person in people])
    skin = np.clip(0.5 + 0.15 * rng.standard_normal((len(people), len(SKIN))), 0.05, 0.95)
    for i, name in enumerate(SKIN):
        if name.endswith("_depth"):
            skin[:, i] += 0.12 * (age - 0.5)
    skin[:, SKIN.index("age")] = age
    skin[:, SKIN.index("thickness")] -= 0.15 * (age - 0.5)
    return np.clip(skin, 0.02, 0.98)


def _keep_chart(path: Path, anatomy: Anatomy) -> None:
    """Refuse to write a head whose skin would not fit the networks trained on the present one."""
    if not path.exists():
        return
    skin = int((anatomy.layout.faces < anatomy.layout.skin_count).all(1).sum())
    with np.load(path, allow_pickle=False) as old:
        faces, uv = old["faces"], old["uv"]
    same = np.array_equal(faces[:skin], anatomy.layout.faces[:skin])
    if not same or np.abs(uv[:skin] - anatomy.layout.uv[:skin]).max() > 1e-5:
        raise FurrowError(
            f"The skin's faces or chart would differ from those of {path}, which the networks "
            "were trained on. Choose another --output."
        )


def _turn_of(path: Path, basis: np.ndarray, skin_count: int) -> np.ndarray:
    """Rotation (K, K) that brings components closest to those of the head that is replaced.

    Signs, and the order of components of like variance, are arbitrary; identities that people
    saved and networks trained on them must keep their faces. A rotation leaves coefficients
    uncorrelated and of unit variance. Orthogonal Procrustes on the skin's vertices.
    """
    if path.exists():
        with np.load(path, allow_pickle=False) as old:
            before = old["basis"].astype(np.float64) * old["basis_scale"][:, None]
        if len(before) == len(basis):
            size = 3 * skin_count
            left, _, right = np.linalg.svd(before[:, :size] @ basis[:, :size].T)
            return left @ right
    return np.eye(len(basis))
