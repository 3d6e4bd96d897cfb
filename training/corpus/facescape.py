"""Reads maps from disk: our own sets, and FaceScape's topologically uniform models, through one interface.

FaceScape (Yang et al. 2020) is handed out under a licence of its own; Furrow carries none of it. As
published, a person's displacement maps are ``{id}/dpmap/{k}_{name}.png``, k from 1 to 20, grey, 16
bits, 4096 texels; 32768 is zero and 32768 steps are 0.914 mm, by its authors' word for eyes whose
inner corners are about 40 mm apart. Its archives unpack to ``facescape_trainset_001_100/{id}/...``.

Three things differ from our own sets. Its UV layout is its mesh's, so its maps fit no head of ours,
and maps of both must never be mixed. Its people are not fitted to our head model: there is an a only
where somebody has put ``identity/{id}.json`` beside; without a the generator can learn, the
encoder cannot. And b is what the pose was called, as ARKit weights, not what the person did.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ...backend.errors import FurrowError
from ...backend.formats.expressions import EXPRESSIONS, FACESCAPE_PRESETS, vector
from ...backend.formats.identity import Identity, write_identity
from ...backend.formats.maps import FACESCAPE_SCALE_MM, SCALE_KEY, ZERO, write_map
from ...backend.head.bilinear import Head
from . import sets

NAMES = {f"{k + 1}_{name.replace('-', '_')}": name for k, name in enumerate(FACESCAPE_PRESETS)}
"""FaceScape's names of its expressions, such as 20_brow_lower, and ours."""

_LAYOUT = (
    "DIR/ID/dpmap/1_neutral.png to 20_brow_lower.png, or DIR/facescape_trainset_*/ID/dpmap/..."
)

_NAMED = 12
"""How many unusable files an error names; of more it gives the number."""


@dataclass(frozen=True)
class Sample:
    """One map and what it belongs to.

    Attributes
    ----------
    person, expression
        Names.
    weights
        b, float32 (52,) in [0, 1].
    map
        (R, R) float32, mm outward.
    identity
        a, or None where there is none.
    """

    person: str
    expression: str
    weights: np.ndarray
    map: np.ndarray
    identity: Identity | None


@dataclass(frozen=True)
class Entry:
    """Where a map lies and which expression it shows, with weights (52,)."""

    path: Path
    expression: str
    weights: np.ndarray


@dataclass(frozen=True)
class MapFolder:
    """What a folder of maps holds; nothing but names is read until :meth:`samples`.

    Attributes
    ----------
    uv
        Whose UV layout the maps are in, "furrow" or "facescape".
    entries
        {person: their maps}.
    identities
        {person: file of a}, of those that have one.
    missing
        Expressions that people of the folder lack; they are skipped.
    """

    uv: str
    entries: dict[str, list[Entry]]
    identities: dict[str, Path]
    missing: int

    @property
    def people(self) -> list[str]:
        """Names of the people, by number."""
        return sorted(self.entries, key=lambda name: (len(name), name))

    def summary(self) -> str:
        """Return for people what is missing, and what cannot be learnt for that."""
        count = sum(person in self.identities for person in self.entries)
        text = f"{self.missing} expressions are missing, {count} of {len(self.entries)} people have an identity"
        return (
            text
            if count == len(self.entries)
            else f"{text}; the encoder needs it, the generator does not"
        )

    def samples(self, resolution: int) -> Iterator[Sample]:
        """Yield all samples, maps reduced to `resolution` by area mean.

        Raises
        ------
        FurrowError
            At the end, naming every map that cannot be used: damaged, not grey, not 16 bits, not
            square, smaller than `resolution` or no multiple of it. And at once for a file of a or b
            that cannot be used.
        """
        head, problems = Head.load(), []
        for person in self.people:
            identity = self.identity(person, head)
            for entry in self.entries[person]:
                try:
                    image = read_png(entry.path, resolution)
                except FurrowError as error:
                    problems.append(str(error))
                    continue
                yield Sample(person, entry.expression, entry.weights, image, identity)
        if problems:
            raise FurrowError(complaint(problems))

    def identity(self, person: str, head: Head) -> Identity | None:
        """Return a person's a, or None."""
        path = self.identities.get(person)
        return head.read_identity(path) if path else None


def find(folder: Path) -> MapFolder:
    """Return what is in a folder, one of our sets or a copy of FaceScape; raises FurrowError."""
    return open_set(folder) if (folder / "set.json").exists() else open_facescape(folder)


def open_facescape(folder: Path) -> MapFolder:
    """Return what is in a copy of FaceScape's topologically uniform models.

    Raises
    ------
    FurrowError
        If there are no maps in the expected places, or a person is there twice.
    """
    places = [*folder.glob("*/dpmap"), *folder.glob("facescape_trainset_*/*/dpmap")]
    entries: dict[str, list[Entry]] = {}
    for place in sorted(place for place in places if place.parent.name.isdecimal()):
        person = place.parent.name
        if person in entries:
            raise FurrowError(f"{folder} holds person {person} twice. Remove one of them.")
        entries[person] = [
            Entry(place / f"{theirs}.png", ours, vector(FACESCAPE_PRESETS[ours]))
            for theirs, ours in NAMES.items()
            if (place / f"{theirs}.png").is_file()
        ]
    if not any(entries.values()):
        raise FurrowError(
            f"{folder} holds no displacement maps of FaceScape. Expected is {_LAYOUT}.",
            "missing_file",
        )
    return _folder(folder, "facescape", entries, len(entries) * len(NAMES))


def open_set(folder: Path) -> MapFolder:
    """Return what is in a set that `furrow train corpus` wrote, whole or not; raises FurrowError if it is none."""
    try:
        settings = json.loads((folder / "set.json").read_text(encoding="utf-8"))
        if settings["format"] != sets.FORMAT:
            raise ValueError(f'its format is not "{sets.FORMAT}"')
        uv, entries, count = str(settings["uv"]), {}, 0
        for path in (folder / "expression").glob("[!.]*.npz"):
            with np.load(path) as file:
                names, weights = file["names"], np.asarray(file["weights"], np.float32)
            if weights.shape != (len(names), len(EXPRESSIONS)) or not np.isfinite(weights).all():
                raise ValueError(f"{path.name} is damaged")
            count += len(names)
            entries[path.stem] = [
                Entry(place, str(name), row)
                for name, row in zip(names, weights, strict=True)
                if (place := sets.map_path(folder, path.stem, str(name))).is_file()
            ]
    except (OSError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise FurrowError(f"{folder} is no set of maps: {error}.", "missing_file") from None
    if not any(entries.values()):
        raise FurrowError(f"{folder} is a set without maps; go on with it first.", "missing_file")
    return _folder(folder, uv, entries, count)


def _folder(folder: Path, uv: str, entries: dict[str, list[Entry]], count: int) -> MapFolder:
    paths = {person: folder / "identity" / f"{person}.json" for person in entries}
    files = {person: path for person, path in paths.items() if path.is_file()}
    return MapFolder(uv, entries, files, count - sum(map(len, entries.values())))


def read_png(path: Path, resolution: int) -> np.ndarray:
    """Read a grey 16-bit PNG and reduce it to (R, R) float32 mm by area mean; raises FurrowError.

    Pillow reads FaceScape's 4096 texels twenty times as fast as `backend.maps`, which must do
    without libraries.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            mode, scale = image.mode, float(image.info.get(SCALE_KEY, FACESCAPE_SCALE_MM))
            steps = np.asarray(image)
    except (UnidentifiedImageError, SyntaxError, EOFError, zlib.error, ValueError):
        raise FurrowError(f"{path} is damaged") from None
    except OSError as error:
        raise FurrowError(f"{path} cannot be read ({error})") from None
    if mode not in ("I;16", "I"):
        raise FurrowError(f"{path} is not a grey PNG of 16 bits")
    height, width = steps.shape
    if height != width or width < resolution or width % resolution:
        raise FurrowError(
            f"{path} has {width} x {height} texels, which is no square multiple of {resolution}"
        )
    if not (np.isfinite(scale) and scale > 0):
        raise FurrowError(f"{path} has a scale of {scale}")
    values = (steps.astype(np.float32) - ZERO) * np.float32(scale / ZERO)
    step = width // resolution
    return values.reshape(resolution, step, resolution, step).mean((1, 3))


def complaint(problems: list[str]) -> str:
    """Return one line for people about the maps that cannot be used."""
    more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    return (
        f"{len(problems)} maps cannot be used: {'; '.join(problems[:_NAMED])}{more}. "
        "Get them again, or delete them: missing maps are skipped."
    )


def record(resolution: int) -> dict[str, Any]:
    """Return what ``set.json`` says of a converted copy."""
    return {
        "format": sets.FORMAT,
        "set": "facescape",
        "uv": "facescape",
        "resolution": resolution,
    }


@dataclass
class Convert:
    """The job of converting a copy of FaceScape to a set (:class:`pool.Job`)."""

    source: MapFolder
    folder: Path
    resolution: int
    _head: Head | None = field(default=None, init=False, repr=False)

    def begin(self) -> None:
        """Load the head, which identities are checked against."""
        self._head = Head.load()

    def missing(self, person: str) -> list[str]:
        """Return the expressions that are there to be converted and are not yet."""
        names = [entry.expression for entry in self.source.entries[person]]
        return sets.missing(self.folder, person, names)

    def person(self, key: str, stopped: Callable[[], bool]) -> tuple[int, list[str]]:
        """Convert what is missing of a person's maps; return how many, and what cannot be used."""
        expressions = self.missing(key)
        problems: list[str] = []
        if not expressions or stopped():
            return 0, problems
        assert self._head is not None
        if identity := self.source.identity(key, self._head):
            write_identity(identity, self.folder / "identity" / f"{key}.json")
        entries = self.source.entries[key]
        sets.write_expressions(self.folder, key, {e.expression: e.weights for e in entries})
        done = 0
        for entry in entries:
            if entry.expression in expressions and not stopped():
                try:
                    image = read_png(entry.path, self.resolution)
                except FurrowError as error:
                    problems.append(str(error))
                    continue
                write_map(sets.map_path(self.folder, key, entry.expression), image)
                done += 1
        return done, problems
