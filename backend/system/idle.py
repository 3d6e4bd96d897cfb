"""Work that waits until a process has nothing else to do, and gives way when it has."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..errors import FurrowError
from .interrupt import Interrupt

_POLL_S = 0.02


def when_idle(
    busy: Callable[[], bool], idle_s: float, work: Callable[[Interrupt], None]
) -> threading.Thread:
    """Run `work` in a thread once `busy` has been false for `idle_s` seconds.

    Its interrupt is set as soon as `busy` is true again; work that then ends as ``cancelled`` is
    begun anew at the next idle time.
    """

    def run() -> None:
        complete = False
        while not complete:
            _wait_until_idle(busy, idle_s)
            complete = _attempt(busy, work)

    thread = threading.Thread(target=run, name="when-idle", daemon=True)
    thread.start()
    return thread


def _wait_until_idle(busy: Callable[[], bool], idle_s: float) -> None:
    since = time.monotonic()
    while time.monotonic() - since < idle_s:
        time.sleep(_POLL_S)
        if busy():
            since = time.monotonic()


def _attempt(busy: Callable[[], bool], work: Callable[[Interrupt], None]) -> bool:
    """Do the work while nothing else is to be done; whether it came to its end."""
    interrupt = Interrupt()
    end = threading.Event()

    def watch() -> None:
        while not end.wait(_POLL_S):
            if busy():
                interrupt.set()
                return

    watcher = threading.Thread(target=watch, name="when-idle-watch", daemon=True)
    watcher.start()
    try:
        work(interrupt)
    except FurrowError as error:
        return error.code != "cancelled"
    finally:
        end.set()
        watcher.join()
    return True
