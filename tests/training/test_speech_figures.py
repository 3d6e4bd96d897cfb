"""The figures of speech tell good mouths from shut, open, late and shaky ones."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("scipy")

from furrow.backend.files import ASSETS
from furrow.training.speech import closures, evaluate, visemes
from furrow.training.speech.voices import Phone

if not (ASSETS / "head.npz").is_file():
    pytest.skip("the head is not built", allow_module_level=True)


@pytest.fixture
def perfect():
    """A sentence said exactly as it should be: "sil mama bama sil"."""
    rng = np.random.default_rng(0)
    phones, sound, at = [], [], 0.0
    for name, seconds in (("sil", 0.3), *[("m", 0.09), ("a", 0.16), ("b", 0.09), ("a", 0.2)] * 2, ("sil", 0.3)):  # fmt: skip
        loud = 0.1 if name == "a" else 0.001
        sound.append(loud * rng.standard_normal(round(16000 * seconds)))
        phones.append(Phone(name, at, at + seconds))
        at += seconds
    heard = np.concatenate(sound).astype(np.float32)
    touches = closures.find(heard, phones)
    times = np.arange(0, at, 1 / 60)
    target = visemes.targets(heard, phones, touches, times)
    return evaluate.Said(phones, touches, times, target, target.copy())


def test_perfect_speech_scores_perfectly(perfect):
    assert len(perfect.closed()) == 4 and perfect.closed().all()
    assert len(perfect.vowels()) == 4 and perfect.vowels().all()
    assert perfect.explained().all()
    assert evaluate.sync_offset([perfect]) == pytest.approx(0, abs=0.002)


def test_a_shut_mouth_does_not_pass(perfect):
    shut = dataclasses.replace(perfect, made=np.zeros_like(perfect.made))
    assert shut.closed().all() and not shut.vowels().any()


def test_an_open_mouth_does_not_pass(perfect):
    wide = dataclasses.replace(perfect, made=np.maximum(perfect.made, 0.0) + 0.0)
    wide.made[:, visemes.CHANNELS.index("jawOpen")] = 0.4
    wide.made[:, visemes.CHANNELS.index("mouthClose")] = 0.0
    assert wide.vowels().all() and not wide.closed().any()


def test_a_mouth_that_shuts_without_reason_loses_precision(perfect):
    made = perfect.made.copy()
    middle = perfect.phones[2]
    made[(perfect.times > middle.start + 0.06) & (perfect.times < middle.end - 0.05)] = 0
    assert not dataclasses.replace(perfect, made=made).explained().all()


def test_a_late_mouth_is_late(perfect):
    late = dataclasses.replace(perfect, made=np.roll(perfect.made, 3, axis=0))
    assert evaluate.sync_offset([late]) == pytest.approx(0.05, abs=0.005)
