"""A user's own films to training scenes: what a face did while it spoke, as the paper learned speech.

MediaPipe's scores of each picture become steady ARKit weights: short losses are filled, cuts and
long ones part the film, time is smoothed without lag, the person's own resting face becomes 0, and
scores become weights of this head (:mod:`.calibration`). Lips meet where their inner edges did in
the film, since weights alone leave them a little apart.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from scipy.signal import savgol_filter
from tqdm import tqdm

from ...backend.errors import FurrowError
from ...backend.formats.audio import RATE
from ...backend.head.reenactment import REST_PERCENTILE
from ...backend.liveliness.performance import Style
from ...backend.speech import features, lips
from ...backend.speech.encoder import SpeechEncoder
from ...backend.speech.speech_model import SpeechModel
from . import calibration, dataset, tracking, visemes
from .films import SUFFIXES, Film, FilmError
from .network import SpeechNetwork
from .streamed import encode_streamed
from .tracking import Landmarker, Track

LONGEST_LOSS = 0.2
"""Seconds without a face that are filled; more is not known."""
SHORTEST = 1.0
"""Seconds that a piece of a film must last."""
LEAST_RATE = 20.0
"""Pictures a second; with fewer, lips meet and part between two of them."""
CUT = 0.5
"""Sizes of the face that it moves from one picture to the next where a film is cut."""
SMOOTHING = 0.132
"""Seconds of the window in which a parabola is fitted to the weights."""
MET = 0.6
"""Millimetres that lips are further apart than when they are shut, up to which they count as met."""
REST_SHARE = 20.0
"""Percentile of a score among the rows with lips together that is the person's at rest."""
LONGEST_CLOSURE = 0.25
"""Seconds; lips that stay together for longer rest."""

_RAMP = (lips.CLOSING + lips.OPENING) / 4
_SILENT = 1e-8  # mean square: -80 dB of full scale
_ROW = features.STRIDE // features.SUBFRAMES  # samples


class Piece(NamedTuple):
    """A stretch of a film without a gap, T rows :data:`~.speech_features.STEP` apart.

    Attributes
    ----------
    start
        Seconds in the film, of the first row.
    values
        float32 (T, 52) in [0, 1]; 0 for what is not measured.
    contact
        float32 (T,) in [0, 1], how far the lips have met.
    """

    start: float
    values: np.ndarray
    contact: np.ndarray


def scenes(folder: Path, landmarker: Path, network: SpeechNetwork) -> list[dataset.Scene]:
    """Return the training scenes that the films of a folder give; a line on stderr tells of each film.

    What films do not show (eyes, brows, the tongue, lips at the teeth) stays as the network has it.

    Parameters
    ----------
    folder
        Of films (:data:`SUFFIXES`), each of one person; folders in it count too.
    landmarker
        MediaPipe's model file, such as face_landmarker.task.
    network
        That is to learn from the scenes.

    Raises
    ------
    FurrowError
        If there are no films, the model does not fit, or no film is of use.
    """
    paths = _films_in(folder)
    encoder = SpeechModel.load().encoder
    result: list[dataset.Scene] = []
    with Landmarker(landmarker) as model:
        for path in paths:
            try:
                film = Film(path)
                sound = _sound(film)
                film_pieces = pieces(tracking.track(film, model), str(path))
            except FilmError as error:
                tqdm.write(f"Left out: {error}", sys.stderr)
                continue
            used = sum(len(piece.values) for piece in film_pieces) * features.STEP
            result += _heard(film_pieces, sound, encoder, network)
            damage = f", {film.damaged} damaged packets" if film.damaged else ""
            tqdm.write(
                f"{path}: {used:.1f} s in {len(film_pieces)} piece(s) are used{damage}", sys.stderr
            )
    if not result:
        raise FurrowError(
            f"None of the {len(paths)} films in {folder} is of use; the lines above say why. "
            "What is needed: one face towards the camera, its voice, 20 pictures a second or more."
        )
    return result


def pieces(track: Track, name: str) -> list[Piece]:
    """Return the usable stretches of a film as steady weights, normalised over all of them.

    Parameters
    ----------
    name
        Of the film, for messages.

    Raises
    ------
    FilmError
        If there is nothing usable; says what was seen instead.
    """
    rate = 1 / float(np.median(np.diff(track.times))) if len(track.times) > 1 else 0.0
    if rate < LEAST_RATE:
        raise FilmError(
            f"{name} shows {rate:.3g} pictures a second; {LEAST_RATE:g} are needed to see lips meet."
        )
    stretches = [_steady(track, part) for part in _stretches(track)]
    if not stretches:
        lone = track.faces == 1
        raise FilmError(
            f"{name} never shows one face towards the camera for {SHORTEST:g} s "
            f"(no face in {np.mean(track.faces == 0):.0%} of its pictures, several in "
            f"{np.mean(track.faces > 1):.0%}, one turned away in {np.mean(lone & np.isnan(track.gap)):.0%})."
        )
    starts, scores, gaps = zip(*stretches, strict=True)
    closed = np.percentile(np.concatenate(gaps), REST_PERCENTILE)
    gaps = [gap - closed for gap in gaps]
    rest = _rest(np.concatenate(scores), np.concatenate(gaps))
    result = []
    for start, rows, gap in zip(starts, scores, gaps, strict=True):
        times = np.arange(len(gap)) * features.STEP
        contact = visemes.contacts(closures(gap), times)[:, 0]
        result.append(Piece(start, calibration.weights(rows - rest, gap), contact))
    return result


def closures(gap: np.ndarray) -> list[lips.Closure]:
    """Return when lips met, in seconds from the first row.

    Parameters
    ----------
    gap
        Millimetres (T,) that the lips are further apart than when they are shut.
    """
    met = np.concatenate([[False], gap <= MET, [False]])
    edges = np.flatnonzero(np.diff(met.astype(int))).tolist()
    made = []
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        start, stop = first * features.STEP, (end - 1) * features.STEP
        if first > 0 and end < len(gap) and stop - start <= LONGEST_CLOSURE:
            # Contact ramps beyond a closure's ends; half of it belongs where the lips crossed.
            ramp = min(_RAMP, (stop - start) / 2)
            made.append(lips.Closure(start + ramp, stop - ramp, True))
    return made


def _rest(scores: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Return the scores (52,) of the person at rest, from all rows (T, 52) and lip gaps (T,).

    Lips are together; of these rows the lower scores, since a smile or a pressed m only adds.
    """
    return np.asarray(np.percentile(scores[gap <= MET], REST_SHARE, axis=0))


def _films_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FurrowError(f"There is no folder {folder}.", "missing_file")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        raise FurrowError(f"{folder} holds no films ({', '.join(SUFFIXES)}).", "missing_file")
    return found


def _stretches(track: Track) -> Iterator[np.ndarray]:
    """Yield the numbers of the pictures that belong together, for each stretch that is long enough."""
    seen = np.flatnonzero(np.isfinite(track.gap))
    place = track.place[seen]
    moved = np.linalg.norm(np.diff(place, axis=0), axis=1) > CUT * place[:-1, 2]
    lost = np.diff(track.times[seen]) > LONGEST_LOSS
    for part in np.split(seen, np.flatnonzero(moved | lost) + 1):
        if len(part) > 3 and track.times[part[-1]] - track.times[part[0]] >= SHORTEST:
            yield part


def _steady(track: Track, part: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the start in seconds, scores (T, 52) and lip gap (T,) in even steps, smoothed without lag."""
    times = track.times[part]
    start = np.ceil(times[0] * RATE) / RATE
    at = start + np.arange(int((times[-1] - start) / features.STEP) + 1) * features.STEP
    # Cubic, so that a mouth that is shut in one picture has time to shut; monotone, so that nothing
    # overshoots.
    scores = PchipInterpolator(times, np.nan_to_num(track.scores[part]))(at)
    gap = PchipInterpolator(times, track.gap[part])(at)
    window = 2 * round(SMOOTHING / features.STEP / 2) + 1
    return start, savgol_filter(scores, window, 2, axis=0, mode="nearest"), gap


def _sound(film: Film) -> np.ndarray:
    """Return a film's sound, float32 (n,) at 16 kHz, as loud as the network knows speech."""
    sound = film.sound()
    squares = features.powers(sound)
    if not len(squares) or squares.max() < _SILENT:
        raise FilmError(f"{film.path} is silent.")
    return np.clip(sound * np.float32(features.gain_of(squares)), -1.0, 1.0)


def _heard(
    film_pieces: list[Piece],
    sound: np.ndarray,
    encoder: SpeechEncoder,
    network: SpeechNetwork,
) -> list[dataset.Scene]:
    """Return a film's pieces with what the network hears of them, as a file and as a stream."""
    result: list[dataset.Scene] = []
    for piece in film_pieces:
        for window, rows in _windows(piece, sound):
            mel = features.log_mel(window)
            for encoded in (
                encoder(window[None])[0],
                encode_streamed(encoder, window),
            ):
                result.append(
                    _scene(encoded, mel, piece.values[rows], piece.contact[rows], network)
                )
    return result


def _windows(piece: Piece, sound: np.ndarray) -> Iterator[tuple[np.ndarray, slice]]:
    """Yield windows of sound of up to 8 s that cover a piece, and which of its rows they are heard at."""
    frames = len(piece.values) // features.SUBFRAMES
    edges = np.linspace(0, frames, -(-frames // features.LONG) + 1).round().astype(int)
    for first, last in itertools.pairwise(edges.tolist()):
        rows = slice(features.SUBFRAMES * first, features.SUBFRAMES * last)
        # Row 0 of a window lies half a row before the centre of its first frame.
        begin = round(piece.start * RATE) + rows.start * _ROW + _ROW // 2 - features.CENTRE
        end = begin + features.window_samples(last - first)
        inside = sound[max(0, begin) : max(0, end)]
        before = max(0, -begin)
        yield np.pad(inside, (before, end - begin - before - len(inside))), rows


def _scene(
    encoded: np.ndarray,
    mel: np.ndarray,
    values: np.ndarray,
    contact: np.ndarray,
    network: SpeechNetwork,
) -> dataset.Scene:
    """Return a scene of measured weights; the network's own where nothing was measured."""
    inputs = [
        torch.from_numpy(a[None].astype(np.float32)) for a in (encoded, mel, Style().vector())
    ]
    with torch.no_grad():
        rows = network.play(network.listener(*inputs[:2]), inputs[2])[0]
    said = rows[:, : values.shape[1]].clamp(0, 1).numpy()
    at_teeth = torch.sigmoid(rows[:, -1]).numpy()
    measured = np.where(calibration.MEASURED, values, said)
    lips.meet(measured, np.stack([contact, at_teeth], axis=1))
    count = len(values)
    arrays = {
        "encoded": encoded,
        "mel": mel,
        "ordinary": np.zeros((count, len(visemes.CHANNELS))),
        "effort": np.zeros((count, 1)),
        "contact": np.stack([contact, at_teeth], axis=1),
        "phone": np.full((count, 1), dataset.UNKNOWN),
        "measured": measured,
    }
    return dataset.Scene(**{name: array.astype(np.float16) for name, array in arrays.items()})
