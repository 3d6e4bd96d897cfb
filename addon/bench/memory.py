"""How much memory a run inside Blender took."""

from __future__ import annotations

from ...backend.formats.figures import Figure
from ...commands.timing import peak_bytes
from ..process import jobs


def peaks(part: str = "") -> list[Figure]:
    """The most memory that Blender and the backend process of this session have held, in MB."""
    infix = f"_{part}" if part else ""
    client = jobs.running()
    pid = client.info["pid"] if client is not None else -1
    sizes = {f"blender{infix}_peak_mb": peak_bytes(), f"backend{infix}_rss_mb": peak_bytes(pid)}
    return [Figure(name, size / 1e6, "MB") for name, size in sizes.items() if size is not None]
