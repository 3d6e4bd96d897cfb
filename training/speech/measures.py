"""How well a mouth says what it should: measures on the average head, at 60 frames a second."""

# ruff: noqa: RUF001 (IPA letters look like Latin ones)
from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfiltfilt
from scipy.spatial import cKDTree
from scipy.stats import spearmanr

from ...backend.formats.expressions import EXPRESSIONS, INDEX
from ...backend.head.bilinear import Head
from ...backend.speech import lips
from .voices import Phone

FPS = 60.0
CLOSED_MM, TIGHT_MM = 1.0, 0.3
"""Lips count as closed, and as tight, at this :func:`lip_gap`; vowels part them 5 to 15 mm."""
BITTEN_MM = 1.5
"""Lip and teeth count as touching at this :func:`bite`; sounds other than f, v leave 2.8 mm and more,
and beside a rounded vowel the lip of an f stands a little before the teeth."""
OPENED_MM = 4.0
SHAKE_HZ = 8.0
"""Lips and jaw hardly move faster; what is faster is taken for jitter."""
MOUTH: tuple[int, ...] = tuple(
    i for i, name in enumerate(EXPRESSIONS) if name.startswith(("jaw", "mouth", "tongue"))
)
"""The weights of :data:`EXPRESSIONS` that speech moves."""

_EDGE = 0.010  # seconds beside a closure that still count as it
_NEAR = 0.030  # seconds by which a meeting of the lips may miss what explains it
_LONG = 0.060  # seconds of a vowel that reaches its height
_OPEN_VOWELS = frozenset("aæɑɔʌ")
_HEIGHTS = {
    "iuɪʊ": 0,
    "eoɛɔɜ": 1,
    "aæɑɒ": 2,
}  # how far the jaw opens; ə and ʌ go with their neighbours
_HEIGHT = {vowel: height for vowels, height in _HEIGHTS.items() for vowel in vowels}
_LARGEST_LAG = 0.15  # seconds
_STILL_MM = 1e-3


@dataclass(frozen=True)
class Said:
    """One sentence as it should look and as something makes it look, at :data:`FPS`.

    Attributes
    ----------
    touches
        When lips, or lip and teeth, should touch.
    target, made
        Weights (N, 52).
    """

    phones: Sequence[Phone]
    touches: Sequence[lips.Closure]
    target: np.ndarray
    values: np.ndarray

    @property
    def times(self) -> np.ndarray:
        """Seconds (N,)."""
        return np.arange(len(self.values)) / FPS


def measure(said: Sequence[Said]) -> dict[str, float]:
    """Return all measures of one set of sentences by name, in the order of :data:`UNITS`."""
    gaps = [lip_gap(s.values) for s in said]
    errors = [lip_errors(s) for s in said]
    results = (
        _share([_reached(s, gap, CLOSED_MM, True) for s, gap in zip(said, gaps, strict=True)]),
        _share([_reached(s, gap, TIGHT_MM, True) for s, gap in zip(said, gaps, strict=True)]),
        _share([explained(s) for s in said]),
        _share([_reached(s, bite(s.values), BITTEN_MM, False) for s in said]),
        _share([opened(s) for s in said]),
        jaw_height(said),
        1000 * sync_offset(said),
        _share([np.abs(s.values - s.target)[:, MOUTH].mean(1) for s in said]),
        _share([e.mean(1) for e in errors]),
        _share([e.max(1) for e in errors]),
        jitter(said),
    )
    return dict(zip(UNITS, results, strict=True))


UNITS = {
    "bilabial_closed": "share",
    "bilabial_tight": "share",
    "bilabial_precision": "share",
    "labiodental_contact": "share",
    "vowel_open": "share",
    "jaw_height": "rank correlation",
    "sync_offset_ms": "ms",
    "weight_mae": "weight",
    "lip_vertex_mean_mm": "mm",
    "lip_vertex_max_mm": "mm",
    "jitter_ratio": "ratio",
}


def lip_gap(weights: np.ndarray) -> np.ndarray:
    """Return how far the middle of the lips is parted, mm (N,), from weights (N, 52).

    Measured against the head at rest, where the lips lie on each other; below 0 they press.
    """
    offsets, landmarks = _offsets_mm(), _head().landmarks
    upper, lower = (landmarks[f"{lip}_lip_centre"] for lip in ("upper", "lower"))
    return np.asarray(weights @ (offsets[:, upper, 2] - offsets[:, lower, 2]))


def bite(weights: np.ndarray) -> np.ndarray:
    """Return how far the rim of the lower lip is from the upper incisors, mm (N,).

    At rest it is 3.3 mm in front of them.
    """
    rim = _head().landmarks["lower_lip_centre"]
    at = _rest_mm()[rim] + weights @ _offsets_mm()[:, rim]
    return np.asarray(_incisors().query(at)[0])


def lip_errors(said: Said) -> np.ndarray:
    """Return how far each lip vertex is from where it should be, mm (N, vertices).

    Its largest value in each frame, averaged over frames, is the lip vertex error of Richard et al.,
    "MeshTalk" (2021).
    """
    lip = np.flatnonzero(_head().groups["lips"] > 0.5)
    moved = (said.values - said.target) @ _offsets_mm()[:, lip].reshape(len(EXPRESSIONS), -1)
    return np.linalg.norm(moved.reshape(len(moved), len(lip), 3), axis=2)


def explained(said: Said) -> np.ndarray:
    """Return for each time that the lips meet whether they should within 30 ms, bool (meetings,)."""
    met = np.pad(lip_gap(said.values) <= TIGHT_MM, 1)
    target_met = lip_gap(said.target) <= TIGHT_MM
    times = said.times
    right = []
    for first, last in np.flatnonzero(np.diff(met)).reshape(-1, 2):
        low, high = times[first] - _NEAR, times[last - 1] + _NEAR
        right.append(bool(target_met[(times >= low) & (times <= high)].any()))
    return np.array(right, bool)


def opened(said: Said) -> np.ndarray:
    """Return for each long open vowel whether the mouth opens, bool (vowels,)."""
    gap = lip_gap(said.values)
    hits = []
    for phone in said.phones:
        if phone.name in _OPEN_VOWELS and phone.end - phone.start > 0.07:
            inside = _inside(said, phone.start, phone.end)
            hits.append(bool(inside.any() and gap[inside].max() >= OPENED_MM))
    return np.array(hits, bool)


def jaw_height(said: Sequence[Said]) -> float:
    """Return Spearman's rank correlation of the chin's lowest place in a vowel with its height.

    High vowels (i, u) leave the jaw up, mid ones (e, o) lower it, low ones (a) the most. A jaw that
    does not move at all correlates by 0.
    """
    chin = -_offsets_mm()[:, _head().landmarks["chin"], 2]
    heights, drops = [], []
    for s in said:
        drop = s.values @ chin
        for phone in s.phones:
            inside = _inside(s, phone.start, phone.end)
            if phone.name in _HEIGHT and phone.end - phone.start >= _LONG and inside.any():
                heights.append(_HEIGHT[phone.name])
                drops.append(drop[inside].max())
    return float(spearmanr(heights, drops).statistic) if np.ptp(drops) > _STILL_MM else 0.0


def sync_offset(said: Sequence[Said]) -> float:
    """Return by how many seconds the mouth comes late: the lag of the best correlation of openings.

    A mouth that is still is not late: 0.
    """
    if all(np.ptp(lip_gap(s.values)) < _STILL_MM for s in said):
        return 0.0
    lags = np.arange(-_LARGEST_LAG, _LARGEST_LAG + 1e-4, 0.002)
    scores = np.zeros(len(lags))
    for s in said:
        values, target = lip_gap(s.values), lip_gap(s.target)
        for k, lag in enumerate(lags):
            moved = np.interp(s.times + lag, s.times, values)
            scores[k] += ((moved - moved.mean()) * (target - target.mean())).sum()
    return round(float(lags[np.argmax(scores)]), 3)


def jitter(said: Sequence[Said]) -> float:
    """Return the energy of the lips' velocity above 8 Hz over that of the targets; 1 is as calm."""
    filtered = butter(4, SHAKE_HZ, "highpass", fs=FPS, output="sos")
    lip = np.flatnonzero(_head().groups["lips"] > 0.5)
    basis = _offsets_mm()[:, lip].reshape(len(EXPRESSIONS), -1)
    # Energy over vertices from weights alone: |B w|^2 = w' (B B') w.
    gram = basis @ basis.T

    def energy(weights: np.ndarray) -> float:
        fast = sosfiltfilt(filtered, np.diff(weights.astype(np.float64), axis=0), axis=0)
        return float(np.einsum("ni,ij,nj->", fast, gram, fast))

    return sum(energy(s.values) for s in said) / sum(energy(s.target) for s in said)


def _reached(said: Said, distance: np.ndarray, limit: float, bilabial: bool) -> np.ndarray:
    """Return for each touch of one kind whether a distance mm (N,) falls to its limit, bool."""
    hits = []
    for touch in said.touches:
        if touch.bilabial == bilabial:
            inside = _inside(said, touch.start - _EDGE, touch.end + _EDGE)
            hits.append(bool(inside.any() and distance[inside].min() <= limit))
    return np.array(hits, bool)


def _inside(said: Said, start: float, end: float) -> np.ndarray:
    return np.asarray((said.times >= start) & (said.times <= end))


def _share(parts: Sequence[np.ndarray]) -> float:
    """Return the mean over all sentences; 0 where there is nothing, as lips that never meet."""
    joined = np.concatenate(parts)
    return float(joined.mean()) if len(joined) else 0.0


@functools.cache
def _head() -> Head:
    return Head.load()


@functools.cache
def _rest_mm() -> np.ndarray:
    """The average head at rest, mm (V, 3)."""
    return 1000 * _head().neutral(_head().average().shape)


@functools.cache
def _offsets_mm() -> np.ndarray:
    """The average head's expressions, mm (52, V, 3)."""
    return 1000 * _head().blendshapes(_head().average().shape)


@functools.cache
def _incisors() -> cKDTree:
    """Points about 0.3 mm apart on the upper teeth within 8 mm of the middle."""
    head, rest = _head(), _rest_mm()
    faces = head.faces[head.face_material == head.materials.index("teeth")]
    faces = np.where(faces < 0, faces[:, 2:3], faces)  # a triangle is a square whose end is a point
    lowered = np.linalg.norm(_offsets_mm()[INDEX["jawOpen"]], axis=1)
    upper = lowered[faces].max(1) < 0.5  # the lower teeth go with the jaw
    faces = faces[upper & (np.abs(rest[faces].mean(1)[:, 0]) < 8.0)]
    u, v = np.meshgrid(*2 * [np.linspace(0, 1, 9)])
    shares = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], -1).reshape(-1, 4)
    return cKDTree(np.einsum("pk,fkc->fpc", shares, rest[faces]).reshape(-1, 3))
