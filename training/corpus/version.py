"""The version of the synthesis: what keys a drawn set, and numbers by which a changed map is noticed.

After a change of maps, people or expressions: raise CORPUS_VERSION, then run
``python -m furrow.training.corpus.version``, which measures the reference anew. Whoever changes code
without changing maps does nothing.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from ...backend.errors import FurrowError
from ...backend.formats.expressions import FACESCAPE_PRESETS, vector
from ...backend.formats.files import ASSETS, sha256, write_whole
from ...backend.head.bilinear import Head
from .chart import chart
from .compose import Skin
from .pores import pores
from .relief import amplitudes
from .sampler import sample_expression, sample_identity, sample_mixture

CORPUS_VERSION = 1
"""Raised by hand whenever maps change: a set of another version is never gone on with."""

REFERENCE = Path(__file__).with_name("reference.json")
"""What :func:`measure` gave when the version was raised."""

TOLERANCE_MM = 1e-6
"""Projections of one version agree to this. Processors without AVX and NumPy 2 give the same to 6e-8; a thousandth of
the depth of one kind of furrow is 3e-6 and more."""

RESOLUTION = 256
"""The coarsest maps with relief of the detail seed in them."""

SEED, PEOPLE = 19, 2
"""Two people of about 75 and 50 years, with moles and scars."""

PROJECTIONS = 8


@functools.lru_cache(maxsize=2)
def maker() -> dict[str, Any]:
    """Return what decides maps beside a set's own settings: this version and the shipped head."""
    return {"corpus_version": CORPUS_VERSION, "head": sha256(ASSETS / "head.npz")[:16]}


def measure(head: Head) -> dict[str, list[float]]:
    """Return projections, mm, of maps and of what only finer maps show, of people as sets draw them."""
    rng = np.random.default_rng(SEED)
    out = {}
    for number in range(PEOPLE):
        skin = Skin(head, sample_identity(head, rng), RESOLUTION)
        expressions = {
            "neutral": vector({}),
            "anger": vector(FACESCAPE_PRESETS["anger"]),
            "random": sample_expression(rng),
            "mixture": sample_mixture(rng),
        }
        for name, weights in expressions.items():
            out[f"person {number}, {name}"] = project(skin.map(weights))
        pits = pores(np.random.default_rng(SEED), skin.chart, skin.habit)
        out[f"person {number}, pores"] = project(pits)
    out["amplitudes"] = project(amplitudes(chart(head, RESOLUTION)))
    return out


def project(values: np.ndarray) -> list[float]:
    """Return PROJECTIONS of values onto fixed random directions: their RMS is that of the values.

    One texel that changes by d mm out of n changes each by about d / sqrt(n).
    """
    flat = np.asarray(values, np.float64).ravel()
    directions = np.random.default_rng(0).standard_normal((PROJECTIONS, len(flat)))
    return [round(float(x), 9) for x in directions @ flat / np.sqrt(len(flat))]


def changes(reference: dict[str, list[float]], measured: dict[str, list[float]]) -> list[str]:
    """Return the names of what differs by more than TOLERANCE_MM, or is in one of the two alone."""
    return [
        name
        for name in sorted(reference.keys() | measured.keys())
        if not np.allclose(
            reference.get(name, np.inf), measured.get(name, np.nan), rtol=0, atol=TOLERANCE_MM
        )
    ]


def read_reference() -> dict[str, Any]:
    """Return what was measured when the version was raised: {corpus_version, head, maps}."""
    content: dict[str, Any] = json.loads(REFERENCE.read_text(encoding="utf-8"))
    return content


def write_reference() -> None:
    """Measure the reference of this version.

    Raises
    ------
    FurrowError
        If maps of the same head have changed and CORPUS_VERSION has not.
    """
    measured = measure(Head.load())
    if REFERENCE.exists():
        before = read_reference()
        if {key: before[key] for key in maker()} == maker() and changes(before["maps"], measured):
            raise FurrowError("Maps have changed. Raise CORPUS_VERSION first.")
    lines = json.dumps({**maker(), "maps": measured}, indent=1)
    write_whole(REFERENCE, lines.encode() + b"\n")


if __name__ == "__main__":
    write_reference()
