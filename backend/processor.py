"""The processor that this process runs on: its name, its cores, its instructions."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def physical_cores() -> int:
    """Return the cores that this process may use, hyper-threads not counted; 0 if unknown."""
    if not sys.platform.startswith("linux"):
        return 0
    usable = os.sched_getaffinity(0)
    siblings = set()
    for cpu in usable:
        path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            siblings.add(path.read_text().strip())
        except OSError:
            return len(usable)
    return len(siblings)
