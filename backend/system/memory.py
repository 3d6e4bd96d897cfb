"""Memory: what is left, so that large work refuses before the machine swaps, and what is held."""

from __future__ import annotations

from pathlib import Path

from ..errors import FurrowError

_GROUP = Path("/sys/fs/cgroup")
"""Of the container that this process runs in, where it has version 2 of control groups."""


def available_bytes() -> int:
    """Return the bytes that a process may still take without swapping; a container's limit counts too."""
    import psutil  # here: Blender's own Python, which imports the errors of `require`, has none

    left = psutil.virtual_memory().available
    container = _container_bytes()
    return left if container is None else min(left, container)


def _container_bytes() -> int | None:
    """What version 2 of control groups leaves to this container; None without a limit."""
    try:
        limit = int((_GROUP / "memory.max").read_text())
        used = int((_GROUP / "memory.current").read_text())
        cache = next(
            int(line.split()[1])
            for line in (_GROUP / "memory.stat").read_text().splitlines()
            if line.startswith("inactive_file ")
        )
    except (OSError, ValueError, StopIteration):  # "max" is no number
        return None
    return limit - used + cache


def require(size: int, what: str, remedy: str) -> None:
    """Raise FurrowError if `size` bytes are surely not left."""
    left = available_bytes()
    if size > left:
        raise FurrowError(
            f"{what} needs {size / 2**20:.0f} MiB of memory, {left / 2**20:.0f} MiB are free. "
            f"{remedy}",
            "internal",
        )


def resident_bytes() -> int:
    """Return the memory that this process holds."""
    import psutil

    return psutil.Process().memory_info().rss
