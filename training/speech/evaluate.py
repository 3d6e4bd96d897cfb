"""Measures the shipped speech network on speakers and sentences that training never heard."""

# ruff: noqa: RUF001 (IPA letters look like Latin ones)
from __future__ import annotations

import argparse
import functools
import hashlib
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ...backend import audio, lips, moonshine, speech
from ...backend.expressions import INDEX
from ...backend.figures import Figure
from ...backend.files import write_whole
from ...backend.head import Head
from ...backend.performance import STILL
from . import closures, dataset, plot, real, synthesise, visemes
from .network import MEL
from .voices import Phone

FPS = 60.0
CLOSED, OPENED = 0.3, 4.0
"""Lips count as closed, and as open, at this :func:`lip_gap` in mm; vowels part them 5 to 15 mm."""
BASELINES = Path(__file__).with_name("baselines.json")

_EDGE = 0.010  # seconds beside a closure that still count as it
_OPEN_VOWELS = frozenset("aæɑɔʌ")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `furrow evaluate speech`."""
    parser.add_argument("--full", action="store_true", help="learn the baselines anew, too")
    parser.add_argument("--sentences", type=int, default=1800, help="the corpus of --full")
    parser.add_argument("--scenes", type=int, default=2000, help="the training scenes of --full")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", type=Path, metavar="WAV", default=Path("out/two_cities.wav"),
                        help="Moonshine's recording; fetched if it is not there")  # fmt: skip
    parser.add_argument("--plot", type=Path, metavar="FOLDER",
                        help="also write pictures of weights against phones")  # fmt: skip


def run(args: argparse.Namespace) -> list[Figure]:
    """Return the figures of the design for speech, and what guards them against a shut mouth."""
    model = speech.SpeechModel.load()
    files = [f for f in synthesise.synthesise(0, args.seed) if f.name.startswith("test")]
    utterances = [dataset.load_utterance(f) for f in files]
    said = [Said.by(model, u.sound, u.phones, u.closures) for u in utterances]
    if args.full:
        _learn_baselines(args, files)
    baselines = json.loads(BASELINES.read_text(encoding="utf-8"))
    if not args.real.is_file():
        moonshine.main(["--speech", str(args.real)])
    sound, phones = real.align(args.real, real.TWO_CITIES)
    started = time.perf_counter()
    recording = Said.by(model, sound, phones, closures.find(sound, phones))
    rtf = (time.perf_counter() - started) / (len(sound) / audio.RATE)
    if args.plot:
        plot.draw(args.plot / "real.png", sound, recording, lip_gap(recording.made), first=26.0)
        for k in (0, 6):
            gap = lip_gap(said[k].made)
            plot.draw(args.plot / f"heldout-{k}.png", utterances[k].sound, said[k], gap)
    return [
        Figure("bilabial_closed_heldout", _mean([s.closed() for s in said]), "share"),
        Figure("bilabial_closed_real", _mean([recording.closed()]), "share"),
        Figure("bilabial_precision_heldout", _mean([s.explained() for s in said]), "share"),
        Figure("bilabial_precision_real", _mean([recording.explained()]), "share"),
        Figure("vowel_open_heldout", _mean([s.vowels() for s in said]), "share"),
        Figure("vowel_open_real", _mean([recording.vowels()]), "share"),
        Figure("sync_offset_ms", sync_offset(said) * 1000, "ms"),
        Figure("sync_offset_real_ms", sync_offset([recording]) * 1000, "ms"),
        Figure("weight_mae", _mean([np.abs(s.made - s.target).mean(1) for s in said]), "weight"),
        Figure("weight_mae_best_baseline", min(baselines["weight_mae"].values()), "weight"),
        Figure("jitter_ratio", _jitter(said), "ratio"),
        Figure("silence_movement", _silence(model), "weight"),
        Figure("rtf", rtf, "s/s"),
    ]


@dataclass(frozen=True)
class Said:
    """One sentence as it should look and as the model makes it look, at 60 frames per second.

    Attributes
    ----------
    times
        Seconds (N,).
    target, made
        Weights (N, channels) in the order of ``visemes.CHANNELS``.
    """

    phones: Sequence[Phone]
    touches: Sequence[lips.Closure]
    times: np.ndarray
    target: np.ndarray
    made: np.ndarray

    @classmethod
    def by(
        cls,
        model: speech.SpeechModel,
        sound: np.ndarray,
        phones: Sequence[Phone],
        touches: Sequence[lips.Closure],
    ) -> Said:
        """Let the model say a sound float32 (n,) at 16 kHz, through a file as anybody would."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sentence.wav"
            soundfile.write(path, sound, audio.RATE, subtype="FLOAT")
            values = model.weights(path, FPS, life=STILL).values
        times = np.arange(len(values)) / FPS
        target = visemes.targets(sound, phones, touches, times)
        made = values[:, [_column(name) for name in visemes.CHANNELS]]
        return cls(phones, touches, times, target, made)

    def closed(self) -> np.ndarray:
        """Return for each m, b, p whether the lips meet during it, bool (closures,)."""
        gap = lip_gap(self.made)
        met = []
        for touch in self.touches:
            if touch.bilabial:
                inside = (self.times >= touch.start - _EDGE) & (self.times <= touch.end + _EDGE)
                met.append(bool(inside.any() and gap[inside].min() <= CLOSED))
        return np.array(met, bool)

    def explained(self) -> np.ndarray:
        """Return for each time that the lips meet whether they should within 30 ms, bool (meetings,)."""
        met = np.pad(lip_gap(self.made) <= CLOSED, 1)
        wanted = lip_gap(self.target) <= CLOSED
        right = []
        for first, last in np.flatnonzero(np.diff(met)).reshape(-1, 2):
            low, high = self.times[first] - 0.03, self.times[last - 1] + 0.03
            right.append(bool(wanted[(self.times >= low) & (self.times <= high)].any()))
        return np.array(right, bool)

    def vowels(self) -> np.ndarray:
        """Return for each long open vowel whether the mouth opens, bool (vowels,)."""
        gap = lip_gap(self.made)
        opened = []
        for phone in self.phones:
            if phone.name in _OPEN_VOWELS and phone.end - phone.start > 0.07:
                inside = (self.times >= phone.start) & (self.times <= phone.end)
                opened.append(bool(inside.any() and gap[inside].max() >= OPENED))
        return np.array(opened, bool)


@functools.cache
def _gap_of_weights() -> np.ndarray:
    """Return how many mm each channel parts the lips of the average head, (channels,)."""
    head = Head.load()
    upper, lower = (head.landmarks[f"{lip}_lip_centre"] for lip in ("upper", "lower"))
    offsets = head.blendshapes(head.average().shape)
    parted = 1000 * (offsets[:, upper, 2] - offsets[:, lower, 2])
    sides = [[n for n in (c, f"{c}Left", f"{c}Right") if n in INDEX] for c in visemes.CHANNELS]
    return np.array([sum(float(parted[INDEX[name]]) for name in names) for names in sides])


def lip_gap(weights: np.ndarray) -> np.ndarray:
    """Return how far the middle of the lips is parted, mm (N,), from weights (N, channels).

    Measured on the average head against its neutral, where the lips rest on each other; below 0
    they press.
    """
    return np.asarray(weights @ _gap_of_weights())


def sync_offset(said: Sequence[Said]) -> float:
    """Return by how many seconds the mouth comes late: the lag of the best correlation of openings."""
    lags = np.arange(-0.15, 0.1501, 0.002)
    scores = np.zeros(len(lags))
    for s in said:
        made, target = lip_gap(s.made), lip_gap(s.target)
        for k, lag in enumerate(lags):
            moved = np.interp(s.times + lag, s.times, made)
            scores[k] += ((moved - moved.mean()) * (target - target.mean())).sum()
    return round(float(lags[np.argmax(scores)]), 3)


def _column(name: str) -> int:
    return INDEX[name] if name in INDEX else INDEX[name + "Left"]


def _mean(parts: Sequence[np.ndarray]) -> float:
    return float(np.concatenate(parts).mean())


def _jitter(said: Sequence[Said]) -> float:
    """Return the mean size of the second differences against that of the targets; 1 is as smooth."""
    made, target = (
        np.concatenate([np.abs(np.diff(getattr(s, name), 2, axis=0)).ravel() for s in said]).mean()
        for name in ("made", "target")
    )
    return float(made / target)


def _silence(model: speech.SpeechModel) -> float:
    """Return the largest weight that silence, faint hiss and music move, mean of the three."""
    rng = np.random.default_rng(0)
    largest = []
    for sound in (
        np.zeros(5 * audio.RATE),
        1e-3 * dataset.noise(5 * audio.RATE, rng),
        0.1 * dataset.music(5 * audio.RATE, rng),
    ):
        said = Said.by(model, sound.astype(np.float32), [Phone("sil", 0.0, 5.0)], [])
        largest.append(said.made.max())
    return float(np.mean(largest))


def _learn_baselines(args: argparse.Namespace, test: Sequence[Path]) -> None:
    """Fit the mean and a ridge regression from log-mel on the training scenes; write their errors."""
    files = synthesise.synthesise(args.sentences, args.seed)
    train = [f for f in files if f.name.startswith("train")]
    scenes = dataset.scenes(train, args.scenes, args.seed)
    mean = np.concatenate([s.target for s in scenes]).astype(np.float64).mean(0)
    inputs = 13 * MEL + 1
    gram = np.zeros((inputs, inputs))
    right = np.zeros((inputs, 2 * len(visemes.CHANNELS)))
    for scene in scenes:
        x = _context(scene.mel.astype(np.float64))
        y = scene.target.reshape(len(x), -1).astype(np.float64)
        gram += x.T @ x
        right += x.T @ y
    ridge = np.linalg.solve(gram + 10.0 * np.eye(len(gram)), right)
    errors: dict[str, list[np.ndarray]] = {"mean": [], "log_mel_ridge": []}
    for path in test:
        utterance = dataset.load_utterance(path)
        sound = utterance.sound
        frames = speech.window_frames(len(sound))
        window = sound[: speech.window_samples(frames)]
        squares = np.add.reduceat(
            window.astype(np.float64) ** 2, np.arange(0, len(window), speech.STRIDE)
        )
        window = window * np.float32(speech.gain_of(squares / speech.STRIDE))
        times = dataset.row_times(frames)
        target = visemes.targets(sound, utterance.phones, utterance.closures, times)
        made = (_context(speech.log_mel(window).astype(np.float64)) @ ridge).reshape(len(times), -1)
        errors["log_mel_ridge"].append(np.abs(np.clip(made, 0, 1) - target).mean(1))
        errors["mean"].append(np.abs(mean - target).mean(1))
    digest = hashlib.sha256(Path(__file__).read_bytes() + Path(dataset.__file__).read_bytes())
    result = {
        "weight_mae": {name: round(_mean(parts), 5) for name, parts in errors.items()},
        "command": f"furrow evaluate speech --full --sentences {args.sentences} "
        f"--scenes {args.scenes} --seed {args.seed}",
        "code_sha256": digest.hexdigest(),
    }
    write_whole(BASELINES, json.dumps(result, indent=1).encode() + b"\n")


def _context(mel: np.ndarray) -> np.ndarray:
    """Return log-mel (F, 80) with 6 frames (144 ms) on both sides and a constant."""
    padded = np.pad(mel, ((6, 6), (0, 0)), mode="edge")
    views = [padded[k : k + len(mel)] for k in range(13)]
    return np.concatenate([*views, np.ones((len(mel), 1))], axis=1)
