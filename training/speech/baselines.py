"""What speech can be done with less: five baselines, measured as the network is.

``loudness``: the jaw follows the sound's level. ``rhubarb``: Rhubarb Lip Sync's mouth shapes as ARKit
poses. ``first_version``: Furrow's first network, with the code that ran it. ``log_mel_ridge``: a
linear map from 312 ms of log-mel. ``mean``: the mean face of speech.

They take a quarter of an hour, most of it Rhubarb's, so what they reach is kept in baselines.json
beside what it depends on: the sets' targets, settings, and versions of what computes.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from scipy.ndimage import gaussian_filter1d
from tqdm import tqdm

from ...backend.errors import FurrowError
from ...backend.formats import audio
from ...backend.formats.expressions import EXPRESSIONS, INDEX
from ...backend.formats.files import write_whole
from ...backend.speech import features, moonshine
from ..spine.files import differences
from . import closures, measures, sources, synthesise
from .measures import FPS, Said
from .testsets import Sentence

KEPT = Path(__file__).with_name("baselines.json")
METHODS = ("loudness", "rhubarb", "first_version", "log_mel_ridge", "mean")

FIRST_VERSION = "82265d5f6929c4a7a1bca989ed7e55e6d3e5cbc2"
"""The last commit whose assets and code are the first version's."""

SHAPES: dict[str, dict[str, float]] = {
    "X": {},
    "A": {"jawOpen": 0.05, "mouthClose": 0.05, "mouthPress": 0.1, "mouthRollLower": 0.06, "mouthRollUpper": 0.05},
    "B": {"jawOpen": 0.08, "mouthLowerDown": 0.2, "mouthUpperUp": 0.11, "mouthStretch": 0.14},
    "C": {"jawOpen": 0.28, "mouthLowerDown": 0.23, "mouthUpperUp": 0.14, "mouthStretch": 0.1},
    "D": {"jawOpen": 0.44, "mouthLowerDown": 0.21, "mouthUpperUp": 0.13},
    "E": {"jawOpen": 0.27, "mouthFunnel": 0.28, "mouthPucker": 0.1, "mouthLowerDown": 0.1},
    "F": {"jawOpen": 0.12, "mouthFunnel": 0.28, "mouthPucker": 0.5},
    "G": {"jawOpen": 0.06, "mouthRollLower": 0.42, "mouthUpperUp": 0.18, "mouthShrugUpper": 0.1},
    "H": {"jawOpen": 0.28, "mouthLowerDown": 0.2, "mouthUpperUp": 0.12, "tongueOut": 0.05},
}  # fmt: skip
"""Rhubarb's mouth shapes in ARKit weights; a name without a side is both.

After the drawings that define them: X rests; A presses the lips together (m, b, p); B nearly closes
the teeth (most consonants, ee); C opens (eh, ae); D opens wide (aa); E rounds a little (ao, er);
F puckers (oo, w); G bites the lower lip (f, v); H lifts the tongue in a mouth as open as C's (l).
How far each goes is what Furrow's own sounds of that kind do, so that no scale tells against them.
"""

VERSIONS = {
    "baselines": 1,
    "closures": 1,
    "formant": 1,
    "measures": 1,
    "real": 1,
    "testsets": 1,
    "visemes": 1,
}
"""Of the modules that decide the figures: raise a module's by hand when it computes something else."""

_TWEEN = 0.06  # seconds from one drawing to the next
_ENVELOPE = 0.02  # seconds, the width of loudness's window
_CONTEXT = 6  # frames of log-mel on both sides, 144 ms
_TRAIN = 400  # sentences that fit loudness, ridge and mean

_FIRST = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from furrow.backend.speech import SpeechModel
model = SpeechModel.load()
for path in sys.argv[3:]:
    values = model.weights(path, float(sys.argv[2]), liveliness_strength=0.0).values
    np.save(path.replace(".wav", ".npy"), values)
"""


def measure(sets: Mapping[str, Sequence[Sentence]], seed: int) -> None:
    """Measure all baselines on all sets and write :data:`KEPT`."""
    every = [sentence for sentences in sets.values() for sentence in sentences]
    trained = list(_training(seed))
    faces_of = {
        "loudness": _loudness(trained, every),
        "rhubarb": [
            _posed(cues, len(s.target)) for s, cues in zip(every, _cues(every), strict=True)
        ],
        "first_version": _first_version(every),
        "log_mel_ridge": _ridge(trained, every),
        "mean": _mean(trained, every),
    }
    figures: dict[str, dict[str, dict[str, float]]] = {method: {} for method in faces_of}
    for method, faces in faces_of.items():
        rest = iter(faces)
        for where, sentences in sets.items():
            said = [Said(s.phones, s.touches, s.target, next(rest)) for s in sentences]
            values = measures.measure(said)
            figures[method][where] = {name: round(value, 5) for name, value in values.items()}
    result = {
        "figures": figures,
        "targets": summary(sets),
        "command": f"furrow evaluate speech --full --seed {seed}",
        "computation": computation(),
        "data_sha256": _digest(*(s.sound.tobytes() for s in every)),
    }
    write_whole(KEPT, json.dumps(result, indent=1).encode() + b"\n")


def read_figures(sets: Mapping[str, Sequence[Sentence]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures of all baselines by method, set and measure.

    Raises
    ------
    FurrowError
        If they were computed otherwise, or against other targets than those of `sets`.
    """
    record = json.loads(KEPT.read_text(encoding="utf-8"))
    if changes := differences(record["computation"], computation()):
        raise FurrowError(
            f"The baselines were computed otherwise ({'; '.join(changes)})."
            " Measure them anew: furrow evaluate speech --full."
        )
    now = summary(sets)
    for where, mean in record["targets"].items():
        # A voice breathes its noise anew on every machine; a change of the rules shows more.
        if where not in now or not np.isclose(mean, now[where], rtol=0.02):
            raise FurrowError(
                f"The baselines were measured against other targets ({where}: mean weight {mean},"
                f" now {now.get(where)}). Measure them anew: furrow evaluate speech --full."
            )
    figures: dict[str, dict[str, dict[str, float]]] = record["figures"]
    return figures


def summary(sets: Mapping[str, Sequence[Sentence]]) -> dict[str, float]:
    """Return the mean weight of each set's targets."""
    return {
        where: round(float(np.concatenate([s.target for s in sentences]).mean()), 6)
        for where, sentences in sets.items()
    }


def computation() -> dict[str, Any]:
    """What the figures follow from besides the sounds, as plain data: settings, and versions of code."""
    settings = {
        "first_version": FIRST_VERSION,
        "shapes": SHAPES,
        "tween_s": _TWEEN,
        "envelope_s": _ENVELOPE,
        "context_frames": _CONTEXT,
        "train_sentences": _TRAIN,
        "fps": FPS,
        "closed_mm": measures.CLOSED_MM,
        "tight_mm": measures.TIGHT_MM,
        "bitten_mm": measures.BITTEN_MM,
        "opened_mm": measures.OPENED_MM,
    }
    return {"versions": dict(VERSIONS), "settings": settings}


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


# --- loudness ------------------------------------------------------------------------------------


def _training(seed: int) -> Iterator[Sentence]:
    """Yield sentences of the training corpus with their targets."""
    for path in synthesise.synthesise(_TRAIN, seed):
        if path.name.startswith("train"):
            sound, phones, _ = synthesise.read(path)
            yield Sentence.of(path.stem, sound, closures.tidy(phones))


def _loudness(trained: Sequence[Sentence], sentences: Sequence[Sentence]) -> list[np.ndarray]:
    """jawOpen in proportion to the envelope, by the factor that fits the training targets best."""
    jaw = INDEX["jawOpen"]
    level = np.concatenate([envelope(s) for s in trained])
    truth = np.concatenate([s.target[:, jaw] for s in trained])
    factor = float(level @ truth / (level @ level))
    faces = []
    for sentence in sentences:
        values = np.zeros_like(sentence.target)
        values[:, jaw] = np.clip(factor * envelope(sentence), 0, 1)
        faces.append(values)
    return faces


def envelope(sentence: Sentence) -> np.ndarray:
    """Return the sound's root mean square (N,) at FPS against that of its loud syllables."""
    rate = 200
    squares = sentence.sound.astype(np.float64) ** 2
    step = audio.RATE // rate
    power = np.add.reduceat(squares, np.arange(0, len(squares), step)) / step
    level = np.sqrt(gaussian_filter1d(power, _ENVELOPE * rate))
    level /= max(float(np.percentile(level, 97)), 1e-9)
    at = (np.arange(len(level)) + 0.5) / rate
    return np.interp(np.arange(len(sentence.target)) / FPS, at, level)


# --- Rhubarb -------------------------------------------------------------------------------------


def _cues(sentences: Sequence[Sentence]) -> list[list[dict]]:
    """Return what Rhubarb hears in each sound, without its text, as our network; kept by the sound."""
    package = sources.rhubarb().resolve()
    script = Path(__file__).with_name("rhubarb.mjs")
    cues = []
    for sentence in tqdm(sentences, "Rhubarb"):
        samples = (np.clip(sentence.sound, -1, 1) * 32767).astype("<i2").tobytes()
        path = sources.SOURCES / "rhubarb-cues" / f"{_digest(samples)[:24]}.json"
        if not path.is_file():
            with tempfile.NamedTemporaryFile(suffix=".raw") as file:
                file.write(samples)
                file.flush()
                said = _child(["node", str(script), str(package), file.name])
            path.parent.mkdir(exist_ok=True)
            write_whole(path, json.dumps(json.loads(said)[0]).encode())
        cues.append(json.loads(path.read_text(encoding="utf-8")))
    return cues


def _posed(cues: Sequence[Mapping], count: int) -> np.ndarray:
    """Return weights (count, 52) of Rhubarb's cues: each shape until the next, with a short tween."""
    poses = {name: _pose(shape) for name, shape in SHAPES.items()}
    starts = np.array([cue["start"] for cue in cues])
    fine = 600  # steps a second
    at = np.searchsorted(starts, np.arange(round(count / FPS * fine)) / fine, side="right") - 1
    steps = np.stack([poses[cue["value"]] for cue in cues])[np.maximum(at, 0)]
    tween = np.ones(round(_TWEEN * fine)) / round(_TWEEN * fine)
    padded = np.pad(steps, ((len(tween) // 2, len(tween) - 1 - len(tween) // 2), (0, 0)), "edge")
    smooth = np.stack([np.convolve(column, tween, "valid") for column in padded.T], axis=1)
    return smooth[:: round(fine / FPS)][:count].astype(np.float32)


def _pose(shape: Mapping[str, float]) -> np.ndarray:
    values = np.zeros(len(EXPRESSIONS))
    for name, weight in shape.items():
        for full in (name, f"{name}Left", f"{name}Right"):
            if full in INDEX:
                values[INDEX[full]] = weight
    return values


# --- the first version ---------------------------------------------------------------------------


def _first_version(sentences: Sequence[Sentence]) -> list[np.ndarray]:
    """Run the first network by its own code, both taken from this repository's history."""
    root = Path(__file__).resolve().parents[2]
    parts = ["__init__.py", "backend", "assets/speech"]
    archive = subprocess.run(
        ["git", "-C", str(root), "archive", FIRST_VERSION, *parts], capture_output=True
    )
    if archive.returncode:
        raise FurrowError(
            f"The first version is not in this checkout's history ({FIRST_VERSION}). Clone it whole."
        )
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "furrow"
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tree:
            tree.extractall(package, filter="data")
        encoder = moonshine.encoder_path()
        shutil.copy(encoder, package / "assets" / "speech" / encoder.name)
        files = []
        for number, sentence in enumerate(sentences):
            files.append(Path(folder) / f"{number}.wav")
            soundfile.write(files[-1], sentence.sound, audio.RATE, subtype="FLOAT")
        _child([sys.executable, "-c", _FIRST, folder, str(FPS), *map(str, files)])
        return [np.load(file.with_suffix(".npy")) for file in files]


def _child(command: list[str]) -> str:
    """Return what a command prints; raises FurrowError with its last words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise FurrowError(f"This needs {command[0]}; install it.", "missing_file") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise FurrowError(f"{command[0]} failed: {reason}")
    return done.stdout


# --- regression ----------------------------------------------------------------------------------


def _mean(trained: Sequence[Sentence], sentences: Sequence[Sentence]) -> list[np.ndarray]:
    mean = np.concatenate([s.target for s in trained]).mean(0)
    return [np.broadcast_to(mean, s.target.shape).astype(np.float32) for s in sentences]


def _ridge(trained: Sequence[Sentence], sentences: Sequence[Sentence]) -> list[np.ndarray]:
    """Least squares with a little ridge from log-mel and its surroundings to weights."""
    inputs = (2 * _CONTEXT + 1) * features.BANDS + 1
    gram, right = 10.0 * np.eye(inputs), np.zeros((inputs, len(EXPRESSIONS)))
    for sentence in trained:
        x = _context(sentence)
        gram += x.T @ x
        right += x.T @ sentence.target
    solved = np.linalg.solve(gram, right)
    return [np.clip(_context(s) @ solved, 0, 1).astype(np.float32) for s in sentences]


def _context(sentence: Sentence) -> np.ndarray:
    """Return log-mel of 312 ms around each frame, and a constant, (N, 13 x 40 + 1)."""
    squares = sentence.sound.astype(np.float64) ** 2
    powers = np.add.reduceat(squares, np.arange(0, len(squares), features.STRIDE)) / features.STRIDE
    beside = (_CONTEXT + 2) * features.STRIDE
    sound = np.pad(sentence.sound * np.float32(features.gain_of(powers)), beside)
    mel = features.log_mel(sound).reshape(-1, features.BANDS).astype(np.float64)
    at = (np.arange(len(mel)) - 0.5) * features.STEP + (features.CENTRE - beside) / audio.RATE
    times = np.arange(len(sentence.target)) / FPS
    # Frames of 24 ms beside each other, as the first network's had, wherever a frame falls.
    nearest = np.searchsorted(at, times).clip(2 * _CONTEXT, len(mel) - 1 - 2 * _CONTEXT)
    around = [mel[nearest + 2 * k] for k in range(-_CONTEXT, _CONTEXT + 1)]
    return np.concatenate([*around, np.ones((len(times), 1))], axis=1)
