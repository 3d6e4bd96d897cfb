"""What a user's films teach: read upright and on one clock, tracked, cleaned, told about in a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

from furrow.backend.errors import FurrowError  # noqa: E402
from furrow.backend.expressions import INDEX  # noqa: E402
from furrow.backend.speech_features import STEP  # noqa: E402
from furrow.training.speech import videos  # noqa: E402
from furrow.training.speech.films import Film, FilmError  # noqa: E402
from furrow.training.speech.tracking import Track  # noqa: E402

RATE = 48000
TICK = 1000  # time base of the pictures: milliseconds


def write_film(path: Path, pictures, times, sound=None, sound_from=0.0) -> Path:
    """Write pictures (H, W, 3) at times in seconds, and mono sound at 48 kHz, as a film."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=TICK)
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt, video.options = "yuv420p", {"crf": "12"}
        video.time_base = video.codec_context.time_base = 1 / av_fraction(TICK)
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


def av_fraction(number: int):
    from fractions import Fraction

    return Fraction(number)


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
    spans = [(p.start, p.start + STEP * (len(p.values) - 1)) for p in found]
    np.testing.assert_allclose(spans, [(0, 3), (3.5, 5.5), (5.53, 7.2)], atol=0.05)
    assert all(np.isfinite(p.values).all() and len(p.contact) == len(p.values) for p in found)


def test_lips_that_meet_for_two_pictures_meet_in_the_weights_when_they_did():
    times = np.arange(0, 4, 1 / 30)
    gap = 0.4 + 12 * talking(times)
    for at in (1.5, 2.5):
        gap[np.abs(times - at) < 0.04] = 0.45
    (piece,) = videos.pieces(track(times, talking(times), gap), "film")
    met = piece.start + STEP * np.flatnonzero(piece.contact > 0.99)
    for at in (1.5, 2.5):
        assert met[np.abs(met - at) < 0.2].mean() == pytest.approx(at, abs=0.012)
    assert np.all(met > 1.0)  # at rest lips lie together; they do not press


def test_a_person_s_own_rest_is_zero_and_nothing_lags():
    times = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.045, 200))
    jaw = np.exp(-(((times - 3.0) / 0.08) ** 2))
    (piece,) = videos.pieces(track(times, jaw, 0.4 + 20 * jaw), "film")
    opened = piece.values[:, INDEX["jawOpen"]]
    at = piece.start + STEP * np.arange(len(opened))
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
