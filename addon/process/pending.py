"""A request to the backend process that is on its way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ...backend.errors import FurrowError


class Pending:
    """A request on its way; made by :meth:`.client.Client.request`.

    Attributes
    ----------
    progress
        (fraction in [0, 1], what is being done).
    message
        What is sent.
    attempts
        How often it was.
    """

    def __init__(self, message: dict[str, Any], give_up: Callable[[Pending], None]) -> None:
        self.progress: tuple[float, str] = (0.0, "")
        self.message = message
        self.attempts = 1
        self._give_up = give_up
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._result: dict[str, Any] = {}
        self._error: FurrowError | None = None

    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._done.is_set()

    def result(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for the result and return it, with "array" as an ndarray where the method has one.

        Raises
        ------
        FurrowError
            The backend's error as it is; ``superseded``, ``cancelled``, ``backend_died``;
            ``timeout`` after so many seconds.
        """
        if not self._done.wait(timeout):
            raise FurrowError(f"The backend has not answered within {timeout:g} s.", "timeout")
        if self._error is not None:
            raise self._error
        return self._result

    def wait(self, seconds: float | None = None) -> bool:
        """Block until it is done or `seconds` have passed; returns :meth:`done`."""
        return self._done.wait(seconds)

    def cancel(self) -> None:
        """Give the request up; it is done at once, with the error ``cancelled``."""
        self._give_up(self)
        self.finish(None, FurrowError("Cancelled.", "cancelled"))

    def finish(self, result: dict[str, Any] | None, error: FurrowError | None = None) -> None:
        """Take the result or the error; the first one stays."""
        with self._lock:
            if not self._done.is_set():
                self._result, self._error = result or {}, error
                self._done.set()
