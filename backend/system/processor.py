"""The processor that this process runs on: its name, its cores, its instructions."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import subprocess
import sys
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_PF_AVX2_INSTRUCTIONS_AVAILABLE = 40
"""Of IsProcessorFeaturePresent in Windows' processthreadsapi.h."""


def usable_cores() -> int:
    """Return the logical cores that this process may use; a container or a user may allow only some."""
    if hasattr(os, "sched_getaffinity"):  # where there is none, a process may use all
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def physical_cores() -> int:
    """Return the cores that this process may use, hyper-threads not counted; 0 if unknown."""
    if not sys.platform.startswith("linux"):
        import psutil  # here: Blender's own Python has none

        return psutil.cpu_count(logical=False) or 0
    # psutil counts the cores of the machine, whatever the process is allowed.
    usable = os.sched_getaffinity(0)
    siblings = set()
    for cpu in usable:
        path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            siblings.add(path.read_text().strip())
        except OSError:
            return len(usable)
    return len(siblings)


@functools.cache
def name() -> str:
    """Return the processor's name, as far as the system tells it."""
    if sys.platform.startswith("linux"):
        return _cpuinfo().get("model name") or platform.machine()
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string") or platform.machine()
    return platform.processor() or platform.machine()


@functools.cache
def lacks_avx2() -> bool:
    """Whether this is an x86 processor that is known to have no AVX2."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    if sys.platform.startswith("linux"):
        flags = _cpuinfo().get("flags", "").split()
        return bool(flags) and "avx2" not in flags
    if sys.platform == "darwin":
        return _sysctl("hw.optional.avx2_0") == "0"
    with contextlib.suppress(AttributeError, OSError):
        kernel = ctypes.windll.kernel32
        return not kernel.IsProcessorFeaturePresent(_PF_AVX2_INSTRUCTIONS_AVAILABLE)
    return False


def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first processor."""
    try:
        first = _CPUINFO.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _sysctl(key: str) -> str:
    """What macOS says under a name; empty if nothing."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        process = subprocess.run(["sysctl", "-n", key], capture_output=True, text=True, timeout=5)
        return process.stdout.strip()
    return ""
