"""A WAV becomes weights: lips meet, silence is calm, seams do not show, bad files are refused."""

import numpy as np
import pytest
import soundfile
from furrow.backend import audio, lips, moonshine, speech
from furrow.backend.errors import FurrowError
from furrow.backend.expressions import INDEX
from furrow.backend.files import ASSETS
from furrow.backend.performance import STILL, Life, Style

HELLO = ASSETS / "demo" / "hello.wav"
# When the lips are together in hello.wav, in seconds: Flite's own times of m, b, p.
BILABIALS = (
    (0.843, 0.884), (1.079, 1.173), (1.345, 1.428), (1.555, 1.660), (2.029, 2.146), (2.259, 2.358),
    (2.437, 2.583), (2.859, 2.902), (3.060, 3.111), (3.226, 3.268), (3.400, 3.486), (3.886, 4.000),
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    if not moonshine.is_set_up():
        pytest.skip("python -m furrow.backend.moonshine was not run")
    return speech.SpeechModel.load()


@pytest.fixture(scope="module")
def hello(model):
    return model.weights(HELLO, 60, life=Life(seed=3))


def _gap(values):
    """How open the lips are, in units of jawOpen (as measured on the head)."""
    gap = values[:, INDEX["jawOpen"]] - values[:, INDEX["mouthClose"]]
    for name, share in (
        ("mouthFunnel", 0.4),
        ("mouthUpperUpLeft", 0.14),
        ("mouthLowerDownLeft", 0.11),
    ):
        gap = gap + share * values[:, INDEX[name]]
    return gap


def test_weights_fit_the_clip(hello):
    assert hello.fps == 60 and len(hello.values) == round(audio.duration(HELLO) * 60)
    assert hello.values.dtype == np.float32 and hello.values.shape[1] == 52
    assert hello.values.min() >= 0 and hello.values.max() <= 1
    mouth = hello.values[:, INDEX["jawOpen"]]
    assert mouth.max() > 0.15, "the mouth must open in speech"


def test_lips_meet_on_m_b_p(hello):
    times, gap = np.arange(len(hello.values)) / 60, _gap(hello.values)
    met = [
        gap[(times >= start - 0.03) & (times <= end + 0.02)].min() < 0.02
        for start, end in BILABIALS
    ]
    assert sum(met) >= len(met) - 2  # a synthetic voice: the m of "ring me" is hardly there


def test_lips_meet_at_slow_frame_rates_too(model):
    values = model.weights(HELLO, 24).values
    times, gap = np.arange(len(values)) / 24, _gap(values)
    met = [
        gap[(times >= start - 0.045) & (times <= end + 0.035)].min() < 0.03
        for start, end in BILABIALS
    ]
    assert sum(met) >= len(met) - 2


def test_the_mouth_is_not_simply_shut(hello):
    times, gap = np.arange(len(hello.values)) / 60, _gap(hello.values)
    for start, end in (
        (0.547, 0.661),
        (1.428, 1.555),
        (1.660, 1.729),
        (2.173, 2.259),
        (3.581, 3.674),
    ):
        assert (
            gap[(times >= start) & (times <= end)].max() > 0.1
        )  # vowels of hello, map, of, prob, brow


def test_seed_moves_eyes_and_leaves_the_mouth_alone(model, hello):
    again, other = (
        model.weights(HELLO, 60, life=Life(seed=3)),
        model.weights(HELLO, 60, life=Life(seed=4)),
    )
    np.testing.assert_array_equal(again.values, hello.values)
    mouth = [i for name, i in INDEX.items() if name.startswith(("mouth", "jaw", "tongue"))]
    np.testing.assert_array_equal(other.values[:, mouth], hello.values[:, mouth])
    assert not np.array_equal(other.values, hello.values)


@pytest.mark.parametrize("kind", ["silence", "hiss"])
def test_silence_is_calm(model, tmp_path, kind):
    sound = np.zeros(16000 * 3)
    if kind == "hiss":
        sound += 3e-4 * np.random.default_rng(0).standard_normal(len(sound))
    soundfile.write(tmp_path / "s.wav", sound, 16000, subtype="FLOAT")
    values = model.weights(tmp_path / "s.wav", 30, life=STILL).values
    assert values.max() < 0.06


def test_quiet_and_loud_recordings_move_alike(model, tmp_path):
    sound, rate = soundfile.read(HELLO)
    made = []
    for gain in (0.02, 1.0):
        soundfile.write(tmp_path / "x.wav", gain * sound, rate, subtype="FLOAT")
        made.append(model.weights(tmp_path / "x.wav", 60, life=STILL).values)
    # Moonshine's weights are quantised: rounding of the sound moves its features a little.
    assert np.abs(made[0] - made[1]).max() < 0.06
    assert np.abs(made[0] - made[1]).mean() < 0.002


def test_long_files_show_no_seams(model, tmp_path):
    """The same words said in another window of the analysis look the same, and memory stays small."""
    sound, rate = soundfile.read(HELLO)
    alone = model.weights(HELLO, 60, life=STILL).values
    repeated = np.concatenate([sound] * 5)
    soundfile.write(tmp_path / "long.wav", repeated, rate)
    progress = []
    values = model.weights(
        tmp_path / "long.wav",
        60,
        progress=lambda part, _: progress.append(part),
        life=STILL,
    ).values
    assert len(values) == round(len(repeated) / rate * 60)
    assert progress == sorted(progress) and progress[-1] == 1.0 and len(progress) == 4
    jaw = INDEX["jawOpen"]
    for k in range(5):
        start = round(k * len(sound) / rate * 60)
        part = values[start : start + len(alone), jaw]
        assert np.corrcoef(part[12:-12], alone[12 : len(part) - 12, jaw])[0, 1] > 0.9
    assert np.abs(np.diff(values[:, jaw])).max() < 0.12


def test_short_files_work(model, tmp_path):
    for samples in (1, 300, 1600):
        soundfile.write(tmp_path / "s.wav", np.full(samples, 0.1), 16000)
        assert len(model.weights(tmp_path / "s.wav", 30).values) == max(
            1, round(samples / 16000 * 30)
        )


def test_cancel_and_bad_input(model, tmp_path):
    with pytest.raises(FurrowError) as error:
        model.weights(HELLO, 30, cancelled=lambda: True)
    assert error.value.code == "cancelled"
    with pytest.raises(FurrowError, match="style"):
        model.weights(HELLO, 30, style=Style(emotion="happy"))
    with pytest.raises(FurrowError, match="frame rate"):
        model.weights(HELLO, float("nan"))
    with pytest.raises(FurrowError) as error:
        model.weights(tmp_path / "none.wav", 30)
    assert error.value.code == "missing_file"


def test_missing_models_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(moonshine, "ENCODER", tmp_path / "none.ort")
    with pytest.raises(FurrowError, match=r"furrow\.backend\.moonshine") as error:
        speech.SpeechModel.load()
    assert error.value.code == "missing_model"
    (tmp_path / "x.whl").write_bytes(b"no wheel")
    with pytest.raises(FurrowError, match="not the package"):
        moonshine.take(tmp_path / "x.whl", "encoder", tmp_path / "y.ort")
    assert not (tmp_path / "y.ort").exists()


@pytest.mark.parametrize("bilabial", [True, False])
def test_touch_closes_and_lets_go(bilabial):
    times = np.arange(0, 0.6, 1 / 60)
    names = ("jawOpen", "mouthClose", "mouthFunnel", "mouthUpperUp", "mouthLowerDown", "tongueOut",
             "mouthStretch", "mouthPress", "mouthRollLower", "mouthRollUpper")  # fmt: skip
    columns = {name: np.full(len(times), 0.3) for name in names}
    columns["mouthClose"][:] = 0
    lips.touch(columns, times, lips.Closure(0.25, 0.35, bilabial))
    during = (times >= 0.25) & (times <= 0.35)
    if bilabial:
        np.testing.assert_allclose(
            columns["mouthClose"][during], columns["jawOpen"][during], atol=1e-6
        )
        assert columns["mouthLowerDown"][during].max() < 1e-6
    assert columns["jawOpen"][during].max() <= 0.1001
    np.testing.assert_allclose(columns["jawOpen"][[0, -1]], 0.3)
    assert (columns["mouthClose"] <= columns["jawOpen"] + 1e-9).all()


def test_every_closure_shows_at_every_rate():
    touching = np.zeros((500, 2), np.float32)
    for k in range(20, 480, 23):
        touching[k : k + 2, 0] = 0.9  # 24 ms
    for fps in (24, 25, 30, 60):
        frames = np.arange(0, 6, 1 / fps)
        for closure, strength in speech.closures(touching, fps):
            assert strength == 1.0
            assert ((frames >= closure.start - 1e-9) & (frames <= closure.end + 1e-9)).any()
