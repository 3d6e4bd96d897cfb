"""How much memory is left, so that large work can refuse before it drives the machine into swap."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from ..errors import FurrowError


def available_bytes() -> int | None:
    """Return the bytes that a process may still take without swapping; None where unknown.

    On Linux a container's limit counts too. macOS tells no such number.
    """
    if sys.platform == "win32":
        return _windows_available_bytes()
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kib = next((int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)
    if kib is None:
        return None
    left = _container_bytes()
    return kib * 1024 if left is None else min(kib * 1024, left)


def _container_bytes() -> int | None:
    """What version 2 of control groups leaves to this container; None without a limit."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        cached = next(
            int(line.split()[1])
            for line in (group / "memory.stat").read_text().splitlines()
            if line.startswith("inactive_file ")
        )
    except (OSError, ValueError, StopIteration):  # "max" is no number
        return None
    return limit - used + cached


def _windows_available_bytes() -> int | None:
    """``ullAvailPhys`` of MEMORYSTATUSEX."""
    status = (ctypes.c_uint64 * 8)()  # two 32-bit fields, then seven of 64 bits
    ctypes.cast(status, ctypes.POINTER(ctypes.c_uint32))[0] = ctypes.sizeof(status)
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    return int(status[2]) if kernel.GlobalMemoryStatusEx(status) else None


def require(size: int, what: str, remedy: str) -> None:
    """Raise FurrowError if `size` bytes are surely not left."""
    left = available_bytes()
    if left is not None and size > left:
        raise FurrowError(
            f"{what} needs {size / 2**20:.0f} MiB of memory, {left / 2**20:.0f} MiB are free. "
            f"{remedy}",
            "internal",
        )
