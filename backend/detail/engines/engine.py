"""What an engine is: the detail networks, ready to run, whichever library runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from ...system.interrupt import Interrupt


class Engine(Protocol):
    """The networks, ready to run. To be used by one thread at a time.

    Attributes
    ----------
    name, device
        In words, for people.
    identity_size
        K + 16.
    num_ws
        Styles of W+, each of 512 numbers.
    resolution
        R, of the maps the generator makes.
    has_preview
        Whether `preview` makes a difference.
    has_mixture
        Whether a part of a map is linear in W+. Without local bases `mixture` returns the rest alone,
        and only an exact map tells what a slider does.
    batch
        How many maps are best made at once.
    say
        Called with a line for people when the engine must do otherwise than was asked.
    """

    name: str
    device: str
    identity_size: int
    num_ws: int
    resolution: int
    has_preview: bool
    has_mixture: bool = True
    batch: int = 1
    say: Callable[[str], None] = staticmethod(lambda text: None)

    def encode(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """identity (K + 16,), expression (52,), float32 -> W+ (num_ws, 512) float32."""
        ...

    def mixture(self, w: np.ndarray, rest: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The linear part of a map plus a rest: affine in w, and a small part of the exact map's cost.

        Parameters
        ----------
        w
            W+ (num_ws, 512) float32.
        rest
            (R, R) float32, mm, C-contiguous: what is added, such as the difference of an exact map
            from its own mixture.
        out
            (R, R) float32, C-contiguous: where the result is written, instead of a new array.

        Returns
        -------
        ndarray
            (R, R) float32 millimetres.
        """
        ...

    def synthesise(
        self,
        w: np.ndarray,
        noise: np.ndarray,
        preview: bool = False,
        interrupt: Interrupt | None = None,
    ) -> np.ndarray:
        """The exact map: W+ (num_ws, 512) and noise (R, R), float32 -> (R, R) float32, millimetres.

        `preview` allows 16-bit floats; docs/backend.md says how far such maps are from exact ones.
        `interrupt` ends the work: FurrowError with code ``cancelled``.
        """
        ...

    def synthesise_batch(
        self, ws: np.ndarray, noise: np.ndarray, interrupt: Interrupt | None = None
    ) -> np.ndarray:
        """Exact maps of several W+ (N, num_ws, 512) with one noise (R, R): (N, R, R) float32, mm."""
        return np.stack([self.synthesise(w, noise, interrupt=interrupt) for w in ws])


class NoiseCache:
    """What was computed of the last noise: maps of one seed follow one another, in a bake above all."""

    def __init__(self, compute: Callable[[np.ndarray], Any]) -> None:
        self._compute = compute
        self._last: tuple[np.ndarray, Any] | None = None

    def __call__(self, noise: np.ndarray) -> Any:
        """Return ``compute(noise)``."""
        if self._last is None or not np.array_equal(self._last[0], noise):
            self._last = (noise.copy(), self._compute(noise))
        return self._last[1]

    def forget(self) -> None:
        """Let go of it."""
        self._last = None


def output_array(out: np.ndarray | None, resolution: int) -> np.ndarray:
    """Return `out`, or a new map (R, R) if it is None; ValueError if it is no such map.

    Libraries write to its address, so that a wrong shape would overwrite other memory.
    """
    shape = (resolution, resolution)
    if out is None:
        return np.empty(shape, np.float32)
    if out.shape != shape or out.dtype != np.float32 or not out.flags.carray:
        raise ValueError(f"out must be a C-contiguous, writable float32 array {shape}")
    return out
