"""The logs of a run as one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...backend.formats.files import whole_file

NOT_LOSSES = ("step", "seconds", "kind")
"""Columns that are not drawn."""


def write_curves(folder: Path, window: int = 100) -> None:
    """Plot what the logs NAME.csv in a run's folder hold over steps, to curves.png.

    Means of `window` rows are drawn, on a logarithmic scale where all of a log's numbers allow it.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    logs = sorted(folder.glob("*.csv"))
    figure, axes = plt.subplots(1, len(logs), figsize=(4 * len(logs), 3.2), squeeze=False)
    for log, axis in zip(logs, axes[0], strict=True):
        rows = np.atleast_1d(np.genfromtxt(log, delimiter=",", names=True))
        width = min(window, len(rows))
        kernel = np.ones(width) / width
        lines = {
            name: np.convolve(rows[name], kernel, mode="valid")
            for name in rows.dtype.names or ()
            if name not in NOT_LOSSES
        }
        for name, line in lines.items():
            axis.plot(rows["step"][width - 1 :], line, label=name)
        positive = all((line > 0).all() for line in lines.values())
        axis.set(yscale="log" if positive else "linear", xlabel="steps", title=log.stem)
        axis.legend()
    figure.tight_layout()
    with whole_file(folder / "curves.png") as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)
