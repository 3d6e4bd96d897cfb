"""`furrow evaluate corpus`: how the synthesised skin compares with what is known of real skin."""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import png
from scipy import ndimage

from ...backend.expressions import FACESCAPE_PRESETS, vector
from ...backend.figures import Figure
from ...backend.files import write_whole
from ...backend.head import Head
from ...backend.identity import SKIN, Identity
from .chart import Chart, chart
from .compose import Skin
from .relief import AMPLITUDE_UM, BANDS_MM
from .sampler import sample_identity

SEED = 7
FOLDING = ("brow-raiser", "brow-lower", "smile", "lip-puckerer", "anger", "grin")
"""Expressions whose furrows the figures on lines are taken from."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `furrow evaluate corpus`."""
    parser.add_argument("--people", type=int, default=8, help="random people (default: 8)")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE.png", help="also draw maps under side light"
    )


def run(args: argparse.Namespace) -> list[Figure]:
    """Return the figures; about a minute on one core."""
    head = Head.load()
    if args.picture:
        write_picture(args.picture, head)
    rng = np.random.default_rng(SEED)
    people = [sample_identity(head, rng) for _ in range(max(2, args.people))]
    fixity, identity = line_correlations(head, people)
    return [
        Figure("band_ratio_worst", max(band_ratios(head).values()), "ratio"),
        Figure("orientation_median_deg", orientation(head, people[:3]), "deg"),
        Figure("line_fixity_corr", fixity, "correlation"),
        Figure("line_identity_corr", identity, "correlation"),
        Figure("seconds_per_map_1024", seconds_per_map(head, people[0], 1024), "s"),
    ]


def reference_person(head: Head) -> Identity:
    """Return who is compared with the scanned adult: average, and young enough for smooth skin."""
    skin = np.full(len(SKIN), 0.5, np.float32)
    skin[SKIN.index("age")] = 0.25
    return Identity(head.average().shape, skin, detail_seed=1)


def band(
    image: np.ndarray, inside: np.ndarray, low_mm: float, high_mm: float, texel_mm: float
) -> np.ndarray:
    """Return one band of wavelengths of a map (R, R), by a difference of Gaussians over the skin alone."""

    def blur(wavelength: float) -> np.ndarray:
        sigma = wavelength / (2 * np.pi) / texel_mm
        weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma)
        return ndimage.gaussian_filter(image * inside, sigma) / np.maximum(weight, 1e-3)

    return blur(low_mm) - blur(high_mm)


def band_ratios(head: Head, resolution: int = 1024) -> dict[tuple[str, int], float]:
    """Return {(region, band): max(r, 1 / r)}, r the RMS at rest over the measured one.

    Bands whose longest wavelengths alone span two texels (0.5 to 1 mm at 1024) are left out.
    """
    skin = Skin(head, reference_person(head), resolution)
    image = skin.map(np.zeros(52, np.float32))
    texel_mm = float(np.median(skin.chart.texel_mm))
    inside = skin.chart.index >= 0
    ratios = {}
    for i, (low, high) in enumerate(BANDS_MM):
        if low < 2 * texel_mm:
            continue
        part = band(image, inside, low, high, texel_mm).ravel()[skin.chart.texels]
        for region, measured in AMPLITUDE_UM.items():
            own = skin.chart.groups[region] > 0.8
            rms = float(np.sqrt(np.mean(part[own] ** 2))) * 1000.0
            ratios[region, i] = max(rms / measured[i], measured[i] / rms)
    return ratios


def line_correlations(
    head: Head, people: list[Identity], resolution: int = 512
) -> tuple[float, float]:
    """Return mean correlations of furrows: of one person at two strengths, and of two people at one.

    What is compared is the change from rest at 1 to 8 mm, where the change is felt at all.
    """
    same, changes = [], {}
    for number, person in enumerate(people):
        skin = Skin(head, person, resolution)
        texel_mm = float(np.median(skin.chart.texel_mm))
        inside = skin.chart.index >= 0
        rest = skin.map(np.zeros(52, np.float32))
        for name in FOLDING:
            weights = vector(FACESCAPE_PRESETS[name])
            half, full = (
                band(skin.map(share * weights) - rest, inside, 1.0, 8.0, texel_mm).ravel()[
                    skin.chart.texels
                ]
                for share in (0.6, 1.0)
            )
            same.append(_correlation(half, full))
            changes[name, number] = full
    other = [
        _correlation(changes[name, i], changes[name, j])
        for name in FOLDING
        for i, j in combinations(range(len(people)), 2)
    ]
    return float(np.mean(same)), float(np.mean(other))


def _correlation(one: np.ndarray, two: np.ndarray) -> float:
    felt = (np.abs(one) > 0.01) | (np.abs(two) > 0.01)
    return float(np.corrcoef(one[felt], two[felt])[0, 1]) if felt.sum() > 10 else 0.0


def orientation(head: Head, people: list[Identity], resolution: int = 512) -> float:
    """Return the median angle in degrees between furrows and the perpendicular to their muscle's fibres.

    Orientation comes from the map's structure tensor; fibres from anatomy: frontalis runs upwards,
    corrugator across, orbicularis around eye and mouth. (The nasolabial fold is left out: it marks
    where several muscles end in the skin, and crosses none of them squarely.) Every texel counts by the energy of its furrows.
    """
    skin_chart = chart(head, resolution)
    angles, weights = [], []
    for person in people:
        skin = Skin(head, person, resolution)
        rest = skin.map(np.zeros(52, np.float32), relief=False)
        for expression, where, fibre in _muscles(skin_chart):
            change = skin.map(vector(FACESCAPE_PRESETS[expression]), relief=False) - rest
            direction, energy = _valley_direction(change, skin_chart)
            own = where & (energy > 0.02 * energy[where].max())
            along = (
                fibre[own]
                - (fibre[own] * skin_chart.normal[own]).sum(1, keepdims=True)
                * skin_chart.normal[own]
            )
            along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
            cosine = np.abs((direction[own] * along).sum(1)).clip(0, 1)
            angles.append(np.degrees(np.arcsin(cosine)))
            weights.append(energy[own] / energy[own].sum())
    angle, weight = np.concatenate(angles), np.concatenate(weights)
    order = np.argsort(angle)
    total = np.cumsum(weight[order])
    return float(angle[order][np.searchsorted(total, 0.5 * total[-1])])


def _muscles(skin: Chart) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return (expression, texels (N,) bool, fibres (N, 3)) of the muscles whose course is simple."""
    s, z = skin.face.T
    marks = skin.marks
    radial = skin.position[:, [0, 2]]

    def around(centre: np.ndarray, flat: float = 1.0) -> np.ndarray:
        away = (radial - centre) * (1.0, flat)
        away = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
        return np.stack([-away[:, 1], np.zeros(len(away)), away[:, 0]], 1)

    up = np.broadcast_to(np.array([0, 0, 1], np.float32), skin.position.shape)
    across = np.broadcast_to(np.array([1, 0, 0], np.float32), skin.position.shape)
    brow = marks["brow_mid"][1]
    out = [
        ("brow-raiser", (np.abs(s) < 40) & (z > brow + 5) & (z < marks["hairline"][1]), up),
        (
            "brow-lower",
            (np.abs(s) < 13) & (z > marks["nose_root"][1] + 5) & (z < brow + 12),
            across,
        ),
    ]
    mouth = np.array([0.0, marks["lower_lip_centre"][1]])
    near = (np.abs(s) < 0.9 * marks["mouth_corner"][0]) & (skin.groups["lips"] > 0.5)
    out.append(
        ("lip-puckerer", near, around(mouth, flat=4.0))
    )  # the mouth is twice as wide as high
    for side in (-1, 1):
        outer = marks["eye_outer"]
        reach = np.hypot(side * s - outer[0], z - outer[1])
        fan = (side * s > outer[0] + 3) & (reach < 24)
        x = skin.position[fan, 0].mean() - side * 15.0
        out.append(("eye-closed", fan, around(np.array([x, outer[1]]))))
    return out


def _valley_direction(change: np.ndarray, skin: Chart) -> tuple[np.ndarray, np.ndarray]:
    """Return the direction in space (N, 3) in which a map changes least, and the energy (N,)."""
    size, texel_mm = skin.resolution, float(np.median(skin.texel_mm))
    rows, columns = np.gradient(ndimage.gaussian_filter(change, 0.4 / texel_mm))
    blur: Callable[[np.ndarray], np.ndarray] = lambda x: ndimage.gaussian_filter(x, 1.5 / texel_mm)  # noqa: E731
    rr, cc, rc = blur(rows * rows), blur(columns * columns), blur(rows * columns)
    # The angle of the largest gradient, doubled, is that of (cc - rr, 2 rc); valleys run across it.
    angle = 0.5 * np.arctan2(2 * rc, cc - rr) + np.pi / 2
    position = skin.image(np.arange(len(skin.texels)))
    p = skin.position[position.ravel()].reshape(size, size, 3)
    per_row, per_column = np.gradient(p, axis=0), np.gradient(p, axis=1)
    along = np.cos(angle)[..., None] * per_column + np.sin(angle)[..., None] * per_row
    along = along.reshape(-1, 3)[skin.texels]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    return along, (rr + cc).ravel()[skin.texels]


def seconds_per_map(head: Head, person: Identity, resolution: int) -> float:
    """Return seconds for one of a new person's 20 FaceScape expressions, set-up shared among them."""
    Skin(head, person, resolution).map(np.zeros(52, np.float32))  # the head's chart, computed once
    started = time.perf_counter()
    skin = Skin(head, person, resolution)
    for weights in FACESCAPE_PRESETS.values():
        skin.map(vector(weights))
    return (time.perf_counter() - started) / len(FACESCAPE_PRESETS)


def write_picture(path: Path, head: Head, resolution: int = 512) -> None:
    """Draw maps as they look under light from the side, as one grey PNG.

    Rows: skin of 25, 45 and 75 years, each with habits of its own. Columns: neutral, brow-raiser,
    anger, smile, lip-puckerer and chin-raiser; the front of the face.
    """
    names = ("neutral", "brow-raiser", "anger", "smile", "lip-puckerer", "chin-raiser")
    rows = []
    for seed, age in ((1, 0.08), (3, 0.42), (2, 0.92)):
        skin_coefficients = np.random.default_rng(seed).uniform(size=len(SKIN)).astype(np.float32)
        skin_coefficients[SKIN.index("age")] = age
        skin = Skin(head, Identity(head.average().shape, skin_coefficients, seed), resolution)
        spots = np.argwhere(
            (skin.chart.index >= 0) & (skin.chart.image(skin.chart.normal[:, 1]) < -0.55)
        )
        (top, left), (bottom, right) = np.percentile(spots, (2, 98), axis=0).astype(int)
        texel_mm = float(np.median(skin.chart.texel_mm))
        rows.append(
            np.hstack(
                [
                    _shaded(skin.map(vector(FACESCAPE_PRESETS[name])), texel_mm)[
                        top:bottom, left:right
                    ]
                    for name in names
                ]
            )
        )
    image = np.vstack(rows)
    file = io.BytesIO()
    png.Writer(image.shape[1], image.shape[0], greyscale=True, bitdepth=8).write(
        file, image.tolist()
    )
    write_whole(path, file.getvalue())


def _shaded(image: np.ndarray, texel_mm: float) -> np.ndarray:
    """Return a map's Lambertian shading, uint8 in 48 steps, slopes exaggerated by 1.6."""
    rows, columns = np.gradient(1.6 * image / texel_mm)
    normal = np.stack([-columns, rows, np.ones_like(image)], -1)
    light = np.array([-0.65, 0.4, 0.65])
    bright = (normal @ light) / np.linalg.norm(normal, axis=-1) / np.linalg.norm(light)
    return (np.rint(bright.clip(0, 1) * 47) * (255 / 47)).astype(np.uint8)
