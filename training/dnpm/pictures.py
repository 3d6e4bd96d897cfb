"""What a run looks like: its loss curve, and truth beside the networks' maps under side light."""

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


def write_curves(folder: Path, window: int = 100) -> None:
    """Plot every stage's losses over minutes, smoothed over `window` steps, to curves.png."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    logs = [folder / f"{name}.csv" for name in ("encoder", "relief", "convolutions")]
    logs = [log for log in logs if log.exists()]
    figure, axes = plt.subplots(1, len(logs), figsize=(4 * len(logs), 3.2), squeeze=False)
    for log, axis in zip(logs, axes[0], strict=True):
        rows = np.genfromtxt(log, delimiter=",", names=True)
        width = min(window, len(rows))
        for name in (rows.dtype.names or ())[2:]:
            if name == "kind":
                continue
            smooth = np.convolve(rows[name], np.ones(width) / width, mode="valid")
            axis.plot(rows["seconds"][width - 1 :] / 60, smooth, label=name)
        axis.set(yscale="log", xlabel="minutes", title=log.stem)
        axis.legend()
    figure.tight_layout()
    with whole_file(folder / "curves.png") as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)
