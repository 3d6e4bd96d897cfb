"""The identity a = [shape | skin]: what it holds, how it is written and read."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import FurrowError

FORMAT = "furrow.identity/1"

SKIN: tuple[str, ...] = (
    "age",
    "thickness",
    "forehead_depth",
    "forehead_spacing",
    "forehead_bow",
    "glabella_depth",
    "glabella_layout",
    "crows_feet_depth",
    "crows_feet_spread",
    "under_eye_depth",
    "nasolabial_depth",
    "lip_line_depth",
    "chin_depth",
    "neck_depth",
    "pore_size",
    "asymmetry",
)
"""Skin coefficients, each in [0, 1] and 0.5 for the average skin; age 0 is about 20 years, 1 about 80."""

SHAPE_LIMIT = 4.0
"""Shape coefficients are in standard deviations of the data; beyond this a head is no longer one."""


@dataclass(frozen=True)
class Identity:
    """One person.

    Attributes
    ----------
    shape
        float32 (K,), standard deviations of the shape components, each in [-4, 4].
    skin
        float32 (16,), the coefficients named in :data:`SKIN`, each in [0, 1].
    detail_seed
        Decides pores and small variation only; 0 to 2**31 - 1.
    name
        For people.
    """

    shape: np.ndarray
    skin: np.ndarray = field(default_factory=lambda: np.full(len(SKIN), 0.5, np.float32))
    detail_seed: int = 0
    name: str = "Average"

    @property
    def vector(self) -> np.ndarray:
        """The identity as the encoder reads it: float32 (K + 16,), shape then skin."""
        return np.concatenate([self.shape, self.skin]).astype(np.float32)

    def request(self) -> dict[str, Any]:
        """The identity as requests to the backend process carry it; its ``read_identity`` is the inverse."""
        return {
            "shape": self.shape.tolist(),
            "skin": self.skin.tolist(),
            "detail_seed": self.detail_seed,
        }


def check(identity: Identity, shape_count: int) -> Identity:
    """Return the identity unchanged if a head with `shape_count` components can use it.

    Raises
    ------
    FurrowError
        For another number of components, values that are not finite, or values out of range.
    """
    for what, values, count, low, high in (
        ("shape", identity.shape, shape_count, -SHAPE_LIMIT, SHAPE_LIMIT),
        ("skin", identity.skin, len(SKIN), 0.0, 1.0),
    ):
        if values.shape != (count,):
            raise FurrowError(
                f'Identity "{identity.name}" has {values.size} {what} coefficients, this head has {count}: '
                "it was made for another head model."
            )
        if not np.isfinite(values).all():
            raise FurrowError(
                f'Identity "{identity.name}" holds {what} coefficients that are not numbers.'
            )
        if values.min() < low - 1e-6 or values.max() > high + 1e-6:
            raise FurrowError(
                f'Identity "{identity.name}" has {what} coefficients outside [{low:g}, {high:g}].'
            )
    if not 0 <= identity.detail_seed < 2**31:
        raise FurrowError(f"The detail seed {identity.detail_seed} is outside 0 to 2147483647.")
    return identity


def read_identity(path: str | Path, shape_count: int) -> Identity:
    """Read and check an identity file (JSON, format ``furrow.identity/1``); raises FurrowError."""
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FurrowError(f"There is no identity file {path}.", "missing_file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FurrowError(f"{path} is no readable identity file: {error}.") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FurrowError(f'{path} is no identity file: its "format" is not "{FORMAT}".')
    try:
        identity = Identity(
            shape=np.asarray(data["shape"], np.float32).reshape(-1),
            skin=np.asarray(data["skin"], np.float32).reshape(-1),
            detail_seed=int(data.get("detail_seed", 0)),
            name=str(data.get("name", path.stem)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FurrowError(f"{path} is a damaged identity file: {error}.") from None
    return check(identity, shape_count)


def write_identity(identity: Identity, path: str | Path) -> None:
    """Write an identity file; it appears under its name only when whole."""
    data = {
        "format": FORMAT,
        "shape": [round(float(x), 6) for x in identity.shape],
        "skin": [round(float(x), 6) for x in identity.skin],
        "detail_seed": int(identity.detail_seed),
        "name": identity.name,
    }
    if not all(math.isfinite(x) for x in (*data["shape"], *data["skin"])):  # type: ignore[misc]
        raise FurrowError("An identity with values that are not numbers cannot be written.")
    from .files import write_whole

    write_whole(path, json.dumps(data, indent=1).encode())
