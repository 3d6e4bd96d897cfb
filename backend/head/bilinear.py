"""The bilinear head: identity and expression to vertices, from assets/head.npz.

neutral(a) = mean + sum_k a_k B_k, and blendshape j of a is D_j + sum_r (sum_k a_k G_jkr) S_r:
a bilinear core C (vertices x K x 53) by HOSVD, factored so that it is small and fast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import FurrowError
from ..formats.expressions import EXPRESSIONS, INDEX
from ..formats.files import ASSETS
from ..formats.identity import SHAPE_LIMIT, Identity, check, read_identity
from .contact import Corrective, from_arrays

FORMAT = "furrow.head/1"


@dataclass(frozen=True)
class Direction:
    """A named change of identity: one slider unit adds `vector` (K + 16,) to [shape | skin]."""

    name: str
    group: str
    vector: np.ndarray


class Head:
    """The head model; build it with :meth:`load`.

    Attributes
    ----------
    faces
        int32 (F, 4), -1 in the last column of a triangle.
    materials, face_material
        Names by slot, and uint8 (F,) the slot of each face.
    uv
        float32 (F, 4, 2), v up.
    groups
        {name: float32 (V,) in [0, 1]}.
    landmarks
        {name: vertex}.
    directions
        Named changes of identity.
    contacts
        How lips and lids meet, applied after the linear core.
    basis
        float32 (K, 3V), metres a standard deviation.
    skin_count
        The first `skin_count` vertices are the bust's own mesh; eyes, teeth and hair follow.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.faces = arrays["faces"]
        self.uv = arrays["uv"]
        self.face_material = arrays["face_material"]
        self.materials = tuple(str(name) for name in arrays["materials"])
        self.skin_count = int(arrays["skin_count"])
        names = [str(name) for name in arrays["group_names"]]
        self.groups = dict(zip(names, arrays["groups"].astype(np.float32), strict=True))
        self.landmarks = {
            str(name): int(v)
            for name, v in zip(arrays["landmark_names"], arrays["landmark_vertices"], strict=True)
        }
        self.directions = tuple(
            Direction(str(name), str(group), vector.astype(np.float32))
            for name, group, vector in zip(
                arrays["direction_names"],
                arrays["direction_groups"],
                arrays["direction_vectors"],
                strict=True,
            )
        )
        self.contacts = from_arrays(arrays)
        self._mean = arrays["mean"].astype(np.float32)
        self.basis = _unpacked(arrays, "basis")
        self._units = _unpacked(arrays, "units")
        self._spatial = _unpacked(arrays, "spatial")
        self._core = arrays["core"].astype(np.float32)
        self._people_mean = arrays["people_mean"].astype(np.float32)
        self._people_factor = arrays["people_factor"].astype(np.float32)
        self.generation = int(arrays["generation"]) if "generation" in arrays else 1
        self._conversions = {
            number: arrays[f"from_{number}"].astype(np.float32)
            for number in range(1, self.generation)
            if f"from_{number}" in arrays
        }
        self._cached: tuple[bytes, np.ndarray, np.ndarray, list[Corrective]] | None = None

    @classmethod
    def load(cls, path: str | Path | None = None) -> Head:
        """Read a head model (default: the one that ships).

        Raises
        ------
        FurrowError
            If the file is missing or no head model.
        """
        path = Path(path) if path else ASSETS / "head.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                if "format" not in file or str(file["format"]) != FORMAT:
                    raise FurrowError(f"{path} is no head model of format {FORMAT}.")
                return cls({name: file[name] for name in file.files})
        except FileNotFoundError:
            raise FurrowError(f"There is no head model {path}.", "missing_model") from None
        except (OSError, ValueError, KeyError) as error:
            raise FurrowError(f"{path} is no readable head model: {error}.") from None

    @property
    def shape_count(self) -> int:
        """K, the number of shape coefficients."""
        return len(self.basis)

    @property
    def vertex_count(self) -> int:
        """V."""
        return len(self._mean)

    def neutral(self, shape: np.ndarray) -> np.ndarray:
        """Return the face at rest for shape coefficients (K,): float32 (V, 3) metres."""
        linear = self._mean + (self._checked(shape) @ self.basis).reshape(-1, 3)
        return self.contacts.at_rest(linear).astype(np.float32)

    def blendshapes(self, shape: np.ndarray) -> np.ndarray:
        """Return the 52 expressions' offsets from the face at rest: float32 (52, V, 3) metres."""
        return self._offsets(shape, self.neutral(shape))

    def rig(self, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[Corrective]]:
        """Return the face at rest (V, 3), its expressions' offsets (52, V, 3), and correctives.

        Metres, float32, for shape coefficients (K,); half a blink is the only corrective.
        """
        rest = self.neutral(shape)
        offsets = self._offsets(shape, rest)
        return rest, offsets, self.contacts.half_blinks(rest, offsets)

    def vertices(self, shape: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Return the face for shape (K,) and expression (52,) in [0, 1]: float32 (V, 3) metres.

        The last identity's blendshapes are kept, so that a new expression costs about 1 ms.
        """
        shape = self._checked(shape)
        key = shape.tobytes()
        if self._cached is None or self._cached[0] != key:
            rest, units, correctives = self.rig(shape)
            self._cached = (key, rest, units.reshape(len(EXPRESSIONS), -1), correctives)
        _, neutral, offsets, correctives = self._cached
        expression = np.asarray(expression, np.float32)
        if expression.shape != (len(EXPRESSIONS),):
            raise FurrowError(
                f"An expression has {len(EXPRESSIONS)} weights, not {expression.shape}."
            )
        points = neutral + (expression @ offsets).reshape(-1, 3)
        for one in correctives:
            weight = expression[INDEX[one.expression]]
            points[one.moved] += 4.0 * weight * (1.0 - weight) * one.offsets
        return points

    def _offsets(self, shape: np.ndarray, rest: np.ndarray) -> np.ndarray:
        weights = np.tensordot(self._checked(shape), self._core, axes=(0, 1))
        linear = (self._units + weights @ self._spatial).reshape(len(EXPRESSIONS), -1, 3)
        self.contacts.in_motion(rest, linear)
        return linear

    def average(self) -> Identity:
        """Return the mean person."""
        shape = np.zeros(self.shape_count, np.float32)
        return Identity(shape, name="Average", generation=self.generation)

    def read_identity(self, path: str | Path) -> Identity:
        """Read an identity file, and bring one of an earlier head up to date; raises FurrowError."""
        identity = self.current(read_identity(path))
        return check(identity, self.shape_count)

    def current(self, identity: Identity) -> Identity:
        """Return the identity in this head's coefficients: what sets its face apart, by least squares.

        Raises
        ------
        FurrowError
            If it belongs to a later head, or to one that this head knows nothing of.
        """
        if identity.generation == self.generation:
            return identity
        if identity.generation not in self._conversions:
            raise FurrowError(
                f'Identity "{identity.name}" belongs to head {identity.generation}, this is head '
                f"{self.generation}: use the Furrow that it was saved with, or a newer one."
            )
        matrix = self._conversions[identity.generation]
        check(identity, matrix.shape[1])
        shape = np.clip(matrix @ identity.shape, -SHAPE_LIMIT, SHAPE_LIMIT)
        return replace(identity, shape=shape.astype(np.float32), generation=self.generation)

    def random(self, seed: int) -> Identity:
        """Return a plausible person: drawn from the covariance of the people behind the model.

        Age moves shape and skin together; everything stays within about two standard deviations.
        """
        rng = np.random.default_rng(seed)
        draw = np.clip(rng.standard_normal(len(self._people_factor)), -2.0, 2.0)
        values = self._people_mean + self._people_factor @ (0.85 * draw)
        shape = np.clip(values[: self.shape_count], -2.2, 2.2).astype(np.float32)
        skin = np.clip(values[self.shape_count :], 0.02, 0.98).astype(np.float32)
        seed_of_detail = int(rng.integers(2**31))
        return Identity(shape, skin, seed_of_detail, f"Person {seed}", generation=self.generation)

    def _checked(self, shape: np.ndarray) -> np.ndarray:
        shape = np.ascontiguousarray(shape, np.float32)
        if shape.shape != (self.shape_count,):
            raise FurrowError(
                f"This head has {self.shape_count} shape coefficients, not {shape.shape}."
            )
        return shape


def _unpacked(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Undo the packing of a basis: 16-bit rows (n, 3V) times a scale for each row."""
    return arrays[name].astype(np.float32) * arrays[f"{name}_scale"][:, None].astype(np.float32)
