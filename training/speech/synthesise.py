"""Speaks the training and held-out sentences into out/speech/corpus/: sound and phone times."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import soxr
from tqdm import tqdm

from ...backend.formats.audio import RATE
from ...backend.formats.files import write_whole
from . import text, voices
from .voices import Phone

CORPUS = Path("out/speech/corpus")
HELD_OUT_SPEAKERS = tuple(range(7, voices.SPEAKERS, 38))
"""24 of the 904 speakers, heard in evaluation only."""


def plan(count: int, seed: int) -> list[tuple[str, int, float, str]]:
    """Return (sentence, speaker, pace, split) of the corpus, a fixed order for a seed.

    `train` has `count` generated sentences by other speakers than `test`, whose sentences are the
    held-out passages, each by one held-out speaker.
    """
    rng = np.random.default_rng(seed)
    speakers = np.setdiff1d(np.arange(voices.SPEAKERS), HELD_OUT_SPEAKERS)
    train = [
        (sentence, int(rng.choice(speakers)), float(rng.uniform(0.85, 1.3)), "train")
        for sentence in text.sentences(count, seed)
    ]
    test = [
        (sentence, speaker, 1.0, "test")
        for sentence, speaker in zip(text.HELD_OUT, HELD_OUT_SPEAKERS, strict=True)
    ]
    return test + train


def synthesise(count: int, seed: int = 0, progress: bool = True) -> list[Path]:
    """Make what is missing of the corpus; return its files, `test` first.

    Each is an .npz with `sound` int16 (n,) at 16 kHz, `phones` (IPA or ``sil``), `starts` and
    `ends` in seconds, and `about` (JSON: text, speaker, pace, split).
    """
    files, speak = [], None
    for number, (sentence, speaker, pace, split) in enumerate(
        tqdm(plan(count, seed), "speaking", disable=not progress)
    ):
        key = hashlib.sha256(f"{sentence} {speaker} {pace}".encode()).hexdigest()[:12]
        path = CORPUS / f"{split}-{number:05d}-{key}.npz"
        files.append(path)
        if path.is_file():
            continue
        if speak is None:
            speak = (voices.Phonemizer(), voices.Voice())
        sound, phones = speak[1].speak(speak[0](sentence), speaker, pace)
        about = {"text": sentence, "speaker": speaker, "pace": pace, "split": split}
        _write(path, sound, phones, about)
    return files


def _write(path: Path, sound: np.ndarray, phones: list[Phone], about: dict) -> None:
    sound = soxr.resample(sound, voices.RATE, RATE)
    sound = sound / max(1e-3, float(np.abs(sound).max())) * 0.9
    buffer = io.BytesIO()
    np.savez(
        buffer,
        sound=np.round(sound * 32767).astype(np.int16),
        phones=np.array([p.name for p in phones]),
        starts=np.array([p.start for p in phones]),
        ends=np.array([p.end for p in phones]),
        about=json.dumps(about),
    )
    write_whole(path, buffer.getvalue())


def read(path: Path) -> tuple[np.ndarray, list[Phone], dict]:
    """Return sound float32 (n,) at 16 kHz, its phones, and what is known about it."""
    with np.load(path, allow_pickle=False) as data:
        sound = data["sound"].astype(np.float32) / 32767
        phones = [
            Phone(str(n), float(s), float(e))
            for n, s, e in zip(data["phones"], data["starts"], data["ends"], strict=True)
        ]
        return sound, phones, json.loads(str(data["about"]))
