"""A picture of what the model made of one sentence, against its sound and its targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...backend.audio import RATE
from ...backend.files import whole_file
from . import visemes

if TYPE_CHECKING:
    from .evaluate import Said

_PANELS = (
    ("jawOpen", "mouthFunnel", "mouthPucker", "mouthStretch"),
    ("mouthClose", "mouthPress", "mouthRollLower", "mouthLowerDown"),
)
_LINE = 1.6  # seconds in a row of the picture


def draw(path: Path, sound: np.ndarray, said: Said, gap_mm: np.ndarray, first: float = 0.0) -> None:
    """Write a PNG: spectrogram with phones, lip gap, and weights made (solid) and wanted (dashed).

    Parameters
    ----------
    sound
        float32 (n,) at 16 kHz.
    gap_mm
        Lip gap (N,) of the weights made.
    first
        Second at which the picture starts; it shows the 4.8 s from there.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = 3
    figure, axes = pyplot.subplots(3 * rows, 1, figsize=(16, 5.5 * rows), layout="constrained")
    for row in range(rows):
        start = first + row * _LINE
        for axis in axes[3 * row : 3 * row + 3]:
            for touch in said.touches:
                axis.axvspan(
                    touch.start, touch.end, color="C2" if touch.bilabial else "C7", alpha=0.25
                )
        top = axes[3 * row]
        top.specgram(sound + 1e-6, NFFT=160, Fs=RATE, noverlap=120, cmap="magma", vmin=-110)
        top.set_ylim(0, 6000)
        for phone in said.phones:
            top.axvline(phone.start, color="c", lw=0.7)
            middle = (phone.start + phone.end) / 2
            top.text(middle, 5200, phone.name, color="w", fontsize=12, ha="center", clip_on=True)
        for axis, names in zip(axes[3 * row + 1 : 3 * row + 3], _PANELS, strict=True):
            for k, name in enumerate(names):
                channel = visemes.CHANNELS.index(name)
                axis.plot(said.times, said.target[:, channel], "--", color=f"C{k}", lw=1)
                axis.plot(said.times, said.made[:, channel], color=f"C{k}", label=name)
            axis.set_ylim(-0.02, 0.65)
        axes[3 * row + 2].plot(said.times, gap_mm / 20, "k", lw=1, label="lip gap / 20 mm")
        for axis in axes[3 * row + 1 : 3 * row + 3]:
            axis.legend(loc="upper right", ncol=5, fontsize=8)
        for axis in axes[3 * row : 3 * row + 3]:
            axis.set_xlim(start, start + _LINE)  # last, since a spectrogram sets its own
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=70)
    pyplot.close(figure)
