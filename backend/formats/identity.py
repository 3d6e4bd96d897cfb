"""The identity a = [shape | skin]: what it holds, how it is written and read."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FurrowError
from .expressions import nearest, parse_pairs

FORMAT = "furrow.identity/1"
GENERATION = 1
"""Of the head that ships. A head that is learned anew counts one more, and converts identities."""

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

ADJUSTMENTS: tuple[str, ...] = ("skin_age", "furrow_depth", "pore_strength", "asymmetry")
"""Detail adjustments, each in [-1, 1] and 0 for none: steps along directions of W+, of that name."""

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
    adjustments
        float32 (4,), the detail adjustments named in :data:`ADJUSTMENTS`, each in [-1, 1].
    generation
        Of the head that the shape coefficients belong to; :meth:`.Head.current` brings those of an
        earlier one up to date.
    """

    shape: np.ndarray
    skin: np.ndarray = field(default_factory=lambda: np.full(len(SKIN), 0.5, np.float32))
    detail_seed: int = 0
    name: str = "Average"
    adjustments: np.ndarray = field(default_factory=lambda: adjustments_of({}))
    generation: int = GENERATION

    @property
    def vector(self) -> np.ndarray:
        """The identity as the encoder reads it: float32 (K + 16,), shape then skin."""
        return np.concatenate([self.shape, self.skin]).astype(np.float32)

    def request(self) -> dict[str, Any]:
        """The identity as requests to the backend process carry it; :func:`from_request` is the inverse.

        The object "detail" holds the adjustments that are not 0, and is left out where there are
        none: what was keyed by a request before there were adjustments keeps its key.
        """
        adjusted = self.adjusted
        return {
            "shape": self.shape.tolist(),
            "skin": self.skin.tolist(),
            "detail_seed": self.detail_seed,
            **({"detail": adjusted} if adjusted else {}),
        }

    @property
    def adjusted(self) -> dict[str, float]:
        """The detail adjustments that are not 0, by name."""
        pairs = zip(ADJUSTMENTS, self.adjustments.tolist(), strict=True)
        return {name: round(value, 6) for name, value in pairs if value}


def styles_request(identity: Identity, relief: Identity | None) -> dict[str, Any]:
    """What requests for maps say of whose they are: `identity`, and `relief` if it is another's."""
    extra = {} if relief is None else {"relief": relief.request()}
    return {"identity": identity.request(), **extra}


def from_request(value: object) -> Identity:
    """Return the identity of ``{"shape", "skin", "detail_seed", "detail"}``, the last two optional.

    Raises
    ------
    FurrowError
        For another type or name; numbers out of range are found by :func:`check`.
    """
    if not isinstance(value, dict):
        raise FurrowError("The request holds no identity.")
    try:
        shape, skin = (np.asarray(value.get(k), np.float32).reshape(-1) for k in ("shape", "skin"))
    except (TypeError, ValueError):
        raise FurrowError("The identity's shape and skin must be lists of numbers.") from None
    seed = value.get("detail_seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise FurrowError('"detail_seed" must be a whole number.')
    name = str(value.get("name", "of the request"))
    return Identity(shape, skin, seed, name, adjustments_of(value.get("detail", {})))


def adjustments_of(values: object) -> np.ndarray:
    """Return detail adjustments by name as a float32 vector (4,), absent names being 0.

    Raises
    ------
    FurrowError
        If `values` is no mapping, for an unknown name, or for a value that is no number in [-1, 1].
    """
    vector = np.zeros(len(ADJUSTMENTS), np.float32)
    if not isinstance(values, dict):
        raise FurrowError(f'"detail" must be an object of {", ".join(ADJUSTMENTS)}.')
    for name, value in values.items():
        if name not in ADJUSTMENTS:
            near = nearest(str(name), ADJUSTMENTS)
            raise FurrowError(f'There is no detail adjustment "{name}". Did you mean "{near}"?')
        if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
            raise FurrowError(f"The detail adjustment {name} is {value}; it must lie in [-1, 1].")
        vector[ADJUSTMENTS.index(name)] = value
    return vector


def parse_adjustments(text: str) -> np.ndarray:
    """Read ``furrow_depth=0.5,skin_age=-1`` as a float32 vector (4,); raises FurrowError."""
    return adjustments_of(parse_pairs(text, "furrow_depth=0.5"))


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
        ("adjustment", identity.adjustments, len(ADJUSTMENTS), -1.0, 1.0),
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


def read_identity(path: str | Path) -> Identity:
    """Read an identity file (JSON, format ``furrow.identity/1``), of whichever head it is.

    :meth:`.Head.read_identity` reads one for a head. Raises FurrowError.
    """
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
            adjustments=adjustments_of(data.get("detail", {})),
            generation=int(data.get("head", 1)),
        )
    except FurrowError as error:
        raise FurrowError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise FurrowError(f"{path} is a damaged identity file: {error}.") from None
    return check(identity, identity.shape.size)


def write_identity(identity: Identity, path: str | Path) -> None:
    """Write an identity file; it appears under its name only when whole."""
    data = {
        "format": FORMAT,
        "head": identity.generation,
        "shape": [round(float(x), 6) for x in identity.shape],
        "skin": [round(float(x), 6) for x in identity.skin],
        "detail_seed": int(identity.detail_seed),
        "name": identity.name,
        **({"detail": identity.adjusted} if identity.adjusted else {}),
    }
    values = (*identity.vector, *identity.adjustments)
    if not all(math.isfinite(x) for x in values):
        raise FurrowError("An identity with values that are not numbers cannot be written.")
    from .files import write_whole

    write_whole(path, json.dumps(data, indent=1).encode())
