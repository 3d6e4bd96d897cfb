"""What the encoder must beat: baselines that learn from the same maps, and their recorded figures.

==================== =========================================================================
mean                 the mean of all training maps
expression           ridge regression on the expression, its squares and products: the mean map
                     of an expression, whoever makes it
nearest              the training map whose skin and expression should make the most similar one
ridge                ridge regression on skin, expression and their products
vertices_1.7K, _5K   an encoder of the shipped one's width that sees points of the expressive
                     mesh, and nothing else: in this corpus a mesh does not tell the skin
vertices_1.7K_skin   the same, which is told the skin coefficients too; and so for 5K
image_to_image       a network from position maps and skin coefficients to maps
==================== =========================================================================

All but the last predict coefficients of the training maps' principal components; see `components`.
A baseline has no relief of its own. Its whole maps get that of the training person whose skin is
most alike, straight from the corpus.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...backend.errors import FurrowError
from ...backend.formats.files import whole_file, write_whole
from ...backend.formats.identity import SKIN, Identity
from ...backend.head.bilinear import Head
from ..corpus.chart import chart
from ..corpus.compose import Skin
from ..corpus.habit import Habit
from ..corpus.relief import seeded
from ..corpus.sampler import sample_identity
from ..maps.data import Maps, draw, read
from ..networks.metrics import resized
from ..spine.files import differences
from . import components, image_to_image, regressions, vertices
from .scores import Method

NAMES = (
    "mean",
    "expression",
    "nearest",
    "ridge",
    "vertices_1.7K",
    "vertices_5K",
    "vertices_1.7K_skin",
    "vertices_5K_skin",
    "image_to_image",
)

RESOLUTION = 512

PEOPLE, EACH = 6000, 8
"""Training people and expressions of each: the networks' own first people, under the same seed."""

FINE_PEOPLE = 750
"""Training people, the first ones, whose maps are drawn at `RESOLUTION` for the components."""

RECORD = Path(__file__).parent / "baselines.json"
"""Figures, kept since they take hours."""


class Baselines:
    """All baselines of a training set, each learned when it is first asked for and then kept on disk.

    Parameters
    ----------
    data
        Folder of the sets: ``train256`` and ``train512`` are drawn if absent (a quarter of an hour
        on two cores, 9 GB), and what is learned lies in ``baselines``.
    seed
        Of the people.
    """

    def __init__(self, data: Path, head: Head, seed: int = 1, resolution: int = RESOLUTION) -> None:
        self.data, self.head, self.resolution = data, head, resolution
        folder = data / "train256"
        complete = (folder / "set.json").exists()
        self.train = read(folder) if complete else draw(folder, head, 256, PEOPLE, EACH, seed)
        if self.train.made_by["seed"] != seed:
            raise FurrowError(
                f"{folder} holds other people than the networks learned from. Remove it, or choose "
                "another folder with --data."
            )

    def fine(self) -> Maps:
        """The first training people's maps at the resolution of the comparison."""
        made_by = self.train.made_by
        people, each = min(FINE_PEOPLE, made_by["identities"]), made_by["per_identity"]
        folder = self.data / f"train{self.resolution}"
        return draw(folder, self.head, self.resolution, people, each, made_by["seed"])

    def predict(self, name: str, identity: np.ndarray, expression: np.ndarray) -> Tensor:
        """Maps without relief, (n, 1, R, R) mm, of samples (n, K + 16) and (n, 52)."""
        if name == "nearest":
            return self._nearest(identity, expression)
        if name == "image_to_image":
            maps = image_to_image.apply(self.head, self._pictures, identity, expression)
            return torch.cat([resized(image, self.resolution) for image in maps.split(1)])
        return components.maps_of(
            self._components["images"], self._coefficients(name, identity, expression)
        )

    def _coefficients(self, name: str, identity: np.ndarray, expression: np.ndarray) -> Tensor:
        if name == "mean":
            return self._components["coefficients"].mean(0).expand(len(identity), -1)
        if name == "expression":
            return regressions.expression_products(expression) @ self._solutions["expression"]
        if name == "ridge":
            return regressions.products(identity, expression) @ self._solutions["ridge"]
        if name not in NAMES:
            raise FurrowError(f"There is no baseline {name}; there are {', '.join(NAMES)}.")
        _, count, *skin = name.split("_")
        points = vertices.sample_points(self.head, vertices.COUNTS[count])
        meshes = vertices.positions(self.head, points, identity, expression)
        x = vertices.project(self._meshes, count, torch.from_numpy(meshes))
        return vertices.apply(self._encoder(count, bool(skin)), _with_skin(x, identity, bool(skin)))

    def _nearest(self, identity: np.ndarray, expression: np.ndarray) -> Tensor:
        rows = regressions.nearest(self._solutions["ridge"], self.train, identity, expression)
        maps = []
        for row in rows.tolist():
            shape, skin = np.split(self.train.identity[row], [-len(SKIN)])
            own = Skin(self.head, Identity(shape, skin), self.resolution)
            maps.append(torch.from_numpy(own.map(self.train.expression[row], relief=False)))
        return torch.stack(maps)[:, None]

    def relief(self, identity: np.ndarray, resolution: int) -> Tensor:
        """Relief (1, 1, R, R) mm of the training person whose skin is most like that of (K + 16,)."""
        skins = self.train.identity[:, -len(SKIN) :]
        row = int(((skins - identity[-len(SKIN) :]) ** 2).sum(1).argmin())
        return self._relief(int(self.train.person[row]), resolution)

    @functools.lru_cache(maxsize=2)  # noqa: B019  # lives as long as the process
    def _relief(self, number: int, resolution: int) -> Tensor:
        rng = np.random.default_rng((self.train.made_by["seed"], number))
        person = sample_identity(self.head, rng)
        skin = chart(self.head, resolution)
        image = skin.image(seeded(skin, Habit(person.skin), person.detail_seed) * skin.weight)
        return torch.from_numpy(image)[None, None]

    @functools.cached_property
    def _components(self) -> dict[str, Tensor]:
        return self._cached(
            "components", [components], lambda _: components.fit(self.train, self.fine())
        )

    @functools.cached_property
    def _solutions(self) -> dict[str, Tensor]:
        def solve(_: Path) -> dict[str, Tensor]:
            coefficients, train = self._components["coefficients"], self.train
            solutions = {}
            for name, x in (
                ("ridge", regressions.products(train.identity, train.expression)),
                ("expression", regressions.expression_products(train.expression)),
            ):
                solutions[name], penalty = regressions.ridge(x, coefficients, train)
                solutions[f"{name}.penalty"] = torch.tensor(penalty)
            return solutions

        return self._cached("regressions", [components, regressions], solve)

    @functools.cached_property
    def _meshes(self) -> dict[str, Tensor]:
        return self._cached("meshes", [vertices], lambda _: vertices.inputs(self.head, self.train))

    @functools.cached_property
    def _pictures(self) -> dict[str, Tensor]:
        return self._cached(
            "image_to_image",
            [image_to_image],
            lambda folder: image_to_image.learn(self.head, self.train, folder=folder),
        )

    @functools.cache  # noqa: B019  # lives as long as the process
    def _encoder(self, count: str, skin: bool) -> dict[str, Tensor]:
        name = f"vertices_{count}" + "_skin" * skin
        x = _with_skin(self._meshes[f"inputs.{count}"], self.train.identity, skin)
        coefficients = self._components["coefficients"]
        return self._cached(
            name,
            [components, vertices],
            lambda folder: vertices.learn(x, coefficients, name, folder=folder),
        )

    def _cached(
        self, name: str, modules: Sequence[ModuleType], learn: Callable[[Path], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """What `learn` gives, from its file where these modules have computed it from this set.

        `learn` takes a folder for checkpoints.
        """
        key = json.dumps([self.train.digest, self.resolution, computation(modules)], sort_keys=True)
        stem = f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        path = self.data / "baselines" / f"{stem}.safetensors"
        if not path.exists():
            tensors = {n: value.contiguous() for n, value in learn(path.parent / stem).items()}
            with whole_file(path) as temporary:
                save_file(tensors, temporary)
        return load_file(path)


def _with_skin(x: Tensor, identity: np.ndarray, skin: bool) -> Tensor:
    """Inputs (n, D), with the skin coefficients at about unit variance where the encoder sees them."""
    if not skin:
        return x
    return torch.cat([x, (torch.from_numpy(identity[:, -len(SKIN) :]).float() - 0.5) * 3], 1)


def baseline_maps(name: str, data: Path, rows: np.ndarray) -> np.ndarray:
    """Maps of a baseline for rows of the test set, without relief: float32 (n, 512, 512) mm.

    Parameters
    ----------
    name
        One of `NAMES`.
    data
        Folder of the sets; the test set in it must have been drawn.

    Raises
    ------
    FurrowError
        If there is no such baseline, or a set is missing.
    """
    test = read(data / "test1024")
    return (
        Baselines(data, Head.load())
        .predict(name, test.identity[rows], test.expression[rows])[:, 0]
        .numpy()
    )


def method(baselines: Baselines, test: Maps, name: str, rows: np.ndarray) -> Method:
    """A baseline as a method to compare, on those rows of the test set: all predicted at once, in half."""
    maps = baselines.predict(name, test.identity[rows], test.expression[rows]).half()
    at = {int(row): i for i, row in enumerate(rows)}

    def of(row: int) -> tuple[Tensor, Tensor]:
        plain = maps[at[int(row)]].float()[None]
        relief = baselines.relief(test.identity[row], len(test.mask))
        return plain, resized(plain, relief.shape[-1]) + relief

    return of


LEARNED = (components, regressions, vertices, image_to_image)
"""Modules that learn baselines."""


def computation(modules: Sequence[ModuleType] = LEARNED) -> dict[str, Any]:
    """What modules compute, as plain data: their settings, and their version, which is raised by hand."""
    content = {
        module.__name__.rpartition(".")[2]: {"version": module.VERSION, **module.SETTINGS}
        for module in modules
    }
    plain: dict[str, Any] = json.loads(json.dumps(content))
    return plain


def read_record(seed: int, test: Maps) -> dict[str, dict[str, dict[str, float]]]:
    """The recorded figures by set of rows, baseline and name.

    Raises
    ------
    FurrowError
        ``missing_file`` if they are of another training set, test set or computation.
    """
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if not record:
        wrong = "There are no recorded baselines"
    elif record["seed"] != seed:
        wrong = "The recorded baselines learned from other people than these networks"
    elif record["test"] != test.made_by or not np.isclose(record["rms_mm"], rms_mm(test), 1e-3):
        wrong = "The recorded baselines were measured on another test set"
    elif changes := differences(record["computation"], computation()):
        wrong = f"The recorded baselines were computed otherwise ({'; '.join(changes)})"
    else:
        return record["figures"]
    raise FurrowError(
        f"{wrong}. Measure them anew with furrow evaluate encoder --full, which takes hours.",
        "missing_file",
    )


def write_record(figures: dict[str, dict[str, dict[str, float]]], train: Maps, test: Maps) -> None:
    """Record figures with what they are of: hashes of the data, and how they were computed."""
    record = {
        "train": train.digest,
        "seed": train.made_by["seed"],
        "test": test.made_by,
        "rms_mm": rms_mm(test),
        "computation": computation(),
        "figures": figures,
    }
    write_whole(RECORD, json.dumps(record, indent=1).encode() + b"\n")


def rms_mm(test: Maps) -> float:
    """RMS of a test set: its digest differs by rounding from machine to machine, this does not."""
    return float(
        np.sqrt(np.mean([np.square(m[::4, ::4], dtype=np.float64).mean() for m in test.map]))
    )
