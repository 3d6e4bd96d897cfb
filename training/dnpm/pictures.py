"""What a run looks like: its loss curve, and truth beside the networks' maps under side light."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...backend.files import whole_file
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


def write_curve(path: Path, log: Sequence[dict[str, float | str]], window: int = 25) -> None:
    """Plot a run's loss over minutes, smoothed over `window` steps; stages have losses of their own."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3.5))
    for stage in dict.fromkeys(row["stage"] for row in log):
        rows = [row for row in log if row["stage"] == stage]
        losses = np.array([float(row["loss"]) for row in rows])
        width = min(window, len(losses))
        smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
        minutes = np.array([float(row["seconds"]) for row in rows]) / 60
        axes.plot(minutes[width - 1 :], smooth, label=stage)
    axes.set(yscale="log", xlabel="minutes", ylabel="training loss")
    axes.legend()
    figure.tight_layout()
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)
