"""Training scenes: synthetic speech with pauses, rooms, noise and music, as features and targets.

A scene is up to 8 s of sound as a recording could hold it. Its targets come from the clean speech
alone, so silence, noise and music teach the mouth to stay calm. What a scene asks of an ordinary
mouth is kept; habits and mood are drawn anew each time it is learned from.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from tqdm import tqdm

from ...backend.formats.audio import RATE
from ...backend.formats.files import write_whole
from ...backend.speech import features, lips, moonshine
from ...backend.speech.encoder import SpeechEncoder
from . import closures, recording, synthesise, visemes
from .streamed import encode_streamed
from .voices import SILENCE, Phone

CACHE = Path("out/speech/scenes")
VERSION = 1
"""Of what scenes hold: raise it by hand when this module, or the closures, targets, recordings and
features that it takes, compute something else; scenes that are kept are then made anew."""
SHARD = 100
"""Scenes in a file; each file has a random stream of its own, so that processes can share the work."""
STREAMED = 0.4
"""Share of the scenes that are also heard as a stream hears them."""
SPEECHLESS = 0.06
"""Share of the scenes without speech."""


@dataclass(frozen=True)
class Utterance:
    """One spoken sentence: sound float32 (n,) at 16 kHz, tidied phones, touches, and its origin."""

    sound: np.ndarray
    phones: list[Phone]
    closures: list[lips.Closure]
    about: dict


@dataclass(frozen=True)
class Scene:
    """One scene as the network sees it, F frames of 24 ms.

    Attributes
    ----------
    encoded, mel
        float16 (F, width of the encoder) and (F, 80).
    ordinary
        float16 (2 F, channels), what phones ask of an ordinary mouth every 12 ms.
    effort
        float16 (2 F, 1), how loud speech is against its loudest.
    contact
        float16 (2 F, 2), how far lips have met: lips to lips, lip to teeth.
    phone
        float16 (2 F, 1): which of ``visemes.PHONES`` is said; UNKNOWN where nobody knows.
    measured
        float16 (2 F, 52): the weights of a filmed face, which take the place of the rules; None
        where there was no face.
    """

    encoded: np.ndarray
    mel: np.ndarray
    ordinary: np.ndarray
    effort: np.ndarray
    contact: np.ndarray
    phone: np.ndarray
    measured: np.ndarray | None = None


UNKNOWN = -100
"""A phone that no loss counts."""


def load_utterance(path: Path) -> Utterance:
    """Read one sentence of the corpus and find its closures."""
    sound, phones, about = synthesise.read(path)
    phones = closures.tidy(phones)
    return Utterance(sound, phones, closures.find(sound, phones), about)


def row_times(frames: int) -> np.ndarray:
    """Return the times (2 F,) in seconds of the network's rows, from the start of a window."""
    rows = np.arange(features.SUBFRAMES * frames) - 0.5
    return np.asarray(rows * features.STEP + features.CENTRE / RATE)


def compose(
    utterances: Sequence[Utterance], seconds: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[Phone], list[lips.Closure]]:
    """Place utterances one after another with pauses; return clean sound, phones, closures."""
    frames = round(seconds * RATE / features.STRIDE)
    sound = np.zeros(features.window_samples(frames), np.float32)
    end = len(sound) / RATE
    phones: list[Phone] = []
    touches: list[lips.Closure] = []
    at = float(rng.uniform(-0.8, 0.6))  # often a scene begins in the middle of a sentence
    for utterance in utterances:
        first = round(at * RATE)
        low, high = max(0, first), min(len(sound), first + len(utterance.sound))
        if low < high:
            level = 10 ** rng.uniform(-0.2, 0.0)
            sound[low:high] += level * utterance.sound[low - first : high - first]
        shift = first / RATE
        if phones:
            phones.append(Phone(SILENCE, phones[-1].end, utterance.phones[0].start + shift))
        phones += [Phone(p.name, p.start + shift, p.end + shift) for p in utterance.phones]
        touches += [
            lips.Closure(c.start + shift, c.end + shift, c.bilabial) for c in utterance.closures
        ]
        at = shift + len(utterance.sound) / RATE + float(rng.exponential(0.35))
        if at > end:
            break
    if phones:
        phones = [
            Phone(SILENCE, min(0.0, phones[0].start) - 1.0, phones[0].start),
            *phones,
            Phone(SILENCE, phones[-1].end, max(end, phones[-1].end) + 1.0),
        ]
    return sound, phones, touches


def at_speed(utterance: Utterance, factor: float) -> Utterance:
    """Return the sentence played faster by a factor: a higher voice from a smaller head."""
    sound = soxr.resample(utterance.sound, factor * RATE, RATE)
    phones = [Phone(p.name, p.start / factor, p.end / factor) for p in utterance.phones]
    touches = [
        lips.Closure(c.start / factor, c.end / factor, c.bilabial) for c in utterance.closures
    ]
    return Utterance(sound, phones, touches, utterance.about)


def scenes(
    files: Sequence[Path], count: int, seed: int, processes: int = 1, encoder: Path | None = None
) -> list[Scene]:
    """Return at least `count` training scenes from files of the corpus; cached by what made them.

    Some come twice, as a file and as a stream is heard. `encoder` is that of the network, by
    default Moonshine's.
    """
    encoder = encoder or moonshine.encoder_path()
    digest = hashlib.sha256(f"{VERSION} {seed} {SHARD} {STREAMED} {SPEECHLESS}".encode())
    digest.update(encoder.read_bytes())
    for path in files:
        digest.update(path.name.encode())
    folder = CACHE / digest.hexdigest()[:16]
    numbers = range(-(-count // SHARD))
    paths = [folder / f"{n:04d}.npz" for n in numbers]
    missing = [n for n in numbers if not paths[n].is_file()]
    if missing:
        context = multiprocessing.get_context("spawn")  # threads survive no fork
        with ProcessPoolExecutor(processes, context) as pool:
            jobs = [pool.submit(_make_shard, paths[n], files, n, seed, encoder) for n in missing]
            for job in tqdm(jobs, f"shards of {SHARD} scenes"):
                job.result()
    return [scene for path in paths for scene in _read(path)]


def _make_shard(path: Path, files: Sequence[Path], number: int, seed: int, encoder: Path) -> None:
    rng = np.random.default_rng([seed, number])
    hears = SpeechEncoder.load(encoder, threads=1)
    shard: list[Scene] = []
    # Shards go through the corpus side by side, so that the first few already hear many voices.
    order = np.random.default_rng(seed).permutation(len(files))
    at = 2 * SHARD * number
    for _ in range(SHARD):
        seconds = float(rng.uniform(3.0, 8.0))
        utterances = []
        if rng.random() >= SPEECHLESS:
            for k in order[np.arange(at, at + 4) % len(files)]:
                utterance = load_utterance(files[k])
                faster = 2 ** rng.uniform(-0.3, 0.3) if rng.random() < 0.7 else 1.0
                utterances.append(at_speed(utterance, faster))
            at += 2
        clean, phones, touches = compose(utterances, seconds, rng)
        babble = load_utterance(files[rng.integers(len(files))]).sound
        shard += _heard(clean, phones, touches, babble, hears, rng)
    _write(path, shard)


def _heard(
    clean: np.ndarray,
    phones: list[Phone],
    touches: list[lips.Closure],
    babble: np.ndarray,
    encoder: SpeechEncoder,
    rng: np.random.Generator,
) -> list[Scene]:
    """Return the scene as the network hears it, and for some also as a stream hears it."""
    times = row_times(features.window_frames(len(clean)))
    if phones:
        sound = recording.recorded(clean, babble, rng)
    else:
        kind = recording.music if rng.random() < 0.4 else recording.noise
        sound = (10 ** rng.uniform(-4, -0.5) * kind(len(clean), rng)).astype(np.float32)
    gain = features.gain_of(features.powers(sound)) * 10 ** rng.uniform(-0.3, 0.2)
    window = np.clip(sound * np.float32(gain), -1, 1).astype(np.float32)
    ordinary, effort = visemes.poses(clean, phones, times)
    labels = (
        features.log_mel(window),
        ordinary,
        effort[:, None],
        visemes.contacts(touches, times),
        visemes.labels(phones, times)[:, None],
    )
    encodings = [encoder(window[None])[0]]
    if rng.random() < STREAMED:
        encodings.append(encode_streamed(encoder, window))
    return [Scene(*(a.astype(np.float16) for a in (encoded, *labels))) for encoded in encodings]


_FIELDS = ("encoded", "mel", "ordinary", "effort", "contact", "phone")


def _write(path: Path, shard: Sequence[Scene]) -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        frames=np.array([len(scene.encoded) for scene in shard]),
        **{name: np.concatenate([getattr(scene, name) for scene in shard]) for name in _FIELDS},
    )
    write_whole(path, buffer.getvalue())


def _read(path: Path) -> list[Scene]:
    with np.load(path, allow_pickle=False) as data:
        ends = np.cumsum(data["frames"])[:-1]
        parts = [
            np.split(data[name], ends if name in ("encoded", "mel") else 2 * ends)
            for name in _FIELDS
        ]
    return [Scene(*fields) for fields in zip(*parts, strict=True)]
