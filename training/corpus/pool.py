"""Work on one person after another, spread over processes that start clean and stop together."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from typing import Protocol

from ...backend.errors import FurrowError
from ...backend.system import memory, processor


class Job(Protocol):
    """What every process is given once; pickled, so it loads nothing before :meth:`begin`."""

    def begin(self) -> None:
        """Load what all people share."""

    def person(self, key: str, stopped: Callable[[], bool]) -> tuple[int, list[str]]:
        """Do one person's part, or less of it once `stopped`; return maps done, and what was wrong."""


_job: Job | None = None
_stop: Event | None = None


def affordable(bytes_each: float) -> int:
    """Return how many processes of that size the cores and the free memory carry, at least one."""
    return max(1, min(processor.usable_cores(), int(memory.available_bytes() / bytes_each)))


def spread(job: Job, people: Sequence[str], processes: int) -> Iterator[tuple[int, list[str]]]:
    """Yield what :meth:`Job.person` returns for each of the people, in the order in which they are done.

    Processes are spawned, not forked: threads and CUDA survive that, on every system. Whatever ends
    the iteration (an error, Ctrl-C, the caller) stops them within one map; they also leave when
    this process is killed.

    Raises
    ------
    FurrowError
        The first one of a process, or if a process dies.
    """
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(job, stop)) as pool:
        with _deaf_to_interrupts():
            futures: list[Future] = [pool.submit(_work, key) for key in people]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise FurrowError(
                "A process ended before its time, most likely for want of memory. Run the command "
                "again with fewer --processes; it goes on where it was.",
                "internal",
            ) from None
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let processes started inside ignore Ctrl-C, which reaches the whole group: their parent stops them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin(job: Job, stop: Event) -> None:
    global _job, _stop
    _job, _stop = job, stop
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    job.begin()


def _leave_with_parent() -> None:
    """End this process when its parent has been killed: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(key: str) -> tuple[int, list[str]]:
    assert _job is not None and _stop is not None
    return _job.person(key, _stop.is_set)
