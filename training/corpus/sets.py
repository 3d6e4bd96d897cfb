"""Sets of maps on disk: which there are, who is in them, and how one person's part is written.

A set is a folder in FaceScape's manner: ``dpmap/{id}_{expression}.png`` (16-bit, millimetres by the
scale in its metadata), ``identity/{id}.json`` (format furrow.identity/1), ``expression/{id}.npz``
(names and weights (n, 52)), and ``set.json``, which says what decided the maps.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...backend.errors import FurrowError
from ...backend.formats import maps
from ...backend.formats.expressions import FACESCAPE_PRESETS, vector
from ...backend.formats.files import write_whole
from ...backend.formats.identity import Identity, write_identity
from ...backend.head.bilinear import Head
from . import version
from .compose import Skin
from .sampler import sample_expression, sample_identity, sample_mixture

FORMAT = "furrow.corpus/2"

_VERSION = {"corpus_version", "head", "made_with"}
"""What ``set.json`` says of the code; `made_with`, in older sets, was a hash of its source."""

_FOLDERS = ("dpmap", "identity", "expression")


@dataclass(frozen=True)
class Plan:
    """Who and what is in a set.

    Attributes
    ----------
    stream
        Number of the set's own random numbers: no seed makes a person of one set one of another's.
    people
        How many by default.
    poses
        Whether everybody shows FaceScape's 20 expressions.
    mixtures
        How many random expressions everybody shows beside these.
    draw
        Draws one of the random expressions.
    """

    stream: int
    people: int
    poses: bool
    mixtures: int
    draw: Callable[[np.random.Generator], np.ndarray]

    @property
    def names(self) -> list[str]:
        """Names of every person's expressions, in order."""
        poses = list(FACESCAPE_PRESETS) if self.poses else []
        return poses + [f"mixture-{k + 1}" for k in range(self.mixtures)]

    def person(self, head: Head, seed: int, number: int) -> tuple[Identity, dict[str, np.ndarray]]:
        """Return one person and the weights (52,) of their expressions by name."""
        stream = np.random.SeedSequence(seed, spawn_key=(self.stream, number))
        rng = np.random.default_rng(stream)
        identity = sample_identity(head, rng)
        weights = [vector(preset) for preset in FACESCAPE_PRESETS.values()] if self.poses else []
        weights += [self.draw(rng) for _ in range(self.mixtures)]
        return identity, dict(zip(self.names, weights, strict=True))


PLANS = {
    "generator": Plan(0, 350, True, 0, sample_expression),
    "encoder": Plan(1, 875, False, 8, sample_expression),
    "test": Plan(2, 50, False, 5, sample_mixture),
}
"""The three sets. The generator learns what skin looks like, so it gets FaceScape's own count of
people and poses. The encoder learns a function of (a, b): that of 16 skin coefficients bends
furrows about, while an expression only scales their depths, so people are worth more than
expressions to it; eight of each person keep an identity's set-up a small part of the time. The test
set mixes expressions in ways that neither of the others holds."""


def record(name: str, people: int, resolution: int, seed: int) -> dict[str, Any]:
    """Return what ``set.json`` says of a set that is folded here; the same record means the same bytes."""
    return {
        "format": FORMAT,
        "set": name,
        "uv": "furrow",
        "people": people,
        "resolution": resolution,
        "seed": seed,
        **version.maker(),
    }


def claim(folder: Path, settings: dict[str, Any]) -> None:
    """Make `folder` the home of a set, or check that it is already, and tidy up after a killed run.

    Raises
    ------
    FurrowError
        If it holds another set or other files, or cannot be read or written.
    """
    path = folder / "set.json"
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if any((folder / name).exists() for name in _FOLDERS):
            raise FurrowError(
                f"{folder} holds files but no set.json, so it is no set to go on with. Choose another folder."
            ) from None
        write_whole(path, json.dumps(settings, indent=1).encode() + b"\n")
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FurrowError(f"{path} cannot be read: {reason}. Choose another folder.") from None
    if before != settings:
        present = before if isinstance(before, dict) else {}
        differing = {
            k for k in present.keys() | settings.keys() if present.get(k) != settings.get(k)
        }
        why = "another version of Furrow" if differing <= _VERSION else "other options"
        raise FurrowError(f"{folder} holds a set made with {why}. Choose another folder.")
    for name in _FOLDERS:
        for left in (folder / name).glob(".partial-*"):
            left.unlink(missing_ok=True)


def map_path(folder: Path, person: str, expression: str) -> Path:
    """Return where a set keeps a map."""
    return folder / "dpmap" / f"{person}_{expression}.png"


def write_expressions(folder: Path, person: str, weights: dict[str, np.ndarray]) -> None:
    """Write one person's weights (52,) by name."""
    arrays = io.BytesIO()
    np.savez(arrays, names=np.array(list(weights)), weights=np.stack(list(weights.values())))
    write_whole(folder / "expression" / f"{person}.npz", arrays.getvalue())


def missing(folder: Path, person: str, names: list[str]) -> list[str]:
    """Return the expressions whose maps are not there yet."""
    return [name for name in names if not map_path(folder, person, name).exists()]


@dataclass
class Fold:
    """The job of folding a set (:class:`pool.Job`).

    Attributes
    ----------
    folder, name, resolution, seed
        Which set goes where.
    device
        A device of PyTorch, or None for SciPy on the processor.
    """

    folder: Path
    name: str
    resolution: int
    seed: int
    device: str | None = None
    _head: Head | None = field(default=None, init=False, repr=False)

    def begin(self) -> None:
        """Load the head, whose chart is then computed with the first person."""
        self._head = Head.load()

    def person(self, key: str, stopped: Callable[[], bool]) -> tuple[int, list[str]]:
        """Write the maps of person `key` ("0001" ...) that are missing; return how many there were."""
        plan, head = PLANS[self.name], self._head
        assert head is not None
        identity, weights = plan.person(head, self.seed, int(key) - 1)
        names = missing(self.folder, key, list(weights))
        if not names or stopped():
            return 0, []
        path = self.folder / "identity" / f"{key}.json"
        write_identity(identity, path)
        write_expressions(self.folder, key, weights)
        # The file rounds; the maps belong to what it says.
        skin = Skin(head, head.read_identity(path), self.resolution)
        done = 0
        for name, drawn in zip(names, self._draw(skin, [weights[n] for n in names]), strict=True):
            maps.write_map(map_path(self.folder, key, name), drawn)
            done += 1
            if stopped():
                break
        return done, []

    def _draw(self, skin: Skin, expressions: list[np.ndarray]) -> Iterator[np.ndarray]:
        if self.device is None:
            return map(skin.map, expressions)
        from ..spine import machine  # imports PyTorch
        from .batch import BatchSkin

        return BatchSkin(skin, machine.device(self.device)).maps(expressions)
