"""A picture of what the model made of one sentence, against its sound and its targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...backend.formats.audio import RATE
from ...backend.formats.expressions import INDEX
from ...backend.formats.files import whole_file
from .measures import Said, bite, lip_gap

_PANELS = (
    ("jawOpen", "mouthFunnel", "mouthPucker", "mouthStretchLeft"),
    ("mouthClose", "mouthPressLeft", "mouthRollLower", "mouthLowerDownLeft"),
)
_LINE = 1.6  # seconds in a row of the picture
_ROWS = 3


def draw(path: Path, sound: np.ndarray, said: Said, first: float = 0.0) -> None:
    """Write a PNG: spectrogram with phones, lip gap, and weights made (solid) and wanted (dashed).

    Parameters
    ----------
    sound
        float32 (n,) at 16 kHz.
    first
        Second at which the picture starts; it shows the 4.8 s from there.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3 * _ROWS, 1, figsize=(16, 5.5 * _ROWS), layout="constrained")
    for row in range(_ROWS):
        start = first + row * _LINE
        three = axes[3 * row : 3 * row + 3]
        _sound(three[0], sound, said)
        for axis, names in zip(three[1:], _PANELS, strict=True):
            _weights(axis, said, names)
        three[2].plot(said.times, lip_gap(said.values) / 20, "k", lw=1, label="lip gap / 20 mm")
        three[2].plot(said.times, bite(said.values) / 20, "k:", lw=1, label="lip to teeth / 20 mm")
        for axis in three[1:]:
            axis.legend(loc="upper right", ncol=6, fontsize=8)
        for axis in three:
            for touch in said.touches:
                colour = "C2" if touch.bilabial else "C7"
                axis.axvspan(touch.start, touch.end, color=colour, alpha=0.25)
            axis.set_xlim(start, start + _LINE)  # last, since a spectrogram sets its own
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=70)
    pyplot.close(figure)


def _sound(axis, sound: np.ndarray, said: Said) -> None:
    axis.specgram(sound + 1e-6, NFFT=160, Fs=RATE, noverlap=120, cmap="magma", vmin=-110)
    axis.set_ylim(0, 6000)
    for phone in said.phones:
        axis.axvline(phone.start, color="c", lw=0.7)
        middle = (phone.start + phone.end) / 2
        axis.text(middle, 5200, phone.name, color="w", fontsize=12, ha="center", clip_on=True)


def _weights(axis, said: Said, names: tuple[str, ...]) -> None:
    for k, name in enumerate(names):
        axis.plot(said.times, said.target[:, INDEX[name]], "--", color=f"C{k}", lw=1)
        axis.plot(said.times, said.values[:, INDEX[name]], color=f"C{k}", label=name)
    axis.set_ylim(-0.02, 0.65)
