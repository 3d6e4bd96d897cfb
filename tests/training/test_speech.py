"""Targets move as a mouth does; alignment finds closures; the network learns and exports."""
# ruff: noqa: RUF001 (IPA letters look like Latin ones)

import numpy as np
import pytest

pytest.importorskip("scipy")
onnxruntime = pytest.importorskip("onnxruntime")

from furrow.backend.errors import FurrowError  # noqa: E402
from furrow.backend.formats.expressions import INDEX  # noqa: E402
from furrow.backend.liveliness.performance import EMOTIONS, STYLE_SIZE, Style  # noqa: E402
from furrow.backend.speech import moonshine  # noqa: E402
from furrow.training.speech import closures, recording, text, visemes  # noqa: E402
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
    return weights[:, INDEX[name if name in INDEX else name + "Left"]]


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


def test_styles_change_the_mouth_and_leave_closures():
    sound, phones = _say(("sil", 0.3), ("ɑ", 0.25), ("m", 0.09), ("u", 0.25), ("sil", 0.4))
    found = closures.find(sound, phones)
    times = np.arange(0, len(sound) / RATE, 0.01)

    def said(**style):
        return visemes.targets(sound, phones, found, times, Style(**style))

    def jaw(weights):
        return _channel(weights, "jawOpen").max()

    plain = said()
    assert jaw(said(articulation=0.5)) < 0.6 * jaw(plain) < 0.6 * jaw(said(articulation=1.4))
    happy, happier = said(emotion="happy"), said(emotion="happy", intensity=1.5)
    at = np.abs(times - 0.42).argmin()
    assert plain[at, INDEX["mouthSmileLeft"]] < 0.05 < happy[at, INDEX["mouthSmileLeft"]]
    assert happy[at, INDEX["cheekSquintLeft"]] < happier[at, INDEX["cheekSquintLeft"]]
    leaning = said(speaker=(0, 0, 0, 0, 0, 0, 1, 0))
    assert (
        leaning[at, INDEX["mouthLowerDownLeft"]] > 1.5 * leaning[at, INDEX["mouthLowerDownRight"]]
    )
    (closure,) = found
    during = (times >= closure.start) & (times <= closure.end)
    for emotion in EMOTIONS:
        weights = said(emotion=emotion, intensity=1.5, articulation=1.5)
        assert weights.min() >= 0 and weights.max() <= 1
        gap = _channel(weights, "jawOpen") - _channel(weights, "mouthClose")
        assert np.abs(gap[during]).max() < 1e-3, emotion
        assert weights[during][:, INDEX["mouthUpperUpLeft"]].max() < 1e-3, emotion


def test_recordings_stay_in_time():
    """Rooms, noise, microphones and codecs: the loud syllable stays where the target has it."""
    clean = np.zeros(3 * RATE, np.float32)
    clean[RATE : RATE + 3200] = _say(("ɑ", 0.2))[0]
    for seed in range(12):
        rng = np.random.default_rng(seed)
        heard = recording.recorded(clean, clean[::-1].copy(), rng)
        assert heard.shape == clean.shape and np.isfinite(heard).all()
        power = np.convolve(heard.astype(np.float64) ** 2, np.ones(800), "same")
        assert 0.95 * RATE < power.argmax() < 1.35 * RATE


def _scenes(count):
    """Scenes in which the features say directly what the mouth does."""
    from furrow.training.speech import dataset

    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        encoded = np.repeat(rng.standard_normal((26, 288)), 5, axis=0)
        ordinary = np.repeat(encoded[:, :15] > 0.5, 2, axis=0) * 0.3
        arrays = (
            encoded,
            np.zeros((130, 80)),
            ordinary,
            np.ones((260, 1)),
            np.zeros((260, 2)),
            ordinary[:, :1] > 0,
        )
        made.append(dataset.Scene(*(a.astype(np.float16) for a in arrays)))
    return made


@pytest.fixture
def network():
    torch = pytest.importorskip("torch")
    from furrow.training.speech.network import Config, SpeechNetwork

    torch.manual_seed(0)
    return SpeechNetwork(Config(width=64, span=12, near=3), len(visemes.PHONES))


def test_a_training_cut_off_at_an_odd_step_goes_on_to_the_same_end(network, tmp_path):
    import torch
    from furrow.training.speech import train

    scenes = _scenes(16)
    start = {k: v.clone() for k, v in network.state_dict().items()}

    def fit(folder, halt_at=None):
        torch.manual_seed(99)
        network.load_state_dict(start)
        curve = train.fit(
            network, scenes, scenes[:2], 5, 4, 0, folder=tmp_path / folder, halt_at=halt_at
        )
        return curve, {k: v.clone() for k, v in network.state_dict().items()}

    whole, end = fit("whole")
    assert len(whole) == 5 and whole[-1] < 0.9 * whole[0]
    assert len(fit("cut", halt_at=7)[0]) == 1
    curve, same = fit("cut")
    assert curve == whole
    assert all(torch.equal(same[name], value) for name, value in end.items())
    logs = [(tmp_path / f / "speech.csv").read_text().splitlines() for f in ("whole", "cut")]
    losses = [[row.split(",")[2] for row in log] for log in logs]
    assert losses[0] == losses[1] and losses[0][0] == "loss"
    assert fit("cut")[0] == whole, "nothing is left to do"
    (tmp_path / "cut" / "speech.pt").write_bytes(b"no checkpoint")
    with pytest.raises(FurrowError, match=r"speech\.pt is damaged"):
        fit("cut")


def test_the_rate_rises_and_falls_as_pytorchs_one_cycle():
    import torch
    from furrow.training.speech import train

    weight = torch.nn.Parameter(torch.zeros(()))
    for steps in (40, 247):
        optimiser = torch.optim.AdamW([weight], lr=0.3)
        theirs = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.3, steps, pct_start=0.1)
        for step in range(steps):
            group = optimiser.param_groups[0]
            assert 0.3 * train.one_cycle(step, steps) == pytest.approx(group["lr"], rel=1e-6)
            assert train.beta(step, steps) == pytest.approx(group["betas"][0], rel=1e-6)
            optimiser.step()
            if step < steps - 1:
                theirs.step()


def test_a_network_exports_and_is_read_again(network, tmp_path):
    import torch
    from furrow.backend.speech.speech_model import SpeechModel
    from furrow.training.speech import export, train

    scenes = _scenes(16)
    train.fit(network, scenes, scenes[:2], 2, 4, 0)
    about = {"config": vars(network.config)}
    export.export(network, tmp_path, about)
    (tmp_path / "speech.safetensors").write_bytes(b"no tensors")
    with pytest.raises(FurrowError, match="cannot be loaded"):
        export.load(tmp_path)
    export.export(network, tmp_path, about)
    if not moonshine.is_set_up():
        pytest.skip("python -m furrow.backend.speech.moonshine was not run")
    model = SpeechModel.load(tmp_path)
    encoded, mel = torch.randn(1, 77, 288), torch.randn(1, 77, 80)
    style = Style(emotion="angry", speaker=(0.5,) * 8)
    whole = model.decoding(style).push(encoded[0].numpy(), mel[0].numpy())
    with torch.no_grad():
        memory = network.listener(encoded, mel)
        expected = network.play(memory, torch.from_numpy(style.vector())[None])[0, :150].numpy()
    again = export.load(tmp_path)
    with torch.no_grad():
        reread = again.play(again.listener(encoded, mel), torch.from_numpy(style.vector())[None])
    np.testing.assert_allclose(reread[0, :150], expected, atol=5e-3)  # half precision
    weights = (expected[:, :52].clip(0, 1) * network.gain.numpy()).clip(0, 1)
    np.testing.assert_allclose(whole[:, :52], weights, atol=1e-4)
    pieces, decoding = [], model.decoding(style)
    for part in np.split(np.arange(77), [1, 4, 50]):
        pieces.append(decoding.push(encoded[0, part].numpy(), mel[0, part].numpy()))
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-5)


def test_cached_steps_equal_the_whole_sequence(network):
    """What was attended to is kept: frame after frame gives what training saw, to rounding."""
    import torch

    torch.nn.init.normal_(network.decoder.out.weight, std=0.1)
    network.eval()
    from furrow.training.speech import examples

    memory, style = torch.randn(2, 40, 64), torch.randn(2, STYLE_SIZE)
    with torch.no_grad():
        rows = network.play(memory, style)
        past = examples.before(rows[..., :52].clamp(0, 1))
        whole = network.decoder(memory, style, past)
    torch.testing.assert_close(rows, whole, atol=1e-4, rtol=0)


def test_listener_hears_two_frames_ahead_and_no_more(network):
    import torch
    from furrow.training.speech.network import FUTURE

    network.eval()
    encoded, mel = torch.randn(1, 60, 288), torch.randn(1, 60, 80)
    changed = encoded.clone()
    changed[:, 40:] = 0
    with torch.no_grad():
        moved = (network.listener(changed, mel) - network.listener(encoded, mel)).abs().amax((0, 2))
    assert moved[: 40 - FUTURE].max() == 0 and moved[40 - FUTURE :].min() > 0
