"""A picture of what folds where: each family of furrows on the face, its muscle's pull and fibres."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy import ndimage

from ...backend.formats.expressions import EXPRESSIONS
from ...backend.formats.files import write_whole
from ...backend.formats.identity import SKIN, Identity
from ...backend.head.bilinear import Head
from .chart import Chart
from .compose import Skin
from .muscles import MUSCLES, excitation, pull

NAMES = {
    "forehead": "frontalis",
    "glabella": "corrugator supercilii",
    "procerus": "procerus",
    "crows": "orbicularis oculi, outer part",
    "upper_lid": "orbicularis oculi, upper part",
    "under_eye": "orbicularis oculi, lower part",
    "bunny": "levator l. s. alaeque nasi",
    "nasolabial": "zygomatici, levators",
    "nostril": "levator l. s. alaeque nasi",
    "cheek": "zygomaticus major, risorius",
    "marionette": "depressor anguli oris",
    "chin": "mentalis",
    "lips_upper": "orbicularis oris, upper part",
    "lips_lower": "orbicularis oris, lower part",
    "vermilion": "orbicularis oris, marginal part",
    "neck": "flexion of neck and jaw",
    "platysma": "platysma",
}
"""Muscle by family of furrows."""

COLUMNS = 6
PIXEL_MM = 0.9
GAP_PIXELS = 2.0
STROKE_MM = 6.0
"""Length of a stroke that shows the fibres, and the least distance between two."""

THRESHOLD = 0.1
"""Activation at which the furrows that are drawn begin to form."""

LEFT, RIGHT = np.array([0.95, 0.38, 0.08]), np.array([0.08, 0.42, 0.95])
BOTH = np.array([0.62, 0.18, 0.70])
"""Colours of what the left, the right and shapes of both sides drive."""


def write_muscles(path: Path, head: Head, resolution: int = 512) -> None:
    """Draw one small face for every family that an expression folds, as a PNG.

    Colour is the excitation under the expressions that drive it at full weight: orange by the left
    shapes, blue by the right ones, violet by shapes of both sides or by both. Strokes are
    fibres: the direction across the furrows. Whose furrows these are: a person of 60 years.
    """
    coefficients = np.full(len(SKIN), 0.5, np.float32)
    coefficients[SKIN.index("age")] = 0.67
    skin = Skin(head, Identity(head.average().shape, coefficients), resolution)
    families = [name for name in skin.furrows.families if MUSCLES[name].pull]
    rows = -(-len(families) // COLUMNS)
    figure = Figure(figsize=(1.95 * COLUMNS, 2.75 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, family in zip(axes, families, strict=False):
        _panel(ax, skin, family)
    raw, file = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="png", dpi=110)
    # Of Pillow's quantisers the one that keeps rare colours: the others turn the violet grey.
    method = Image.Quantize.MAXCOVERAGE
    small = Image.open(raw).convert("RGB").quantize(256, method, kmeans=3, dither=Image.Dither.NONE)
    small.save(file, format="PNG", optimize=True)
    write_whole(path, file.getvalue())


def _panel(ax: Axes, skin: Skin, family: str) -> None:
    """Draw one family: the face in front view, its furrows by excitation, strokes along the fibres."""
    furrows = skin.furrows
    mine = furrows.family == furrows.families.index(family)
    reached = furrows.valley[:, mine].getnnz(1) + furrows.bulge[:, mine].getnnz(1) > 0
    left, right, both = _driven(family, skin.chart.face[:, 0])
    colour = LEFT * left[:, None] + RIGHT * right[:, None] + BOTH * both[:, None]
    amount = left + right + both
    colour /= np.maximum(amount, 1e-6)[:, None]
    cover = 0.9 * np.where(reached, excitation(np.minimum(amount, 1.0), THRESHOLD), 0.0)
    shade = 0.35 + 0.6 * np.clip(skin.chart.normal @ (-0.35, -0.85, 0.4), 0, 1)
    picture, extent = _front(
        skin.chart, shade[:, None] * (1 - cover)[:, None] + colour * cover[:, None]
    )
    ax.imshow(picture, extent=extent, interpolation="antialiased")
    place, across = _spread(furrows.place[mine], furrows.across[mine])
    half = 0.5 * STROKE_MM * across
    for begin, end in zip(place - half, place + half, strict=True):
        ax.plot([begin[0], end[0]], [begin[2], end[2]], color="black", lw=0.8)
    main = sorted(MUSCLES[family].pull, key=lambda name: -MUSCLES[family].pull[name])[:2]
    title = f"{family.replace('_', ' ')}\n{NAMES.get(family, '')}\n{', '.join(main)}"
    ax.set_title(title, fontsize=6.5, linespacing=1.1)
    ax.set_xlim(-85, 85)
    ax.set_ylim(35 if family in ("neck", "platysma") else 70, 265)


def _driven(family: str, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the activation (N,) that the strongest left, right and unsided shape gives at places s."""
    gains = pull(family, s)
    sides = [
        [i for i, name in enumerate(EXPRESSIONS) if name.endswith(side)]
        for side in ("Left", "Right")
    ]
    neither = [i for i in range(len(EXPRESSIONS)) if i not in sides[0] + sides[1]]
    left, right, both = (gains[:, columns].max(1) for columns in (*sides, neither))
    return left, right, both


def _front(skin: Chart, colour: np.ndarray) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Return the face seen from the front (rows, columns, 3), and its extent in mm, from texels' colours."""
    front = np.flatnonzero(skin.normal[:, 1] < 0.1)
    x, _, z = skin.position[front].T
    low, high = np.array([x.min(), z.min()]), np.array([x.max(), z.max()])
    columns, rows = (np.stack([x, z], 1) - low).T // PIXEL_MM
    width, height = (((high - low) // PIXEL_MM) + 1).astype(int)
    out = np.ones((height, width, 3))
    # The nearest texel is drawn last and stays: lips over what lies behind them.
    order = np.argsort(-skin.position[front, 1])
    r, c = (height - 1 - rows[order]).astype(int), columns[order].astype(int)
    out[r, c] = colour[front[order]].clip(0, 1)
    drawn = np.zeros((height, width), bool)
    drawn[r, c] = True
    distance, near = ndimage.distance_transform_edt(~drawn, return_indices=True)
    gaps = distance <= GAP_PIXELS  # between texels, where the layout squeezes the skin
    out[gaps] = out[near[0][gaps], near[1][gaps]]
    return out, (low[0], low[0] + width * PIXEL_MM, low[1], low[1] + height * PIXEL_MM)


def _spread(place: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples (n, 3) that lie at least STROKE_MM apart, in the order given."""
    apart: list[int] = []
    for i, point in enumerate(place):
        if all(np.linalg.norm(point - place[j]) >= STROKE_MM for j in apart):
            apart.append(i)
    return place[apart], across[apart]
