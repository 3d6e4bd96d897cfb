"""What a user's films teach: read upright and on one clock, tracked, cleaned, told about in a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

from furrow.backend.errors import FurrowError  # noqa: E402
from furrow.training.speech.films import Film, FilmError  # noqa: E402

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
