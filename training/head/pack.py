"""Writes assets/head.npz, the file that backend.head reads."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ...backend.formats.files import write_whole
from ...backend.head.bilinear import FORMAT
from .anatomy import MATERIALS, Layout


def pack_rows(rows: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """Rows (n, 3V) as float16 with one float32 scale a row: a 2000th of each row's largest entry."""
    scale = np.maximum(np.abs(rows).max(1), 1e-12).astype(np.float32)
    return {name: (rows / scale[:, None]).astype(np.float16), f"{name}_scale": scale}


def layout_arrays(layout: Layout) -> dict[str, np.ndarray]:
    """The arrays that no identity changes."""
    return {
        "faces": layout.faces,
        "uv": layout.uv,
        "face_material": layout.face_material,
        "materials": np.array(MATERIALS),
        "skin_count": np.array(layout.skin_count),
        "group_names": np.array(list(layout.groups)),
        "groups": np.stack(list(layout.groups.values())).astype(np.float16),
        "landmark_names": np.array(list(layout.landmarks)),
        "landmark_vertices": np.array(list(layout.landmarks.values()), np.int32),
    }


def write_head(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the head model in one step; raises FurrowError."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, format=np.array(FORMAT), **arrays)
    write_whole(path, buffer.getvalue())
