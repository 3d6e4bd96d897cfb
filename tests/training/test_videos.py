"""What a user's films teach: read upright and on one clock, tracked, cleaned, told about in a line."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
av = pytest.importorskip("av")

from furrow.backend.errors import FurrowError  # noqa: E402
from furrow.backend.formats.expressions import INDEX  # noqa: E402
from furrow.backend.head.bilinear import Head  # noqa: E402
from furrow.backend.speech import features, moonshine  # noqa: E402
from furrow.training.speech import calibration, tracking, videos, visemes  # noqa: E402
from furrow.training.speech.films import Film, FilmError  # noqa: E402
from furrow.training.speech.tracking import Track  # noqa: E402

LANDMARKER = Path(__file__).parents[2] / "out/speech/sources/face_landmarker.task"
"""Google's model, where a developer has put it; it is not ours to ship."""
RATE = 48000
TICK = 1000  # time base of the pictures: milliseconds


def write_film(path: Path, pictures, times, sound=None, sound_from=0.0) -> Path:
    """Write pictures (H, W, 3) at times in seconds, and mono sound at 48 kHz, as a film."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=TICK)
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt, video.options = "yuv420p", {"crf": "12"}
        video.time_base = video.codec_context.time_base = Fraction(1, TICK)
        audio = container.add_stream("aac", rate=RATE) if sound is not None else None
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = round(time * TICK), video.codec_context.time_base
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None:
            for first in range(0, len(sound), 1024):
                samples = sound[None, first : first + 1024].astype(np.float32)
                frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                frame.sample_rate = RATE
                frame.pts = first + round(sound_from * RATE)
                container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return path


def grey(level: int, shape=(48, 64)) -> np.ndarray:
    return np.full((*shape, 3), level, np.uint8)


def click(at: float, seconds: float) -> np.ndarray:
    sound = np.zeros(round(seconds * RATE))
    sound[round(at * RATE) : round((at + 0.01) * RATE)] = 0.8
    return sound


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_picture_and_sound_keep_one_clock_at_a_variable_rate(tmp_path, suffix):
    times = np.concatenate([np.arange(0, 0.5, 0.04), np.arange(0.5, 1.5, 0.0625)])
    lit = [grey(230 if time >= 1.0 else 20) for time in times]
    film = Film(write_film(tmp_path / f"talk.{suffix}", lit, times, click(1.0, 1.5)))
    seen = list(film.pictures())
    np.testing.assert_allclose([time for time, _ in seen], times, atol=0.002)
    bright = [time for time, pixels in seen if pixels.mean() > 120]
    assert bright[0] == pytest.approx(1.0, abs=0.002)
    loud = np.flatnonzero(np.abs(film.sound()) > 0.3)
    assert loud[0] / 16000 == pytest.approx(1.0, abs=0.003)


def test_sound_that_begins_late_stays_late(tmp_path):
    path = write_film(
        tmp_path / "late.mp4", [grey(50)] * 50, np.arange(50) / 25, click(0.5, 1), 0.7
    )
    loud = np.flatnonzero(np.abs(Film(path).sound()) > 0.3)
    assert loud[0] / 16000 == pytest.approx(1.2, abs=0.003)


def test_a_film_taken_upright_on_a_phone_is_turned(tmp_path):
    picture = grey(10)
    picture[:, :32] = 240  # the left half as it is stored: the top, once turned clockwise
    path = write_film(tmp_path / "phone.mp4", [picture] * 5, np.arange(5) / 25, click(0, 0.2))
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # the matrix in the header of the first track
    turned = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4")
    data[at : at + 36] = turned.tobytes()
    path.write_bytes(data)
    _, pixels = next(Film(path).pictures())
    assert pixels.shape == (64, 48, 3)
    assert pixels[:30].mean() > 200 and pixels[34:].mean() < 50


def test_damaged_packets_are_left_out_and_counted(tmp_path):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(40)]
    path = write_film(tmp_path / "torn.mkv", noise, np.arange(40) / 25, click(0.5, 1.6))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    path.write_bytes(data)
    film = Film(path)
    times = [time for time, _ in film.pictures()]
    assert 5 < len(times) < 40 and np.all(np.diff(times) > 0)
    assert film.damaged


def test_what_is_no_film_is_one_clear_line(tmp_path):
    mute = write_film(tmp_path / "mute.mp4", [grey(9)] * 3, [0, 0.04, 0.08])
    with pytest.raises(FilmError, match="has no sound"):
        Film(mute)
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    with pytest.raises(FurrowError, match="no readable film"):
        Film(text)


def track(times, jaw, gap, faces=None, place=None) -> Track:
    """A film of a face whose jaw and lips do this; it rests with its jaw at 0.1."""
    scores = np.zeros((len(times), 52), np.float32)
    scores[:, INDEX["jawOpen"]] = 0.1 + 0.9 * np.asarray(jaw)
    scores[:, INDEX["tongueOut"]] = np.nan
    lost = np.isnan(gap)
    scores[lost] = np.nan
    seat = np.tile([0.5, 0.5, 0.4], (len(times), 1)) if place is None else place
    seat = np.where(lost[:, None], np.nan, seat).astype(np.float32)
    count = np.where(lost, 0, 1) if faces is None else faces
    return Track(np.asarray(times), scores, np.asarray(gap, np.float32), seat, count)


def talking(times) -> np.ndarray:
    """How far a mouth is open, 0 to 1: syllables of 0.5 s that do not shut it, and a rest at first."""
    return np.where(times < 0.6, 0.0, 0.3 + 0.2 * np.cos(4 * np.pi * times))


def test_short_losses_are_filled_and_long_ones_and_cuts_part_a_film():
    times = np.arange(0, 8, 1 / 30)
    gap = 0.4 + 12 * talking(times)
    gap[(times > 1.0) & (times < 1.15)] = np.nan  # filled
    gap[(times > 3.0) & (times < 3.5)] = np.nan  # parts
    gap[(times > 7.2) & (times < 7.5)] = np.nan  # leaves too little behind it
    place = np.tile([0.5, 0.5, 0.4], (len(times), 1))
    place[times > 5.5, 0] = 0.1  # a cut
    found = videos.pieces(track(times, talking(times), gap, place=place), "film")
    spans = [(p.start, p.start + features.STEP * (len(p.values) - 1)) for p in found]
    np.testing.assert_allclose(spans, [(0, 3), (3.5, 5.5), (5.53, 7.2)], atol=0.05)
    assert all(np.isfinite(p.values).all() and len(p.contact) == len(p.values) for p in found)


def test_lips_that_meet_for_two_pictures_meet_in_the_weights_when_they_did():
    times = np.arange(0, 4, 1 / 30)
    gap = 0.4 + 12 * talking(times)
    for at in (1.5, 2.5):
        gap[np.abs(times - at) < 0.04] = 0.45
    (piece,) = videos.pieces(track(times, talking(times), gap), "film")
    met = piece.start + features.STEP * np.flatnonzero(piece.contact > 0.99)
    for at in (1.5, 2.5):
        assert met[np.abs(met - at) < 0.2].mean() == pytest.approx(at, abs=0.012)
    assert np.all(met > 1.0)  # at rest lips lie together; they do not press


def test_a_person_s_own_rest_is_zero_and_nothing_lags():
    times = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.045, 200))
    jaw = np.exp(-(((times - 3.0) / 0.08) ** 2))
    (piece,) = videos.pieces(track(times, jaw, 0.4 + 20 * jaw), "film")
    opened = piece.values[:, INDEX["jawOpen"]]
    at = piece.start + features.STEP * np.arange(len(opened))
    assert opened[np.abs(at - 3.0) > 0.5].max() < 0.02
    assert (opened * at).sum() / opened.sum() == pytest.approx(3.0, abs=0.01)
    assert opened.max() > 0.3
    assert not piece.values[
        :, [INDEX[n] for n in ("tongueOut", "browInnerUp", "eyeBlinkLeft")]
    ].any()


@pytest.mark.parametrize(
    ("rate", "faces", "words"),
    [(12, 1, "12 pictures a second"), (25, 0, "no face in 100%"), (25, 2, "several in 100%")],
)
def test_a_film_of_no_use_says_why(rate, faces, words):
    times = np.arange(0, 3, 1 / rate)
    gap = np.full(len(times), 1.0 if faces == 1 else np.nan)
    seen = track(times, times * 0, gap, faces=np.full(len(times), faces))
    with pytest.raises(FilmError, match=words):
        videos.pieces(seen, "film")


class Seer:
    """A landmarker that sees one face in every picture, and counts them."""

    digest = "seer"

    def __init__(self) -> None:
        self.pictures = 0

    def faces(self, pixels):
        self.pictures += 1
        open_ = pixels.mean() / 255
        return [tracking.Face(np.full(52, open_, np.float32), 20 * open_, (0.5, 0.5, 0.4), 0.1)]


def test_a_film_is_watched_once(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "CACHE", tmp_path / "kept")
    path = write_film(
        tmp_path / "a.mp4", [grey(k * 8) for k in range(30)], np.arange(30) / 25, click(0, 1)
    )
    seer = Seer()
    first = tracking.track(Film(path), seer)
    again = tracking.track(Film(path.rename(tmp_path / "b.mp4")), seer)
    assert seer.pictures == 30
    np.testing.assert_array_equal(first.scores, again.scores)
    np.testing.assert_allclose(first.gap, 20 * np.arange(30) * 8 / 255, atol=0.3)
    other = write_film(tmp_path / "c.mp4", [grey(90)] * 30, np.arange(30) / 25, click(0, 1))
    tracking.track(Film(other), seer)
    assert seer.pictures == 60


@pytest.fixture
def network():
    import torch
    from furrow.training.speech.network import Config, SpeechNetwork

    torch.manual_seed(0)
    made = SpeechNetwork(Config(width=64, span=12, near=3), len(visemes.PHONES)).eval()
    torch.nn.init.constant_(made.decoder.out.bias, 0.25)  # what it says of everything
    return made


def test_scenes_show_what_was_seen_when_it_was_heard(tmp_path, monkeypatch, capsys, network):
    if not moonshine.is_set_up():
        pytest.skip("python -m furrow.backend.speech.moonshine was not run")
    monkeypatch.setattr(features, "LONG", 60)  # frames; real windows are 8 s
    times = np.arange(0, 2.5, 1 / 25)
    pulse = np.exp(-(((times - 1.9) / 0.1) ** 2))
    seen = track(times, pulse, 0.4 + 20 * pulse)
    (tmp_path / "films").mkdir()
    write_film(tmp_path / "films/talk.mp4", [grey(9)] * len(times), times, click(1.895, 2.5))
    (tmp_path / "films/torn.avi").write_text("torn")
    monkeypatch.setattr(tracking, "track", lambda film, model: seen)
    monkeypatch.setattr(videos, "Landmarker", contextlib.nullcontext)
    made = videos.scenes(tmp_path / "films", LANDMARKER, network)
    assert [len(scene.measured) for scene in made] == [104, 104, 102, 102]  # each heard twice
    said = "".join(capsys.readouterr().err.split("\n"))
    assert "torn.avi is no readable film" in said and "talk.mp4: 2.5 s" in said
    for scene in made[2:]:
        jaw = scene.measured[:, INDEX["jawOpen"]].astype(float)
        centre = (jaw * np.arange(len(jaw))).sum() / jaw.sum()
        assert np.argmax(scene.mel.reshape(len(jaw), -1).sum(1)) == pytest.approx(centre, abs=1)
        assert np.isfinite(scene.measured).all() and (scene.phone < 0).all()
        np.testing.assert_allclose(scene.measured[:, INDEX["browInnerUp"]], 0.25, atol=1e-3)


def test_without_a_film_of_use_there_is_nothing_to_learn(tmp_path, monkeypatch, network):
    monkeypatch.setattr(videos, "Landmarker", contextlib.nullcontext)
    with pytest.raises(FurrowError, match="There is no folder"):
        videos.scenes(tmp_path / "films", LANDMARKER, network)
    (tmp_path / "films").mkdir()
    with pytest.raises(FurrowError, match="holds no films"):
        videos.scenes(tmp_path / "films", LANDMARKER, network)
    (tmp_path / "films/torn.mkv").write_text("torn")
    if moonshine.is_set_up():
        with pytest.raises(FurrowError, match="None of the 1 films"):
            videos.scenes(tmp_path / "films", LANDMARKER, network)


def test_a_model_that_is_no_landmarker_is_refused(tmp_path):
    pytest.importorskip("mediapipe")
    with pytest.raises(FurrowError, match="There is no model file"):
        tracking.Landmarker(tmp_path / "none.task")
    (tmp_path / "bad.task").write_bytes(b"no model")
    with pytest.raises(FurrowError, match="no face landmarker"):
        tracking.Landmarker(tmp_path / "bad.task")


@pytest.mark.parametrize("name", ["av", "mediapipe"])
def test_a_package_that_is_not_there_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "a.task").write_bytes(b"")
    made = {"av": Film, "mediapipe": tracking.Landmarker}[name]
    with pytest.raises(FurrowError, match=f"needs {name}.*video") as caught:
        made(tmp_path / "a.task")
    assert not isinstance(caught.value, FilmError)


def test_a_rendered_head_gives_its_weights_back(root, tmp_path, monkeypatch):
    pytest.importorskip("mediapipe")
    pytest.importorskip("bpy")
    if not LANDMARKER.is_file():
        pytest.skip(f"there is no {LANDMARKER}")
    tool = root / "tools" / "landmarker_pictures.py"
    command = [sys.executable, tool, tmp_path, "--people", "1", "--poses", "4", "--seed", "3"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    with np.load(tmp_path / "poses.npz") as data:
        poses = data["weights"][0]
    pictures = [read_picture(tmp_path / f"00-{k:02d}.png") for k in range(4)]
    shown = np.repeat(np.arange(4), 15)  # each for 0.6 s
    path = write_film(
        tmp_path / "head.mp4", [pictures[k] for k in shown], np.arange(60) / 25, click(1, 2)
    )
    monkeypatch.setattr(tracking, "CACHE", tmp_path / "kept")
    with tracking.Landmarker(LANDMARKER) as model:
        (piece,) = videos.pieces(tracking.track(Film(path), model), "head")
    at = np.round((0.3 + 0.6 * np.arange(4)) / features.STEP).astype(int)
    seen, true = (np.where(calibration.MEASURED, w, 0.0) for w in (piece.values[at], poses))
    assert seen[0].max() < 0.1
    head = Head.load()
    offsets = head.blendshapes(head.average().shape)
    off, moved = (
        np.linalg.norm(np.einsum("pk,kvd->pvd", w, offsets), axis=-1).mean()
        for w in (seen - true, true)
    )
    assert off < 0.6 * moved


def read_picture(path: Path) -> np.ndarray:
    from PIL import Image

    return np.array(Image.open(path).convert("RGB"))
