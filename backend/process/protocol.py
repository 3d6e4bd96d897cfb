"""What the add-on and the backend process say to each other: JSON lines on pipes, arrays in shared memory.

One JSON object a line, UTF-8, both ways; docs/backend.md lists the messages. An array travels as a
named block of shared memory: the sender keeps the block, the receiver copies it and says
``{"release": name}``, and the sender uses it again for another array or unlinks it.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import secrets
import sys
import threading
from collections import OrderedDict, deque
from multiprocessing import resource_tracker, shared_memory
from typing import Any

import numpy as np

from ..errors import FurrowError

PROTOCOL = 1
"""Raised when a message changes its meaning; a client refuses a backend of another number."""

HEARTBEAT_S = 0.5
"""Seconds between two ``alive`` events of the backend."""

SILENCE_S = 2.0
"""Seconds of silence after which the client takes the backend for dead."""

LOADING_S = 60.0
"""The same while networks load, which can hold every thread of Python for seconds."""

DTYPES = ("float32", "uint8", "int32")
"""Types of array that travel."""


def encode(message: dict[str, Any]) -> bytes:
    """Return one message as a line of UTF-8."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Return the message of one line.

    Raises
    ------
    FurrowError
        With code ``bad_message``, if the line is no JSON object.
    """
    try:
        message = json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise FurrowError(f"A line on the pipe is no message: {line[:80]!r}.", "bad_message")
    return message


_SPARE_BLOCKS = 2
"""Released blocks that are kept: a fresh one costs a page fault every 4 KiB, 30 ms for 16 MiB."""


class SharedArrays:
    """The arrays that a process has sent and that were not released yet. Safe to use from threads.

    This process's resource tracker knows the blocks too: should the process be killed, the tracker
    outlives it and unlinks what is left.
    """

    def __init__(self) -> None:
        self._blocks: dict[str, shared_memory.SharedMemory] = {}
        self._spare: deque[shared_memory.SharedMemory] = deque()
        self._lock = threading.Lock()
        self._closed = False
        if os.name == "posix":
            resource_tracker.ensure_running()  # starts a process: at start, not in the first drag

    def send(self, array: np.ndarray) -> dict[str, Any]:
        """Copy an array (float32, uint8 or int32) into shared memory.

        Returns the description for the message: ``{"name", "shape", "dtype"}``.

        Raises
        ------
        FurrowError
            With code ``internal``, if no shared memory is left.
        """
        block = self._block(max(1, array.nbytes))
        np.ndarray(array.shape, array.dtype, block.buf)[...] = array
        with self._lock:
            if not self._closed:
                self._blocks[block.name] = block
                return {"name": block.name, "shape": list(array.shape), "dtype": array.dtype.name}
        _unlink(block)
        raise FurrowError("The backend is shutting down.", "cancelled")

    def _block(self, size: int) -> shared_memory.SharedMemory:
        """Return a block of at least `size` bytes and at most twice that: a spare one or a new one."""
        with self._lock:
            for block in self._spare:
                if size <= block.size <= 2 * size:
                    self._spare.remove(block)
                    return block
        name = f"furrow-{os.getpid()}-{secrets.token_hex(4)}"  # macOS: 31 characters at most
        try:
            return shared_memory.SharedMemory(name, create=True, size=size)
        except OSError as error:
            raise FurrowError(
                f"No shared memory for {size / 2**20:.0f} MiB is left: {error.strerror}.",
                "internal",
            ) from None

    def release(self, name: str) -> None:
        """The receiver has copied a block; an unknown name is ignored, as a release may come twice."""
        with self._lock:
            block = self._blocks.pop(name, None)
            if block is None:
                return
            self._spare.append(block)
            old = self._spare.popleft() if len(self._spare) > _SPARE_BLOCKS else None
        if old is not None:
            _unlink(old)

    def __len__(self) -> int:
        return len(self._blocks)

    def close(self) -> None:
        """Unlink everything; nothing can be sent afterwards."""
        with self._lock:
            self._closed = True
            blocks = [*self._blocks.values(), *self._spare]
            self._blocks.clear()
            self._spare.clear()
        for block in blocks:
            _unlink(block)


def _unlink(block: shared_memory.SharedMemory) -> None:
    with contextlib.suppress(BufferError):  # a view still alive: the name goes all the same
        block.close()
    with contextlib.suppress(FileNotFoundError):
        block.unlink()


def receive(description: dict[str, Any]) -> np.ndarray:
    """Copy an array out of the shared memory of another process.

    Parameters
    ----------
    description
        As :meth:`SharedArrays.send` returned it.

    Raises
    ------
    FurrowError
        With code ``bad_message`` for a damaged description, ``backend_died`` if the block is gone.
    """
    try:
        name, dtype = description["name"], description["dtype"]
        shape = tuple(int(size) for size in description["shape"])
        if dtype not in DTYPES or not isinstance(name, str) or min(shape, default=0) < 0:
            raise ValueError(dtype)
    except (KeyError, TypeError, ValueError):
        raise FurrowError(f"{description!r} describes no array.", "bad_message") from None
    size = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        return _read(name, shape, dtype, size)
    except (OSError, TypeError, ValueError):  # gone, or smaller than described
        raise FurrowError(f"The array {name} is gone: the backend ended.", "backend_died") from None


def _read(name: str, shape: tuple[int, ...], dtype: str, size: int) -> np.ndarray:
    """Copy an array out of a block."""
    with _attached_lock:
        if name in _attached:
            _attached.move_to_end(name)
        else:
            _attached[name] = _attach(name)
        while len(_attached) > _STAY_ATTACHED:
            _, oldest = _attached.popitem(last=False)
            oldest.close()
        if size == 0:
            return np.empty(shape, dtype)
        buffer = getattr(_attached[name], "buf", _attached[name])
        array: np.ndarray = np.ndarray(shape, dtype, buffer).copy()
        if size > _STAY_BYTES:
            del buffer  # or the block could not be closed
            _attached.pop(name).close()
        return array


_STAY_ATTACHED = _SPARE_BLOCKS + 1
"""Blocks that are not let go of after reading, since a sender uses them again: to map one anew takes
longer than to copy it. The memory of one that the sender has unlinked is held until others come."""

_STAY_BYTES = 32 << 20
"""Larger ones, as a basis of maps, are let go of at once."""

_attached: OrderedDict[str, Any] = OrderedDict()
_attached_lock = threading.Lock()


def _attach(name: str) -> Any:
    """Attach a block without telling the resource tracker.

    Before Python 3.13 SharedMemory registers a block that it merely attaches: the receiver's
    tracker would then unlink it, warn about a leak, and run as one more process beside Blender.
    """
    if os.name != "posix" or sys.version_info >= (3, 13):
        extra: dict[str, Any] = {"track": False} if sys.version_info >= (3, 13) else {}
        return shared_memory.SharedMemory(name, **extra)
    import _posixshmem  # type: ignore[import-not-found]  # typeshed does not know it

    handle = _posixshmem.shm_open(f"/{name.removeprefix('/')}", os.O_RDONLY, mode=0o600)
    try:
        return mmap.mmap(handle, os.fstat(handle).st_size, prot=mmap.PROT_READ)
    finally:
        os.close(handle)
