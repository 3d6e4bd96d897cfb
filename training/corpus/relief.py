"""Static relief of the skin: what it looks like where nothing folds.

Bands up to 4 mm come from the detail seed; the broad ones from the skin coefficients, because a
network must be able to predict them from (a, b).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from scipy import fft, ndimage
from scipy.spatial import cKDTree

from .chart import Chart, chart, smoothstep
from .habit import Habit
from .pores import pores
from .tension import skin_tension

BANDS_MM = ((0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 16.0))
"""Wavelengths; a band is a difference of Gaussians of sigma = wavelength / 2 pi."""

AMPLITUDE_UM: dict[str, tuple[float, ...]] = {
    "forehead": (6, 6, 6, 6, 13),
    "cheeks": (6, 6, 7, 9, 14),
    "eyelids": (7, 9, 12, 14, 18),
    "nose": (7, 8, 10, 16, 29),
    "chin": (8, 11, 14, 18, 24),
    "lips": (12, 16, 22, 28, 31),
}
"""RMS by region and band, measured on one scanned adult man at rest, +-30 %."""

_GRIDS = (2048, 1024, 512, 256, 128)
"""Grid on which each band's noise is drawn, so that it is the same at every resolution."""

_FINEST_MM = (0.25, 0.5)
"""A band below the measured ones, drawn where a map can show it: from 2048 up."""

_FINEST_GRID = 4096

_FINEST_SHARE = 0.7
"""Its amplitude over that of the band above, after skin's fall-off from 1 to 0.5 mm."""

_GAIN = (1.7, 1.4, 1.5, 0.85, 2.3)
"""What a band's noise needs beyond its amplitude, since a band's filter passes only part of it and
neighbouring bands overlap; fitted to the table with `bands.band_ratios`. From 2 mm up it is kept
below the table: there real skin has creases and folds, and noise of that size looks like hammered metal."""

_SEEDED = 3
"""Bands below this number follow the detail seed."""

_FIXED_FIELDS = 5


@functools.lru_cache(maxsize=6)
def amplitudes(skin: Chart) -> np.ndarray:
    """Return each band's noise in mm RMS by texel (N, 5): a mean of the regions' by their soft weights."""
    total = np.full((len(skin.texels), 1), 0.15, np.float32)
    mix = 0.15 * np.tile(np.array(AMPLITUDE_UM["cheeks"], np.float32), (len(skin.texels), 1))
    for name, row in AMPLITUDE_UM.items():
        if name in skin.groups:
            weight = skin.groups[name][:, None]
            mix += weight * np.array(row, np.float32)
            total += weight
    # The red of the lips is too narrow a strip to hold the whole of the longer waves.
    if "lips" in skin.groups:
        mix[:, 2:] *= 1.0 + 0.15 * skin.groups["lips"][:, None]
    # Where the chart squeezes the skin (neck, back of the head) noise of the tile would be smeared.
    tight = smoothstep(2.2, 1.4, skin.texel_long_mm / np.median(skin.texel_long_mm)).astype(
        np.float32
    )
    return mix / total * np.array(_GAIN, np.float32) * (1e-3 * tight[:, None])


def seeded(skin: Chart, habit: Habit, seed: int) -> np.ndarray:
    """Return the relief of the detail seed (N,) float32 mm: bands up to 4 mm and pores."""
    amplitude = amplitudes(skin)
    tile_mm = float(np.median(skin.texel_mm)) * skin.resolution
    # The red of the lips has grooves rather than grain: the furrows of family `vermilion`.
    grain = 1.0 - 0.4 * skin.groups.get("lips", np.zeros(len(skin.texels), np.float32))
    rng = np.random.default_rng(seed)
    out = np.zeros(len(skin.texels), np.float32)
    for band in range(_SEEDED):
        stream = rng.spawn(1)[0]
        low_mm = BANDS_MM[band][0]
        if 2.0 * tile_mm / skin.resolution > 2.0 * low_mm:
            continue  # not even the band's longest wavelength spans two texels
        noise = _net(stream, BANDS_MM[band], _GRIDS[band], tile_mm, skin)
        size = 0.7 + 0.6 * habit["pore_size"]
        out += size * grain * amplitude[:, band] * noise
    pit_stream, finest_stream = rng.spawn(2)
    if skin.resolution >= 2048:
        noise = _net(finest_stream, _FINEST_MM, _FINEST_GRID, tile_mm, skin)
        out += _FINEST_SHARE * grain * amplitude[:, 0] * noise
    if 2.0 * tile_mm / skin.resolution <= 1.0:
        out += pores(pit_stream, skin, habit)
    return out * skin.seam


def _band(
    rng: np.random.Generator,
    limits_mm: tuple[float, float],
    grid: int,
    tile_mm: float,
    angle: float | None = None,
) -> np.ndarray:
    """Return noise of a band of wavelengths (G, G), unit RMS, periodic; with an angle, drawn out that way."""
    white = rng.standard_normal((grid, grid), np.float32)
    noise = fft.irfft2(fft.rfft2(white) * _gain(*limits_mm, grid, tile_mm, angle), s=(grid, grid))
    return noise / noise.std()


@functools.lru_cache(maxsize=24)
def _gain(
    low_mm: float, high_mm: float, grid: int, tile_mm: float, angle: float | None
) -> np.ndarray:
    """Return a band's filter over the frequencies of a real transform, float32 (G, G / 2 + 1)."""
    turns = fft.fftfreq(grid) * grid / tile_mm  # cycles per mm
    rows, columns = turns[:, None], turns[None, : grid // 2 + 1]
    square = rows**2 + columns**2
    # A Gaussian of sigma = wavelength / 2 pi passes exp(-(wavelength x frequency)^2 / 2).
    gain = np.exp(-0.5 * low_mm**2 * square) - np.exp(-0.5 * high_mm**2 * square)
    if angle is not None:
        # Ridges along the angle have their frequencies across it; rows run downwards.
        off = (np.arctan2(-rows, columns) - angle) % np.pi - np.pi / 2
        gain *= np.exp(-0.5 * (off / 0.42) ** 2)
    return gain.astype(np.float32)


def _net(
    rng: np.random.Generator,
    limits_mm: tuple[float, float],
    grid: int,
    tile_mm: float,
    skin: Chart,
) -> np.ndarray:
    """Return skin's own lines (N,), unit RMS: three sets that cross, the one along the tension deepest.

    The lines are where noise of one direction changes sign, so they wander, end and fork; between
    them lie the plateaus that they divide the skin into.
    """
    along = skin_tension(skin)
    out = np.zeros(len(skin.texels), np.float32)
    for angle in np.radians((10.0, 70.0, 130.0)):
        noise = _at(_band(rng, limits_mm, grid, tile_mm, angle), skin)
        depth = 0.82 + 0.18 * np.cos(2 * (angle - along)).astype(np.float32)
        out += depth * (0.3 * noise - np.exp(-np.abs(noise) / 0.45))
    out -= out.mean()
    return out / out.std()


def _at(noise: np.ndarray, skin: Chart) -> np.ndarray:
    """Read noise (G, G) at the texels: area means when the grid is finer, cubic when it is coarser."""
    grid, size = len(noise), skin.resolution
    if grid > size and grid % size == 0:
        step = grid // size
        noise = noise.reshape(size, step, size, step).mean((1, 3))
    elif grid != size:
        centres = (np.arange(size) + 0.5) * grid / size - 0.5
        rows, columns = np.meshgrid(centres, centres, indexing="ij")
        noise = ndimage.map_coordinates(noise, [rows, columns], order=3, mode="grid-wrap")
    return noise.ravel()[skin.texels].astype(np.float32)


@functools.lru_cache(maxsize=6)
def _fixed(head: Any, resolution: int) -> np.ndarray:
    """Return the fixed fields of the broad bands (2, fields, N), at the regions' amplitudes, mm."""
    skin = chart(head, resolution)
    amplitude = amplitudes(skin)
    tile_mm = float(np.median(skin.texel_mm)) * resolution
    out = np.zeros((2, _FIXED_FIELDS, len(skin.texels)), np.float32)
    for i, band in enumerate((3, 4)):
        for k in range(_FIXED_FIELDS):
            rng = np.random.default_rng(1000 + 10 * band + k)
            noise = _band(rng, BANDS_MM[band], _GRIDS[band], tile_mm)
            out[i, k] = _at(noise, skin) * amplitude[:, band] * skin.seam
    return out


def broad(head: Any, resolution: int, habit: Habit) -> np.ndarray:
    """Return the broad relief of an identity (N,) mm: fixed fields, mixed by the coefficients."""
    out = np.zeros_like(_fixed(head, resolution)[0, 0])
    for i in range(2):
        share = habit.waves(f"relief {i}", ("thickness", "pore_size"), _FIXED_FIELDS)
        share = share / max(float(np.linalg.norm(share)), 0.3)
        out += share.astype(np.float32) @ _fixed(head, resolution)[i]
    return out * (0.85 + 0.4 * habit.age)


@functools.lru_cache(maxsize=6)
def _cobbles(head: Any, resolution: int) -> np.ndarray:
    """Return two patterns of chin dimples (2, N), RMS 1 at the middle of the chin."""
    skin = chart(head, resolution)
    chin, lip = skin.marks["chin"], skin.marks["lower_lip_bottom"]
    middle = np.array([0.0, 0.72 * chin[1] + 0.28 * lip[1] - 2.0])
    reach = np.hypot(skin.face[:, 0] / 17.0, (skin.face[:, 1] - middle[1]) / 12.0)
    window = smoothstep(1.0, 0.25, reach) * skin.seam
    own = (window > 0) & (np.abs(skin.face[:, 0]) < 20)
    out = np.zeros((2, len(skin.texels)), np.float32)
    for i in range(2):
        rng = np.random.default_rng(300 + i)
        s, z = np.meshgrid(np.arange(-24, 25, 3.0), np.arange(-18, 19, 2.8))
        s = s + 1.5 * (np.arange(len(s)) % 2)[:, None]
        jitter = rng.uniform(-1.2, 1.2, (s.size, 2))
        seeds = np.stack([s.ravel(), z.ravel() + middle[1]], 1) + jitter
        # A bent chart and pits of many sizes: with straight cells the chin looks like dried mud.
        bent = skin.face[own] + 0.8 * np.sin(skin.face[own][:, ::-1] / 1.9 + rng.uniform(0, 6, 2))
        distance, near = cKDTree(seeds).query(bent, k=3)
        radius = rng.uniform(0.8, 1.7, len(seeds))[near]
        pit = np.exp(-0.5 * (distance / radius) ** 2) * rng.uniform(0.15, 1.0, len(seeds))[near]
        dimpled = -((pit**2).sum(1) ** 0.5)
        out[i, own] = (dimpled - dimpled.mean()) / dimpled.std() * window[own]
    return out


def cobbles(head: Any, resolution: int, habit: Habit) -> np.ndarray:
    """Return the chin's dimples (N,) mm at full contraction of mentalis."""
    turn = np.pi * float(habit.waves("cobbles", ("chin_depth", "thickness"), 1)[0])
    mix = np.array([np.cos(turn / 2), np.sin(turn / 2)], np.float32)
    depth = 0.11 * habit.scaled("chin_depth", 0.4, 1.5) * (0.85 + 0.3 * habit.age)
    return depth * (mix @ _cobbles(head, resolution))
