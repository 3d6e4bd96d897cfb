"""A WAV becomes weights: lips meet, silence is calm, seams do not show, bad files are refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from furrow.backend.errors import FurrowError
from furrow.backend.formats import audio
from furrow.backend.formats.expressions import INDEX
from furrow.backend.formats.files import ASSETS
from furrow.backend.liveliness.performance import STILL, Life, Style
from furrow.backend.speech import decoder, features, lips, moonshine, speech_model, stream

HELLO = ASSETS / "demo" / "hello.wav"
# When the lips are together in hello.wav, in seconds: Flite's own times of m, b, p.
BILABIALS = (
    (0.843, 0.884), (1.079, 1.173), (1.345, 1.428), (1.555, 1.660), (2.029, 2.146), (2.259, 2.358),
    (2.437, 2.583), (2.859, 2.902), (3.060, 3.111), (3.226, 3.268), (3.400, 3.486), (3.886, 4.000),
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    if not moonshine.is_set_up():
        pytest.skip("python -m furrow.backend.speech.moonshine was not run")
    return speech_model.SpeechModel.load()


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
    assert sum(met) >= len(met) - 2  # a synthesiser never heard: its "ring me" hardly has an m


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
            gap[(times >= start) & (times <= end)].max() > 0.07  # 2.4 mm
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


def test_styles_are_heard_of(model):
    def said(**style):
        return model.weights(HELLO, 30, style=Style(**style), life=STILL).values

    plain, mumbled, clear = said(), said(articulation=0.5), said(articulation=1.5)
    jaws = [v[:, INDEX["jawOpen"]].max() for v in (mumbled, plain, clear)]
    assert jaws[0] < 0.8 * jaws[1] and jaws[2] > 1.15 * jaws[1]
    for emotion, name in (
        ("happy", "mouthSmileLeft"),
        ("sad", "mouthFrownLeft"),
        ("angry", "browDownLeft"),
        ("surprised", "browOuterUpLeft"),
    ):
        moved = said(emotion=emotion)[:, INDEX[name]].mean()
        assert moved > plain[:, INDEX[name]].mean() + 0.15, emotion
    leaning = said(speaker=(0, 0, 0, 0, 0, 0, 1, 0)).mean(0)
    assert leaning[INDEX["mouthLowerDownLeft"]] > 1.3 * leaning[INDEX["mouthLowerDownRight"]]


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


@pytest.mark.parametrize("fault", ["clipped", "noisy", "second voice"])
def test_bad_recordings_still_speak(model, tmp_path, fault):
    sound, rate = soundfile.read(HELLO)
    plain = model.weights(HELLO, 60, life=STILL).values
    peak, rng = np.abs(sound).max(), np.random.default_rng(0)
    bad = {
        "clipped": np.clip(sound, -0.15 * peak, 0.15 * peak),
        "noisy": sound + 0.2 * sound.std() * rng.standard_normal(len(sound)),
        "second voice": sound + 0.1 * np.roll(sound, rate),
    }[fault]
    soundfile.write(tmp_path / "bad.wav", bad, rate)
    made = model.weights(tmp_path / "bad.wav", 60, life=STILL).values
    jaw = INDEX["jawOpen"]
    # Flite's voice is unlike any that was learned from, so much moves; people's stay above 0.94.
    assert np.corrcoef(made[:, jaw], plain[:, jaw])[0, 1] > 0.55


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
    with pytest.raises(FurrowError, match="frame rate"):
        model.weights(HELLO, float("nan"))
    with pytest.raises(FurrowError) as error:
        model.weights(tmp_path / "none.wav", 30)
    assert error.value.code == "missing_file"


def test_missing_models_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(moonshine, "ENCODER", tmp_path / "none.ort")
    with pytest.raises(FurrowError, match=r"furrow\.backend\.speech\.moonshine") as error:
        speech_model.SpeechModel.load()
    assert error.value.code == "missing_model"
    (tmp_path / "x.whl").write_bytes(b"no wheel")
    with pytest.raises(FurrowError, match="not the package"):
        moonshine.take(tmp_path / "x.whl", "encoder", tmp_path / "y.ort")
    assert not (tmp_path / "y.ort").exists()


@pytest.mark.parametrize("bilabial", [True, False])
def test_lips_meet_and_part(bilabial):
    times = np.arange(0, 0.6, 1 / 60)
    weights = np.full((len(times), 52), 0.3)
    weights[:, INDEX["mouthClose"]] = 0
    met = np.zeros((len(times), 2))
    met[:, 0 if bilabial else 1] = lips.contact(times, lips.Closure(0.25, 0.35, bilabial))
    lips.meet(weights, met)
    jaw, close = weights[:, INDEX["jawOpen"]], weights[:, INDEX["mouthClose"]]
    during = (times >= 0.25) & (times <= 0.35)
    if bilabial:
        np.testing.assert_allclose(close[during], jaw[during], atol=1e-6)
        assert weights[during][:, INDEX["mouthLowerDownLeft"]].max() < 1e-6
    else:
        assert weights[during][:, INDEX["mouthRollLower"]].min() > 0.4
    assert jaw[during].max() <= 0.1001
    np.testing.assert_allclose(jaw[[0, -1]], 0.3)
    assert (close <= jaw + 1e-9).all()


def test_every_closure_shows_at_every_rate():
    rows = np.zeros((500, decoder.ROW), np.float32)
    rows[:, INDEX["jawOpen"]] = 0.3
    closures = range(20, 480, 23)
    for k in closures:
        rows[k : k + 3, -2] = 0.9  # 36 ms
    for fps in (24, 25, 30, 60):
        framing = decoder.Framing(fps)
        parts = [framing.push(piece) for piece in np.array_split(rows, 61)]
        weights = np.concatenate([*parts, framing.finish(6 * fps)])
        assert len(weights) == 6 * fps
        times = np.arange(len(weights)) / fps
        gap = weights[:, INDEX["jawOpen"]] - weights[:, INDEX["mouthClose"]]
        for k in closures:
            near = np.abs(times - (k + 0.5) * features.STEP) < 0.6 / fps + 0.01
            assert gap[near].min() < 0.03, (fps, k)  # a millimetre


def _streamed(model, sound, fps, sizes, **options):
    """What a stream gives, and for each frame how much sound it had waited for, in seconds."""
    stream = model.stream(fps, **options)
    parts, waited, at = [], [], 0
    rng = np.random.default_rng(0)
    while at < len(sound):
        piece = sound[at : at + int(rng.integers(*sizes))]
        at += len(piece)
        parts.append(stream.push(piece))
        waited += [at / audio.RATE] * len(parts[-1].values)
    given = len(waited)
    parts.append(stream.finish())
    values, head = (np.concatenate([getattr(p, n) for p in parts]) for n in ("values", "head"))
    return values, head, np.array(waited) - np.arange(given) / fps


def test_a_stream_says_the_same_within_its_delay(model):
    sound = np.concatenate(list(audio.blocks(HELLO)))
    offline = model.weights(HELLO, 30, life=STILL)
    values, head, waited = _streamed(model, sound, 30, (200, 201), life=STILL)
    assert values.shape == offline.values.shape and head.shape == (len(values), 3)
    assert waited.max() <= stream.delay(model.sizes.future) + 200 / audio.RATE
    assert stream.delay(model.sizes.future) <= 0.2
    # A short clip of a voice never heard: the level is still being learned as it ends.
    assert np.abs(values - offline.values).mean() < 0.012
    jaw = INDEX["jawOpen"]
    assert np.corrcoef(values[:, jaw], offline.values[:, jaw])[0, 1] > 0.8
    pieces, *_ = _streamed(model, sound, 30, (1, 5000), life=STILL)
    np.testing.assert_allclose(pieces, values, atol=1e-4)  # however the sound is cut


def test_a_stream_is_alive_as_the_file_is(model):
    sound = np.concatenate(list(audio.blocks(HELLO)))
    offline = model.weights(HELLO, 25, life=Life(seed=5))
    values, head, _ = _streamed(model, sound, 25, (300, 900), life=Life(seed=5))
    eyes = [i for name, i in INDEX.items() if name.startswith("eyeLook")]
    np.testing.assert_allclose(values[:, eyes], offline.values[:, eyes], atol=1e-4)
    np.testing.assert_allclose(head, offline.head, atol=1e-4)
    assert np.abs(head).max() > 0


def test_an_empty_stream_is_one_calm_frame(model):
    made = model.stream(30, life=STILL).finish()
    assert made.values.shape == (1, 52) and made.values.max() < 0.05


_PEAK = """
import sys
from furrow.__main__ import main
main(["speak", sys.argv[1], "-o", sys.argv[2], "--fps", sys.argv[3]])
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system tells no peak")
def test_many_frames_take_no_more_memory_than_themselves(model, tmp_path):
    # As many frames as there are in a quarter of an hour at 30 a second, in sound that is heard sooner.
    sound = tmp_path / "long.wav"
    soundfile.write(sound, np.tile(soundfile.read(HELLO)[0], 6), audio.RATE)
    peaks_mb = []
    for fps in ("30", "1000"):
        command = [sys.executable, "-c", _PEAK, str(sound), str(tmp_path / "out.csv"), fps]
        child = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        peaks_mb.append(int(child.stdout.split()[-1]) / 1024)
    assert peaks_mb[1] - peaks_mb[0] < 15, "the frames themselves are 6 MB"
