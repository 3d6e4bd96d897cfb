"""Weights over time, and their files: Live Link Face .csv and .npz."""

from __future__ import annotations

import csv
import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from ..errors import FurrowError
from .expressions import EXPRESSIONS, INDEX, nearest
from .files import whole_file

HEAD_AND_EYES: tuple[str, ...] = (
    "HeadYaw", "HeadPitch", "HeadRoll",
    "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll",
    "RightEyeYaw", "RightEyePitch", "RightEyeRoll",
)  # fmt: skip
"""The angles in radians that Live Link Face adds to the 52 weights. Those of the eyes repeat what
eyeLook* say: they are written as 0 and ignored when read."""

_COLUMNS = (*(name[0].upper() + name[1:] for name in EXPRESSIONS), *HEAD_AND_EYES)
_RATES = (24000 / 1001, 24, 25, 30000 / 1001, 30, 48, 50, 60000 / 1001, 60, 120)
_TIMECODE = re.compile(r"(\d+):(\d+):(\d+)[:;](\d+(?:\.\d+)?)$")
_TOLERANCE = 1e-3  # what rounding in other programs may put a weight outside of [0, 1]
_HEAD = HEAD_AND_EYES[:3]


@dataclass(frozen=True)
class Weights:
    """ARKit weights at a steady rate.

    Attributes
    ----------
    values
        float32 (N, 52), each in [0, 1], order of :data:`~.expressions.EXPRESSIONS`.
    fps
        Frames per second; row k holds at the time k / fps seconds.
    head
        Turn of the head in radians, float32 (N, 3): yaw, pitch, roll; None where nothing is known
        of it. Right-handed turns about the axes of ARKit's face: yaw about the one that points up,
        positive to the character's left; pitch about the one that points to the character's left,
        positive down; roll about the one that points out of the face, positive towards the
        character's right shoulder. Roll is applied first, yaw last.

    Notes
    -----
    Epic documents no unit of the angles in Live Link Face. In two recordings of the app, eyes with
    eyeLookDown 0.21 and 0.11 have a pitch of +0.129 and +0.069, and eyes that look to the
    character's left a positive yaw: radians, with these signs. An importer for Maya (aronamao's)
    takes the head's angles for radians about the same axes. The app leaves the head at 0 unless
    told to record it, and users report that yaw and pitch come out inverted when the phone lies on
    its side.
    """

    values: np.ndarray
    fps: float
    head: np.ndarray | None = None


def resample(weights: Weights, fps: float) -> Weights:
    """Return the same motion at another rate, interpolated linearly; N becomes round(N fps' / fps).

    Raises
    ------
    FurrowError
        If `fps` is not a positive number up to 1000.
    """
    check_fps(fps, "The frame rate")
    if fps == weights.fps:
        return weights
    count = max(1, round(len(weights.values) * fps / weights.fps))
    at = np.arange(count) * (weights.fps / fps)
    frames = np.arange(len(weights.values))
    head = None if weights.head is None else _interpolate(frames, weights.head, at)
    return Weights(_interpolate(frames, weights.values, at), float(fps), head)


def read_weights(path: str | Path, fps: float | None = None) -> Weights:
    """Read a Live Link Face .csv or a Furrow .npz; columns are found by name.

    A CSV names no frame rate: it is inferred from the timecodes. Frames that the recorder
    dropped are filled by linear interpolation. Where the head's angles are absent, or 0 all
    along as the app writes them when it does not record the head, `head` is None.

    Parameters
    ----------
    fps
        Frame rate of a CSV, where its timecodes do not tell: a clip within one second of
        timecode is otherwise taken to be at 30 frames a second, or 60 if it counts beyond 29.

    Raises
    ------
    FurrowError
        For a missing or damaged file, unknown or absent columns, values that are not numbers,
        weights outside [0, 1], or angles of the head outside [-pi, pi].
    """
    path = Path(path)
    if not path.is_file():
        raise FurrowError(f"There is no weights file {path}.", "missing_file")
    if path.suffix.lower() == ".npz":
        return _read_npz(path)
    if path.suffix.lower() == ".csv":
        return _read_csv(path, fps)
    raise FurrowError(f"{path} is no weights file: it ends neither in .csv nor in .npz.")


def write_weights(path: str | Path, weights: Weights) -> None:
    """Write a Live Link Face .csv (61 columns, the eyes' angles 0) or an .npz, by the suffix.

    A CSV's timecode starts at 00:00:00:00.000 and runs in real time, also at rates like 29.97.
    The .npz holds `values` float32 (N, 52), `fps` float64, `names` (52,) and, where it is known,
    `head` float32 (N, 3), without pickle.

    Raises
    ------
    FurrowError
        For another suffix, weights out of range, or a place that cannot be written.
    """
    path = Path(path)
    values = _checked(weights.values, "The weights")
    head = None if weights.head is None else _checked_head(weights.head, len(values), "The head")
    check_fps(weights.fps, "The frame rate")
    if path.suffix.lower() == ".npz":
        arrays: dict[str, np.ndarray] = {"values": values, "names": np.array(EXPRESSIONS)}
        if head is not None:
            arrays["head"] = head
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays, fps=np.float64(weights.fps))
    elif path.suffix.lower() == ".csv":
        with (
            whole_file(path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as text,
        ):
            LiveLinkWriter(text, weights.fps).write(Weights(values, weights.fps, head))
    else:
        raise FurrowError(f"{path} must end in .csv (Live Link Face) or .npz.")


class LiveLinkWriter:
    """Writes Live Link Face CSV into an open text file, the header first, frames as they come.

    Parameters
    ----------
    fps
        Frames per second: the timecode starts at 00:00:00:00.000 and counts on.
    """

    def __init__(self, file: TextIO, fps: float) -> None:
        check_fps(fps, "The frame rate")
        self._file, self._fps, self._frame = file, fps, 0
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(("Timecode", "BlendshapeCount", *_COLUMNS))

    def write(self, weights: Weights) -> None:
        """Write the next frames, which may be none, and flush them."""
        angles = np.zeros(len(HEAD_AND_EYES), np.float32)
        for number, values in enumerate(weights.values):
            if weights.head is not None:
                angles[: len(_HEAD)] = weights.head[number]
            # Frame by frame: as numbers of Python's, an hour would be 400 MB.
            cells = [f"{x:.6g}" for x in (*values.tolist(), *angles.tolist())]
            self._writer.writerow((_timecode(self._frame, self._fps), len(_COLUMNS), *cells))
            self._frame += 1
        self._file.flush()


def check_fps(fps: float, what: str) -> None:
    """Raise FurrowError, which begins with `what`, unless `fps` lies above 0 and at most at 1000."""
    if not 0 < fps <= 1000:  # false for NaN too
        raise FurrowError(f"{what} is {fps}; it must lie above 0 and at most at 1000.")


def _interpolate(at: np.ndarray, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Interpolate (N, C) given at `at` linearly at the places `wanted`; the ends are held."""
    columns = [np.interp(places, at, column) for column in values.T]
    return np.stack(columns, axis=1).astype(np.float32)


def _checked(values: np.ndarray, what: str) -> np.ndarray:
    """Return finite weights within [0, 1] as float32 (N, 52), or raise FurrowError naming the first bad one."""
    values = np.asarray(values, np.float32)
    if values.ndim != 2 or values.shape[1] != len(EXPRESSIONS) or not len(values):
        raise FurrowError(f"{what}: an array of shape {values.shape} is not (frames, 52).")
    lowest, highest = values.min(), values.max()
    if lowest >= 0 and highest <= 1:  # false for NaN; an hour of frames needs no copy then
        return values
    for bad, words in (
        (~np.isfinite(values), "is not a number"),
        ((values < -_TOLERANCE) | (values > 1 + _TOLERANCE), "lies outside [0, 1]"),
    ):
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise FurrowError(
                f"{what}: {EXPRESSIONS[column]} {words} in frame {row + 1} ({values[row, column]:g})."
            )
    return np.clip(values, 0.0, 1.0)


def _checked_head(head: np.ndarray, count: int, what: str) -> np.ndarray:
    """Return finite angles within [-pi, pi] as float32 (count, 3), or raise FurrowError."""
    head = np.asarray(head, np.float32)
    if head.shape != (count, len(_HEAD)):
        raise FurrowError(f"{what}: an array of shape {head.shape} is not ({count} frames, 3).")
    bad = ~(np.abs(head) <= np.float32(np.pi))  # true for NaN too
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise FurrowError(
            f"{what}: {_HEAD[column]} is {head[row, column]:g} in frame {row + 1}, outside of "
            "[-pi, pi]; angles are in radians, not in degrees."
        )
    return head


def _read_npz(path: Path) -> Weights:
    try:
        with np.load(path, allow_pickle=False) as data:
            values, fps = data["values"], float(data["fps"])
            names = [str(name) for name in data["names"]]
            head = np.asarray(data["head"], np.float32) if "head" in data else None
    except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise FurrowError(f"{path} is no readable weights file: {error}.") from None
    check_fps(fps, f"{path}: the frame rate")
    if values.ndim != 2 or values.shape[1] != len(names) or values.dtype.kind not in "fiu":
        raise FurrowError(f"{path} is damaged: its values do not match its names.")
    if head is not None:
        head = _checked_head(head, len(values), str(path))
    return Weights(_by_name(path, names, values), fps, head)


def _read_csv(path: Path, fps: float | None) -> Weights:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FurrowError(f"{path} is no readable CSV file: {error}.") from None
    header = [cell.strip() for cell in rows[0]] if rows else []
    if "Timecode" not in header:
        raise FurrowError(f"{path} is no Live Link Face file: it has no column Timecode.")
    if len(rows) < 2:
        raise FurrowError(f"{path} holds no frames.")
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(header):
            raise FurrowError(
                f"{path} is damaged: frame {number} has {len(row)} columns, the header {len(header)}."
            )
    # The app's versions differ in BlendshapeCount and BlendShapeCount.
    used = [i for i, c in enumerate(header) if c.lower() not in ("timecode", "blendshapecount")]
    try:
        table = np.array([[row[i] for i in used] for row in rows[1:]], dtype=np.float32)
    except ValueError as error:
        raise FurrowError(f"{path} holds a weight that is not a number: {error}.") from None
    names = [header[i] for i in used]
    weights = np.hstack([_by_name(path, names, table), _head_by_name(path, names, table)])
    at = header.index("Timecode")
    weights, rate = _steady(path, [row[at].strip() for row in rows[1:]], weights, fps)
    values, head = np.split(weights, [len(EXPRESSIONS)], axis=1)
    return Weights(values, rate, head if head.any() else None)


def _head_by_name(path: Path, names: Sequence[str], values: np.ndarray) -> np.ndarray:
    """Return the head's angles (N, 3), 0 where there are none."""
    head = np.zeros((len(values), len(_HEAD)), np.float32)
    for column, name in enumerate(_HEAD):
        if name in names:
            head[:, column] = values[:, names.index(name)]
    return _checked_head(head, len(head), str(path))


def _by_name(path: Path, names: Sequence[str], values: np.ndarray) -> np.ndarray:
    """Put columns into our order, by their names in either camel case."""
    columns = np.zeros((len(values), len(EXPRESSIONS)), np.float32)
    names_read = set()
    for i, name in enumerate(names):
        if name in HEAD_AND_EYES:
            continue
        lowered = name[:1].lower() + name[1:]
        if lowered not in INDEX:
            near = nearest(lowered, EXPRESSIONS)
            raise FurrowError(f'{path} has an unknown column "{name}". Did you mean "{near}"?')
        if lowered in names_read:
            raise FurrowError(f'{path} has the column "{name}" twice.')
        names_read.add(lowered)
        columns[:, INDEX[lowered]] = values[:, i]
    missing = [n for n in EXPRESSIONS if n not in names_read and n != "tongueOut"]
    if missing:  # tongueOut came to ARKit later than the others: old recordings lack it
        raise FurrowError(f'{path} lacks the column "{missing[0]}" ({len(missing)} are missing).')
    return _checked(columns, str(path))


def _timecode(frame: int, fps: float) -> str:
    """Return HH:MM:SS:FF.mmm in real time, the frames counted at the next whole rate."""
    nominal = math.ceil(fps - 1e-6)
    thousandths = round(frame / fps * nominal * 1000)
    second, rest = divmod(thousandths, nominal * 1000)
    clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    return f"{clock}:{rest // 1000:02d}.{rest % 1000:03d}"


def _steady(
    path: Path, timecodes: list[str], values: np.ndarray, fps: float | None
) -> tuple[np.ndarray, float]:
    """Infer the rate from timecodes and fill dropped frames, so that row k is at k / rate."""
    seconds, frames = [], []
    for number, code in enumerate(timecodes, 1):
        match = _TIMECODE.match(code)
        if not match:
            raise FurrowError(
                f'{path}: the timecode "{code}" of frame {number} is not HH:MM:SS:FF.'
            )
        hours, minutes, whole, frame = match.groups()
        seconds.append(int(hours) * 3600 + int(minutes) * 60 + int(whole))
        frames.append(float(frame))
    highest = math.floor(max(frames)) + 1
    if seconds[0] != seconds[-1]:
        nominal = highest  # the last frame before a full second shows how many there are
    elif fps is not None:
        check_fps(fps, "The frame rate")
        nominal = max(highest, math.ceil(fps - 1e-6))
    else:
        nominal = 30 if highest <= 30 else max(60, highest)
    time = np.array(seconds) + np.array(frames) / nominal
    time[1:] += 86400.0 * np.cumsum(np.diff(time) < -43200)  # past midnight
    step = np.diff(time)
    if (step <= 0).any():
        number = int(np.argmax(step <= 0)) + 2
        raise FurrowError(
            f"{path}: the timecode of frame {number} does not come after the one before."
        )
    rate = _rate(step, nominal)
    at = (time - time[0]) * rate
    if np.abs(at - np.arange(len(at))).max() < 0.5:
        return values, rate
    return _interpolate(at, values, np.arange(round(at[-1]) + 1)), rate


def _rate(step: np.ndarray, nominal: int) -> float:
    """Return frames per second from the times between frames (N - 1,), a known rate where near."""
    if not len(step):
        return float(nominal)
    # The mean is exact where no frame was dropped, the median right where some were.
    median = float(np.median(step))
    rate = 1 / (float(step.mean()) if step.max() < 1.5 * median else median)
    near = min(_RATES, key=lambda rate_of_device: abs(rate_of_device - rate))
    return float(near) if abs(near - rate) < 2e-4 * near else round(rate, 4)
