"""Measures the shipped speech network on speech that training never heard, beside its baselines."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from ...backend.errors import FurrowError
from ...backend.formats import audio
from ...backend.formats.figures import Figure
from ...backend.liveliness.performance import STILL, Style
from ...backend.speech import speech_model
from . import baselines, measures, plot, recording, testsets
from .measures import FPS, MOUTH, UNITS, Said
from .testsets import Sentence

_BLOCK = 80  # samples of 5 ms, by which the measured delay is too long at most
_SHORT, _LONG = 10.0, 1800.0  # seconds of the files whose memory is measured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `furrow evaluate speech`."""
    parser.add_argument(
        "--full",
        action="store_true",
        help="measure the baselines anew, and a file of half an hour",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, metavar="FOLDER",
                        help="also write pictures of weights against phones")  # fmt: skip


def run(args: argparse.Namespace) -> list[Figure]:
    """Return all figures of the network and of the baselines, by measure and set of sentences."""
    sets = testsets.load(args.seed)
    if args.full:
        baselines.measure(sets, args.seed)
    others = baselines.read_figures(sets)
    model = speech_model.SpeechModel.load()
    said_in = {where: perform(model, sentences) for where, sentences in sets.items()}
    figures = []
    for where, said in said_in.items():
        ours = measures.measure(said)
        figures += [Figure(name_of(m, where), ours[m], unit) for m, unit in UNITS.items()]
        rules = measures.measure([replace(s, values=s.target) for s in said])
        beside = {method: others[method][where] for method in baselines.METHODS}
        for method, theirs in (beside | {"targets": rules}).items():
            figures += [
                Figure(f"{name_of(m, where)}_{method}", theirs[m], unit)
                for m, unit in UNITS.items()
            ]
    best = min(others[method]["heldout"]["weight_mae"] for method in baselines.METHODS)
    figures.append(Figure("weight_mae_best_baseline", best, "weight"))
    figures.append(Figure("silence_movement", _silence(model), "weight"))
    if args.plot:
        _plot(args.plot, sets, said_in)
    longest = max(sets["real"], key=lambda sentence: len(sentence.sound))
    return figures + _streaming(model, longest) + _cost(model, longest, args.full)


def name_of(measure: str, where: str) -> str:
    """Return a figure's name: the set stands before the unit; errors on held-out voices need none."""
    if where == "heldout" and measure in ("sync_offset_ms", "weight_mae", "jitter_ratio"):
        return measure
    stem, _, unit = measure.rpartition("_")
    return f"{stem}_{where}_{unit}" if unit in ("ms", "mm") else f"{measure}_{where}"


def perform(model: speech_model.SpeechModel, sentences: Sequence[Sentence]) -> list[Said]:
    """Let the model say sentences, through files as anybody would: the mouth alone, ordinary style."""
    said = []
    for sentence in sentences:
        with _file(sentence.sound) as path:
            values = model.weights(path, FPS, style=Style(), life=STILL).values
        said.append(Said(sentence.phones, sentence.touches, sentence.target, values))
    return said


def _silence(model: speech_model.SpeechModel) -> float:
    """Return the largest weight of the mouth in silence, faint hiss and music, mean of the three."""
    rng = np.random.default_rng(0)
    count = 5 * audio.RATE
    largest = []
    for sound in (
        np.zeros(count),
        1e-3 * recording.noise(count, rng),
        0.1 * recording.music(count, rng),
    ):
        with _file(sound.astype(np.float32)) as path:
            values = model.weights(path, FPS, life=STILL).values
        largest.append(values[:, MOUTH].max())
    return float(np.mean(largest))


def _streaming(model: speech_model.SpeechModel, sentence: Sentence) -> list[Figure]:
    """Return by how much a frame comes after its sound, and what streaming changes.

    The delay is that of the method, without the time of the computation: seconds of sound handed
    over when a frame comes, less the time at which the frame is shown; the worst of the recording.
    """
    with _file(sentence.sound) as path:
        whole = model.weights(path, FPS, life=STILL).values
    stream = model.stream(FPS, Style(), STILL)
    parts: list[np.ndarray] = []
    count, worst = 0, 0.0
    for start in range(0, len(sentence.sound), _BLOCK):
        block = sentence.sound[start : start + _BLOCK]
        rows = stream.push(block).values
        if len(rows):
            worst = max(worst, (start + len(block)) / audio.RATE - count / FPS)
            count += len(rows)
            parts.append(rows)
    parts.append(stream.finish().values)
    pushed = np.concatenate(parts)
    if len(pushed) != len(whole):
        raise FurrowError(f"A stream gave {len(pushed)} frames, its file {len(whole)}.", "internal")
    difference = np.abs(pushed - whole)[:, MOUTH]
    return [
        Figure("stream_delay_ms", 1000 * worst, "ms"),
        Figure("stream_difference_mean", float(difference.mean()), "weight"),
        Figure("stream_difference_max", float(difference.max()), "weight"),
    ]


def _cost(model: speech_model.SpeechModel, sentence: Sentence, full: bool) -> list[Figure]:
    """Return time and memory; each length of sound is spoken by a process of its own."""
    seconds = []
    with _file(sentence.sound) as path:
        for _ in range(3):
            started = time.perf_counter()
            model.weights(path, FPS, life=STILL)
            seconds.append(time.perf_counter() - started)
    figures = [Figure("rtf", min(seconds) / (len(sentence.sound) / audio.RATE), "s/s")]
    for length, name in ((_SHORT, "memory_10s_mb"), (_LONG, "memory_30min_mb")):
        if full or length == _SHORT:
            sound = np.resize(sentence.sound, round(length * audio.RATE))
            with _file(sound) as path:
                figures.append(Figure(name, _peak_mb(path), "MB"))
    return figures


def _peak_mb(path: Path) -> float:
    """Return the largest memory that `furrow speak` ever held for a file, MB; Linux and macOS.

    A small process stands between: to a child's own peak the system adds that of what started it.
    """
    output = path.with_suffix(".npz")
    speak = [sys.executable, "-m", "furrow", "speak", str(path), "-o", str(output)]
    done = subprocess.run([sys.executable, "-c", _BETWEEN, *speak], stdout=subprocess.PIPE)
    if done.returncode:
        raise FurrowError(f"`furrow speak` ended with status {done.returncode}.", "internal")
    return int(done.stdout) / (1e6 if sys.platform == "darwin" else 1e3)


_BETWEEN = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


@contextlib.contextmanager
def _file(sound: np.ndarray) -> Iterator[Path]:
    """Yield the path of a sound float32 (n,) at 16 kHz as a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sentence.wav"
        soundfile.write(path, sound, audio.RATE, subtype="FLOAT")
        yield path


def _plot(folder: Path, sets: dict[str, list[Sentence]], said_in: dict[str, list[Said]]) -> None:
    """Draw two sentences of each set."""
    for where, sentences in sets.items():
        for k in (0, len(sentences) // 4):
            path = folder / f"{where}-{k}.png"
            plot.draw(path, sentences[k].sound, said_in[where][k], first=0.0)
