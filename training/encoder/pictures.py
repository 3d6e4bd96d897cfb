"""Truth beside the networks' maps, under light from the side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...backend.formats.files import whole_file
from ..corpus.pictures import shaded


def write_comparison(
    path: Path, pairs: Sequence[tuple[np.ndarray, np.ndarray]], texel_mm: float, columns: int = 3
) -> None:
    """Write pairs of maps (R, R) mm, truth left and network right, as one PNG grid."""
    from PIL import Image

    tiles = [np.concatenate([shaded(m, texel_mm) for m in pair], 1) for pair in pairs]
    rows = [
        np.concatenate(tiles[i : i + columns], 1)
        for i in range(0, len(tiles) - len(tiles) % columns, columns)
    ]
    with whole_file(path) as temporary:
        Image.fromarray(np.concatenate(rows)).save(temporary, optimize=True)
