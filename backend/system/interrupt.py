"""Ends work that runs in another thread and cannot ask whether it is still wanted."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from ..errors import FurrowError


class Interrupt:
    """A flag that calls back when it is set. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = False
        self._callbacks: list[Callable[[], None]] = []

    def is_set(self) -> bool:
        """Whether the work is unwanted."""
        return self._set

    def check(self) -> None:
        """Raise FurrowError with code ``cancelled`` if the work is unwanted."""
        if self._set:
            raise FurrowError("Cancelled.", "cancelled")

    def set(self) -> None:
        """Say that the work is unwanted; callbacks run now, in this thread, each once."""
        # Inside the lock: none may run after its block has ended, when the library's object that
        # it would stop does other work already.
        with self._lock:
            self._set = True
            while self._callbacks:
                self._callbacks.pop()()

    @contextlib.contextmanager
    def on_set(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call `callback` if it is set before the block ends, at once if it is set already.

        The callback must return soon and not use the interrupt.
        """
        with self._lock:
            if self._set:
                callback()
            else:
                self._callbacks.append(callback)
        try:
            yield
        finally:
            with self._lock:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)
