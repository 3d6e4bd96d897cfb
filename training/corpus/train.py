"""`furrow train corpus`: writes a set of displacement maps with their (a, b), in FaceScape's layout.

The set holds ``dpmap/{id}_{expression}.png`` (16-bit, millimetres by the scale in its metadata),
``identity/{id}.json`` (format furrow.identity/1), ``expression/{id}.npz`` (names and weights
(n, 52)), and ``set.json``, which says how it was made. The first 20 expressions of every person are
FaceScape's, the others random mixtures.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...backend.errors import FurrowError
from ...backend.expressions import FACESCAPE_PRESETS, vector
from ...backend.files import write_whole
from ...backend.head import Head
from ...backend.identity import write_identity
from ...backend.maps import write_map
from .chart import chart
from .compose import Skin
from .sampler import sample_expression, sample_identity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `furrow train corpus`."""
    parser.add_argument("--people", type=int, default=50, help="identities (default: 50)")
    parser.add_argument(
        "--mixtures", type=int, default=8, help="random expressions beside the 20 (default: 8)"
    )
    parser.add_argument("--resolution", type=int, default=1024, help="default: 1024")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--output", type=Path, default=Path("out/corpus"), help="folder (default: out/corpus)"
    )


def run(args: argparse.Namespace) -> None:
    """Write what is missing of the set; a set that was stopped goes on where it was.

    Raises
    ------
    FurrowError
        For counts that make no set, a folder that holds another set or cannot be written.
    """
    if args.people < 1 or args.mixtures < 0 or args.seed < 0:
        raise FurrowError(
            "A set needs at least one person, no fewer than 0 mixtures, and a seed from 0."
        )
    head = Head.load()
    chart(head, args.resolution)  # refuses a resolution before anything is written
    made_by = {
        "format": "furrow.corpus/1",
        "people": args.people,
        "mixtures": args.mixtures,
        "resolution": args.resolution,
        "seed": args.seed,
    }
    _claim(args.output / "set.json", made_by)
    total = args.people * (len(FACESCAPE_PRESETS) + args.mixtures)
    with tqdm(total=total, unit="map", desc="Folding skin", disable=None) as bar:
        for person in range(args.people):
            _person(args.output, head, person, made_by, bar)
    print(f"{args.output}: {total} maps of {args.people} people")


def _claim(record: Path, made_by: dict) -> None:
    """Write the record of a new set, or check that the folder's set is the same one."""
    try:
        there = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        write_whole(record, json.dumps(made_by, indent=1).encode() + b"\n")
        return
    except (OSError, ValueError) as error:
        raise FurrowError(f"{record} cannot be read: {error}. Choose another folder.") from None
    if there != made_by:
        raise FurrowError(
            f"{record.parent} holds a set made with other options. Choose another folder."
        )


def _person(folder: Path, head: Head, person: int, made_by: dict, bar: tqdm) -> None:
    """Write one person's maps that are missing; all that is random follows from seed and number."""
    rng = np.random.default_rng([made_by["seed"], person])
    identity = sample_identity(head, rng)
    wanted = {name: vector(weights) for name, weights in FACESCAPE_PRESETS.items()}
    wanted |= {f"mixture-{k + 1}": sample_expression(rng) for k in range(made_by["mixtures"])}
    number = f"{person + 1:04d}"
    write_identity(identity, folder / "identity" / f"{number}.json")
    arrays = io.BytesIO()
    np.savez(arrays, names=np.array(list(wanted)), weights=np.stack(list(wanted.values())))
    write_whole(folder / "expression" / f"{number}.npz", arrays.getvalue())
    skin = None
    for name, expression in wanted.items():
        path = folder / "dpmap" / f"{number}_{name}.png"
        if not path.exists():
            skin = skin or Skin(head, identity, made_by["resolution"])
            write_map(path, skin.map(expression))
        bar.update()
