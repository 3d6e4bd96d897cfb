"""What this session knows of each head besides what the file holds: one :class:`HeadState` by head id.

Nothing here is saved. All of it may be forgotten at any time, and is when a file is opened: a map is
then taken for unknown and made again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import bpy


@dataclass(frozen=True)
class ImageMap:
    """The map that a head's image holds: the key of its moment, and whether it is the exact one."""

    key: str
    exact: bool


@dataclass(frozen=True)
class MapRequest:
    """A request to the backend on its way.

    Attributes
    ----------
    key
        Names the moment, see :class:`..detail.moment.Moment`.
    exact
        Whether a live map will not do.
    pending
        A :class:`..process.pending.Pending`.
    since
        When it was sent, in seconds of `time.monotonic`.
    """

    key: str
    exact: bool
    pending: Any
    since: float


@dataclass(frozen=True)
class Failure:
    """Why there is no map, for people, and the key of the moment not to try again; None for none."""

    key: str | None
    message: str


class Progress(Enum):
    """How far a head's map is, in words for people."""

    UPDATING = "Updating ..."
    EXACT = "Up to date"
    WAITING = "Waiting for the backend"


@dataclass
class HeadState:
    """One head in this session; linked duplicates (Alt-D) share it, as they share id and images.

    Attributes
    ----------
    image_map
        What its image holds; None if nothing, or if nobody knows.
    request
        What is on its way; a head has at most one request.
    failure
        Why the last map could not be made; None once one is shown.
    identity_problem
        Why its shape could not follow the sliders, for people.
    portable_errors
        RMS errors of its basis in micrometres, by the kind of expressions; None if it has no basis.
    quiet
        Whether its properties are being stored, so that their update callbacks must not act.
    """

    image_map: ImageMap | None = None
    request: MapRequest | None = None
    failure: Failure | None = None
    identity_problem: str = ""
    portable_errors: dict[str, float] | None = None
    quiet: bool = False

    @property
    def settling(self) -> bool:
        """Whether a live map is shown, and the exact one shall follow."""
        failed = self.failure is not None and self.failure.key is not None
        return self.image_map is not None and not self.image_map.exact and not failed

    @property
    def progress(self) -> Progress:
        """How far the map is."""
        if self.request is not None or self.settling:
            return Progress.UPDATING
        exact = self.image_map is not None and self.image_map.exact
        return Progress.EXACT if exact else Progress.WAITING

    def needs(self, key: str) -> bool:
        """Whether the map of a moment is neither shown, nor on its way, nor impossible."""
        return all(
            key != other.key for other in (self.image_map, self.request, self.failure) if other
        )

    def retry(self) -> None:
        """Let a moment that failed be tried again; its message stays until a map is shown."""
        if self.failure is not None:
            self.failure = Failure(None, self.failure.message)


_states: dict[str, HeadState] = {}


def of(obj: bpy.types.Object) -> HeadState:
    """The state of a head."""
    return of_id(obj.furrow.id)


def of_id(head_id: str) -> HeadState:
    """The state of the head with this id; a new one if nothing is known."""
    return _states.setdefault(head_id, HeadState())


def items() -> list[tuple[str, HeadState]]:
    """Every head of which something is known, by id; the registry may change meanwhile."""
    return list(_states.items())


@contextlib.contextmanager
def quiet(obj: bpy.types.Object) -> Iterator[None]:
    """Store properties of a head without their update callbacks acting."""
    state = of(obj)
    before, state.quiet = state.quiet, True
    try:
        yield
    finally:
        state.quiet = before


def forget(keep_requests: bool = False) -> None:
    """Trust nothing any more; after undo and redo, requests on their way may go on."""
    requests = {head_id: state.request for head_id, state in _states.items()}
    _states.clear()
    for head_id, request in requests.items():
        if request is None:
            continue
        if keep_requests:
            of_id(head_id).request = request
        else:
            request.pending.cancel()
