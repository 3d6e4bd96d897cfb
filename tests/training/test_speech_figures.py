"""The figures of speech tell good mouths from shut, open, late and shaky ones."""
# ruff: noqa: RUF001 (IPA letters look like Latin ones)

import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("scipy")

from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import INDEX
from furrow.backend.formats.files import ASSETS
from furrow.backend.formats.weights import Weights
from furrow.training.speech import baselines, evaluate, formant, measures, testsets
from furrow.training.speech.measures import Said
from furrow.training.speech.voices import Phone

if not (ASSETS / "head.npz").is_file():
    pytest.skip("the head is not built", allow_module_level=True)


@pytest.fixture(scope="module")
def sentence():
    """ "sil mami fiba sil" of noise: loud vowels, soft consonants."""
    rng = np.random.default_rng(0)
    syllables = [("m", 0.09), ("a", 0.16), ("m", 0.09), ("i", 0.2), ("f", 0.12), ("i", 0.2), ("b", 0.09), ("a", 0.2)]  # fmt: skip
    phones, sound, at = [], [], 0.0
    for name, seconds in (("sil", 0.3), *syllables, ("sil", 0.3)):
        loud = 0.1 if name in "aif" else 0.001
        sound.append(loud * rng.standard_normal(round(16000 * seconds)))
        phones.append(Phone(name, at, at + seconds))
        at += seconds
    heard = np.concatenate(sound).astype(np.float32)
    return testsets.Sentence.of("mami fiba", heard, phones)


@pytest.fixture
def perfect(sentence):
    """The sentence said exactly as it should be."""
    return Said(sentence.phones, sentence.touches, sentence.target, sentence.target.copy())


def _with(said, **weights):
    values = said.values.copy()
    for name, weight in weights.items():
        values[:, INDEX[name]] = weight
    return dataclasses.replace(said, values=values)


def _measured(said):
    return measures.measure([said])


def test_perfect_speech_scores_perfectly(perfect):
    found = _measured(perfect)
    shares = [name for name, unit in measures.UNITS.items() if unit == "share"]
    assert [found[name] for name in shares] == [1.0] * len(shares)
    assert found["jaw_height"] > 0.8
    assert found["sync_offset_ms"] == pytest.approx(0, abs=2)
    assert found["jitter_ratio"] == pytest.approx(1)
    assert found["lip_vertex_max_mm"] == found["weight_mae"] == 0


def test_a_shut_mouth_does_not_pass(perfect):
    found = _measured(dataclasses.replace(perfect, values=np.zeros_like(perfect.values)))
    assert found["bilabial_closed"] == 1
    assert found["vowel_open"] == found["labiodental_contact"] == found["jaw_height"] == 0


def test_an_open_mouth_does_not_pass(perfect):
    still = dataclasses.replace(perfect, values=np.zeros_like(perfect.values))
    found = _measured(_with(still, jawOpen=0.4))
    assert found["vowel_open"] == 1
    assert found["bilabial_closed"] == found["labiodental_contact"] == found["jaw_height"] == 0


def test_lips_that_nearly_meet_are_closed_but_not_tight(perfect):
    still = dataclasses.replace(perfect, values=np.zeros_like(perfect.values))
    found = _measured(_with(still, jawOpen=0.02))  # 0.7 mm
    assert found["bilabial_closed"] == 1 and found["bilabial_tight"] == 0


def test_a_mouth_that_shuts_without_reason_loses_precision(perfect):
    values = perfect.values.copy()
    vowel = perfect.phones[2]
    values[(perfect.times > vowel.start + 0.06) & (perfect.times < vowel.end - 0.05)] = 0
    assert _measured(dataclasses.replace(perfect, values=values))["bilabial_precision"] < 1


def test_a_late_mouth_is_late(perfect):
    late = dataclasses.replace(perfect, values=np.roll(perfect.values, 3, axis=0))
    assert _measured(late)["sync_offset_ms"] == pytest.approx(50, abs=5)


def test_a_shaking_mouth_shakes_and_a_slow_error_does_not(perfect):
    shaken = perfect.values.copy()
    shaken[:, INDEX["jawOpen"]] += 0.05 * (np.arange(len(shaken)) % 4 < 2)
    assert _measured(dataclasses.replace(perfect, values=shaken))["jitter_ratio"] > 2
    slow = _with(perfect, mouthSmileLeft=np.linspace(0, 0.5, len(shaken)))
    assert _measured(slow)["jitter_ratio"] == pytest.approx(1, abs=0.05)


def test_errors_on_the_lips_are_millimetres(perfect):
    """A jaw that is 0.1 too low takes the lower lip down by some 3 mm, the upper one not at all."""
    found = _measured(dataclasses.replace(perfect, values=perfect.values + 0.1 * _one("jawOpen")))
    assert 3 < found["lip_vertex_max_mm"] < 5
    assert found["lip_vertex_mean_mm"] < 0.6 * found["lip_vertex_max_mm"]


def _one(name):
    return (np.arange(52) == INDEX[name]).astype(np.float32)


def test_rhubarbs_shapes_hold_until_the_next():
    cues = [{"start": 0.0, "value": "X"}, {"start": 0.5, "value": "D"}, {"start": 1.0, "value": "A"}]  # fmt: skip
    values = baselines._posed(cues, 90)
    jaw = values[:, INDEX["jawOpen"]]
    assert jaw[:27].max() == 0 and jaw[34:56].min() == pytest.approx(0.44)
    assert measures.lip_gap(values)[65:].max() <= measures.TIGHT_MM
    assert np.abs(np.diff(jaw)).max() < 0.2  # no jump from one drawing to the next


def test_rhubarbs_poses_do_what_their_drawings_show():
    poses = {name: baselines._pose(shape)[None] for name, shape in baselines.SHAPES.items()}
    gap = {name: float(measures.lip_gap(pose)[0]) for name, pose in poses.items()}
    assert max(gap["A"], gap["X"]) <= measures.TIGHT_MM < gap["B"] < gap["C"] < gap["D"]
    bitten = {name for name, pose in poses.items() if measures.bite(pose)[0] <= measures.BITTEN_MM}
    assert bitten == {"G"}


def test_formant_phones_fill_the_sentence():
    """A word's first closure is its own; diphthongs are shared out; marks of stress are dropped."""
    word, phoneme = 1, 7
    marks = [(word, 0.2, ""), (phoneme, 0.25, "p"), (phoneme, 0.3, "ˈaɪ"), (phoneme, 0.5, ""), (phoneme, 0.7, "")]  # fmt: skip
    phones = formant._phones(marks, 1.0)
    assert [p.name for p in phones] == ["sil", "p", "a", "ɪ", "sil"]
    assert [p.start for p in phones] == pytest.approx([0.0, 0.2, 0.3, 0.4, 0.5])
    assert phones[-1].end == pytest.approx(1.0)


def test_baselines_of_other_targets_are_refused(sentence):
    with pytest.raises(FurrowError, match="--full"):
        baselines.read_figures({name: [sentence] for name in ("heldout", "synthesiser", "real")})


def test_baselines_that_were_computed_otherwise_are_refused_by_what_differs(monkeypatch):
    record = json.loads(baselines.KEPT.read_text())
    assert record["computation"] == baselines.computation()
    monkeypatch.setitem(baselines.VERSIONS, "measures", 2)
    monkeypatch.setitem(baselines.SHAPES, "A", {"jawOpen": 0.1})
    with pytest.raises(FurrowError, match=r"shapes\.A\.jawOpen was 0.05.*measures was 1 and is 2"):
        baselines.read_figures({})


class _Late:
    """A model whose frames wait for 0.1 s of sound; streamed, its lips open 0.02 too far."""

    def weights(self, path, fps, style=None, life=None):
        return Weights(np.zeros((round(0.9 * fps), 52), np.float32), fps)

    def stream(self, fps, style, life):
        self.fps, self.samples, self.given = fps, 0, 0
        return self

    def push(self, samples):
        self.samples += len(samples)
        return self._up_to(int((self.samples / 16000 - 0.1) * self.fps + 1e-6))

    def finish(self):
        return self._up_to(round(self.samples / 16000 * self.fps))

    def _up_to(self, count):
        fresh = max(0, count - self.given)
        self.given += fresh
        return Weights(np.tile(0.02 * _one("jawOpen"), (fresh, 1)), self.fps)


def test_a_streams_delay_and_difference_are_measured(sentence):
    heard = dataclasses.replace(sentence, sound=np.zeros(round(0.9 * 16000), np.float32))
    found = {f.name: f.value for f in evaluate._streaming(_Late(), heard)}
    frame = 1000 / measures.FPS
    assert 100 <= found["stream_delay_ms"] <= 100 + frame + 5
    assert found["stream_difference_max"] == pytest.approx(0.02)
    assert found["stream_difference_mean"] == pytest.approx(0.02 / len(measures.MOUTH))
