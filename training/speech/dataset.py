"""Training scenes: synthetic speech with pauses, rooms, noise and music, as features and targets.

A scene is up to 8 s of sound as a recording could hold it. Its targets come from the clean speech
alone, so silence, noise and music teach the mouth to stay calm.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import soxr
from scipy.signal import butter, fftconvolve, sosfilt
from tqdm import tqdm

from ...backend import lips, moonshine, speech
from ...backend.audio import RATE
from ...backend.files import write_whole
from . import closures, synthesise, visemes
from .voices import SILENCE, Phone

CACHE = Path("out/speech")


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
        float16 (F, 288) and (F, 80).
    target
        float16 (2 F, channels), weights every 12 ms.
    touching
        float16 (2 F, 2): lips to lips, lip to teeth.
    phone
        float16 (2 F, 1): which of ``visemes.PHONES`` is said.
    """

    encoded: np.ndarray
    mel: np.ndarray
    target: np.ndarray
    touching: np.ndarray
    phone: np.ndarray


def load_utterance(path: Path) -> Utterance:
    """Read one sentence of the corpus and find its closures."""
    sound, phones, about = synthesise.read(path)
    phones = closures.tidy(phones)
    return Utterance(sound, phones, closures.find(sound, phones), about)


def row_times(frames: int) -> np.ndarray:
    """Return the times (2 F,) in seconds of the network's rows, from the start of a window."""
    rows = np.arange(speech.SUBFRAMES * frames) - 0.5
    return np.asarray(rows * speech.STEP + speech.CENTRE / RATE)


def compose(
    utterances: Sequence[Utterance], seconds: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[Phone], list[lips.Closure]]:
    """Place utterances one after another with pauses; return clean sound, phones, closures."""
    frames = round(seconds * RATE / speech.STRIDE)
    sound = np.zeros(speech.window_samples(frames), np.float32)
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


def recorded(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the scene as a microphone could have taken it: room, noise, bandwidth, level."""
    sound = clean
    if rng.random() < 0.35:
        length = rng.uniform(0.1, 0.5)
        t = np.arange(round(length * RATE)) / RATE
        tail = rng.standard_normal(len(t)) * np.exp(-6.9 * t / length)
        tail *= rng.uniform(0.1, 0.6) / np.sqrt((tail**2).sum())
        tail[0] = 1.0
        sound = fftconvolve(sound, tail)[: len(sound)]
    loud = np.sqrt((sound**2).mean()) + 1e-4
    if rng.random() < 0.55:
        ratio = 10 ** (-rng.uniform(3, 35) / 20)
        kind = music if rng.random() < 0.3 else noise
        sound = sound + ratio * loud * kind(len(sound), rng)
    if rng.random() < 0.15:
        edges = (rng.uniform(60, 300), rng.uniform(3200, 6500))
        sound = sosfilt(butter(2, edges, "bandpass", fs=RATE, output="sos"), sound)
    sound = sound + 10 ** rng.uniform(-4.5, -3.0) * loud * rng.standard_normal(len(sound)) * 3
    return np.asarray(sound, np.float32)


def noise(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return coloured noise (count,) of unit power: hiss to rumble, steady or in gusts."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / RATE) + 30
    spectrum *= hertz ** -rng.uniform(0, 1.1)
    if rng.random() < 0.3:
        spectrum[np.abs(hertz - 30 - rng.choice([50, 100, 120])) < 0.5] *= 30
    made = np.fft.irfft(spectrum, count)
    if rng.random() < 0.4:
        knots = rng.uniform(0.1, 1.0, max(2, count // 6000)) ** 2
        made *= np.interp(np.linspace(0, len(knots) - 1, count), np.arange(len(knots)), knots)
    return np.asarray(made / np.sqrt((made**2).mean()))


def music(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return notes with overtones and a beat, (count,), of unit power."""
    made = np.zeros(count)
    beat = round(RATE * rng.uniform(0.12, 0.5))
    scale = 110 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 19, 24]) / 12)
    for start in range(0, count, beat):
        length = min(count - start, round(beat * rng.uniform(0.8, 3)))
        t = np.arange(length) / RATE
        if rng.random() < 0.4:
            made[start : start + length] += rng.standard_normal(length) * np.exp(-t * 30)
        for pitch in rng.choice(scale, rng.integers(0, 4)):
            decay = np.exp(-t * rng.uniform(1, 8))
            for k in range(1, 6):
                made[start : start + length] += np.sin(2 * np.pi * pitch * k * t) * decay / k
    return made / np.sqrt((made**2).mean() + 1e-9)


def scenes(files: Sequence[Path], count: int, seed: int) -> list[Scene]:
    """Return `count` training scenes from files of the corpus; cached by what made them."""
    digest = hashlib.sha256(f"{count} {seed}".encode())
    for source in (__file__, closures.__file__, visemes.__file__, lips.__file__):
        digest.update(Path(source).read_bytes())
    for path in files:
        digest.update(path.name.encode())
    path = CACHE / f"scenes-{digest.hexdigest()[:16]}.npz"
    if path.is_file():
        return _read(path)
    rng = np.random.default_rng(seed)
    utterances = [load_utterance(f) for f in tqdm(files, "closures")]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    encoder = onnxruntime.InferenceSession(
        str(moonshine.encoder_path()), options, providers=["CPUExecutionProvider"]
    )
    order = np.concatenate(
        [rng.permutation(len(utterances)) for _ in range(4 * count // len(files) + 4)]
    )
    at = 0
    made = []
    for _ in tqdm(range(count), "scenes"):
        seconds = float(rng.uniform(3.0, 8.0))
        if rng.random() < 0.05:
            chosen = []
        else:
            speeds = 2 ** rng.uniform(-0.25, 0.25, 6) * (rng.random(6) < 0.7)
            picked = (utterances[i] for i in order[at : at + 6])
            chosen = [at_speed(u, f) if f else u for u, f in zip(picked, speeds, strict=True)]
            at += 2
        clean, phones, touches = compose(chosen, seconds, rng)
        made.append(_scene(clean, phones, touches, encoder, rng))
    _write(path, made)
    return made


def _scene(
    clean: np.ndarray,
    phones: list[Phone],
    touches: list[lips.Closure],
    encoder: onnxruntime.InferenceSession,
    rng: np.random.Generator,
) -> Scene:
    times = row_times(speech.window_frames(len(clean)))
    if phones:
        sound = recorded(clean, rng)
        target = visemes.targets(clean, phones, touches, times)
    else:
        kind = music if rng.random() < 0.4 else noise
        sound = (10 ** rng.uniform(-4, -0.5) * kind(len(clean), rng)).astype(np.float32)
        target = np.zeros((len(times), len(visemes.CHANNELS)), np.float32)
    powers = np.add.reduceat(sound.astype(np.float64) ** 2, np.arange(0, len(sound), speech.STRIDE))
    gain = speech.gain_of(powers / speech.STRIDE) * 10 ** rng.uniform(-0.3, 0.2)
    window = np.clip(sound * np.float32(gain), -1, 1).astype(np.float32)
    inputs = {"input_values": window[None], "attention_mask": np.ones((1, len(window)), np.int64)}
    encoded = encoder.run(None, inputs)[0][0]
    return Scene(
        encoded.astype(np.float16),
        speech.log_mel(window).astype(np.float16),
        target.astype(np.float16),
        touch_labels(times, touches).astype(np.float16),
        visemes.labels(phones, times)[:, None].astype(np.float16),
    )


def touch_labels(times: np.ndarray, touches: Sequence[lips.Closure]) -> np.ndarray:
    """Return 1 while lips touch, (T, 2): lips to lips, lip to teeth."""
    labels = np.zeros((len(times), 2), np.float32)
    for touch in touches:
        inside = (times >= touch.start - 0.003) & (times <= touch.end + 0.003)
        labels[inside, 0 if touch.bilabial else 1] = 1
    return labels


_FIELDS = ("encoded", "mel", "target", "touching", "phone")


def _write(path: Path, made: Sequence[Scene]) -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        frames=np.array([len(scene.encoded) for scene in made]),
        **{name: np.concatenate([getattr(scene, name) for scene in made]) for name in _FIELDS},
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
