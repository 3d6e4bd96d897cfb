"""Targets move as a mouth does; alignment finds closures; the network learns and exports."""
# ruff: noqa: RUF001 (IPA letters look like Latin ones)

import numpy as np
import pytest

pytest.importorskip("scipy")
onnxruntime = pytest.importorskip("onnxruntime")

from furrow.training.speech import closures, text, visemes  # noqa: E402
from furrow.training.speech.voices import Phone  # noqa: E402

RATE = 16000


def _say(*parts):
    """Sound and phones: a vowel is a buzz, m, b, p are nearly silent, sil is silent."""
    rng = np.random.default_rng(0)
    sound, phones, at = [], [], 0.0
    for name, seconds in parts:
        loud = {"sil": 0.0, "m": 0.003, "b": 0.001, "p": 0.001}.get(name, 0.1)
        sound.append(loud * rng.standard_normal(round(seconds * RATE)))
        phones.append(Phone(name, at, at + seconds))
        at += seconds
    return np.concatenate(sound).astype(np.float32), phones


def _weights(*parts):
    sound, phones = _say(*parts)
    found = closures.find(sound, phones)
    times = np.arange(0, len(sound) / RATE, 0.01)
    return times, visemes.targets(sound, phones, found, times), found


def _channel(weights, name):
    return weights[:, visemes.CHANNELS.index(name)]


def test_closure_is_found_beside_its_label():
    """Aligners put the label of a stop late; the sound tells where the lips really met."""
    sound, phones = _say(("ɑ", 0.2), ("b", 0.08), ("ɑ", 0.2))
    late = [phones[0]._replace(end=0.25), Phone("b", 0.25, 0.30), phones[2]._replace(start=0.30)]
    (found,) = closures.find(sound, late)
    assert found.bilabial
    assert found.start == pytest.approx(0.2, abs=0.011)
    assert found.end == pytest.approx(0.28, abs=0.011)


def test_lips_meet_on_closures_only():
    times, weights, found = _weights(
        ("sil", 0.3), ("ɑ", 0.25), ("m", 0.09), ("ɑ", 0.25), ("sil", 0.4)
    )
    jaw, close = _channel(weights, "jawOpen"), _channel(weights, "mouthClose")
    (closure,) = found
    during = (times >= closure.start) & (times <= closure.end)
    assert np.abs(jaw - close)[during].max() < 1e-3 and jaw[during].max() < 0.11
    vowel = (times > 0.38) & (times < 0.46)
    assert jaw[vowel].min() > 0.25 and close[vowel].max() < 0.01
    assert (close <= jaw + 1e-6).all()
    assert weights[[0, -1]].max() < 0.08  # at rest before and after


def test_rounding_starts_before_its_vowel():
    """Lips round during the consonants ahead of u: the n of "noon" is not that of "neat"."""
    parts = [("sil", 0.3), ("n", 0.1), ("u", 0.2), ("n", 0.1), ("sil", 0.3)]
    times, rounded, _ = _weights(*parts)
    _, spread, _ = _weights(*[("i" if n == "u" else n, s) for n, s in parts])
    before = (times > 0.33) & (times < 0.39)
    assert _channel(rounded, "mouthPucker")[before].mean() > 0.1
    assert _channel(spread, "mouthPucker")[before].mean() < 0.02


def test_lip_reaches_the_teeth_on_f():
    times, weights, _ = _weights(("ɑ", 0.3), ("f", 0.12), ("ɑ", 0.3))
    during = (times > 0.32) & (times < 0.40)
    assert _channel(weights, "mouthRollLower")[during].min() > 0.35
    assert _channel(weights, "jawOpen")[during].max() < 0.1
    assert _channel(weights, "mouthClose")[during].max() < 0.01  # teeth, not the other lip


def test_movement_is_smooth():
    _, weights, _ = _weights(*[(n, 0.08) for n in "pɑtibumɛsoʃəmɪ"])
    assert np.abs(np.diff(weights, axis=0)).max() < 0.15  # of full strength in 10 ms


def test_sentences_are_seeded_and_held_out_ones_apart():
    pytest.importorskip("pocketsphinx")
    assert text.sentences(50, 1) == text.sentences(50, 1) != text.sentences(50, 2)
    assert text.sentences(80, 1)[:50] == text.sentences(50, 1)
    assert not set(text.HELD_OUT) & set(text.sentences(2000, 0))
    assert all("{" not in s for s in text.sentences(500, 3))


def test_network_learns_and_exports(tmp_path):
    torch = pytest.importorskip("torch")
    from furrow.training.speech import dataset, train
    from furrow.training.speech.network import SpeechNetwork

    rng = np.random.default_rng(0)
    scenes = []
    for _ in range(8):
        encoded = rng.standard_normal((130, 288)).astype(np.float16)
        target = np.repeat(encoded[:, :15] > 0.5, 2, axis=0).astype(np.float16) * 0.3
        touching = (target[:, :2] > 0).astype(np.float16)
        phone = target[:, :1] > 0
        mel = np.zeros((130, 80), np.float16)
        scenes.append(dataset.Scene(encoded, mel, target, touching, phone))
    torch.manual_seed(0)
    network = SpeechNetwork(15, 2, width=64)
    curve = train.fit(network, scenes, scenes[:2], epochs=12, batch=4, seed=0)
    assert curve[-1] < 0.9 * curve[0]
    train.export(network, tmp_path, {"channels": list(visemes.CHANNELS)})
    session = onnxruntime.InferenceSession(str(tmp_path / "speech.onnx"))
    encoded, mel = torch.randn(1, 77, 288), torch.randn(1, 77, 80)
    (rows,) = session.run(None, {"encoded": encoded.numpy(), "mel": mel.numpy()})
    with torch.no_grad():
        expected = network(encoded, mel).numpy()
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    assert rows.min() >= 0 and rows.max() <= 1
