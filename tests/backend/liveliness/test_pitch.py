"""Level and fundamental frequency of a voice, as the sound comes."""

import numpy as np
import pytest
from furrow.backend.formats import audio
from furrow.backend.formats.files import ASSETS
from furrow.backend.liveliness import pitch

HELLO = ASSETS / "demo" / "hello.wav"


def rows_of(sound, size=5000):
    tracker = pitch.PitchTracker()
    pieces = [tracker.push(sound[k : k + size]) for k in range(0, len(sound), size)]
    pieces.append(tracker.finish())
    return pitch.Rows(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


def voice(frequency, seconds=1.0):
    """Harmonics of a frequency in Hz (n,), falling by 6 dB an octave, as a voice's do."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(frequency, round(seconds * 16000))) / 16000
    return sum(np.sin(k * phase + k) / k for k in range(1, 12)).astype(np.float32) * 0.1


@pytest.mark.parametrize("hertz", [70.0, 110.0, 203.7, 440.0])
def test_finds_the_pitch_of_voices(hertz):
    found = rows_of(voice(hertz)).frequency[4:-4]
    np.testing.assert_allclose(found, hertz, rtol=0.01)


def test_follows_a_glide_in_noise():
    hertz = np.linspace(120, 240, 32000)
    noise = 0.01 * np.random.default_rng(0).standard_normal(32000)
    found = rows_of(voice(hertz, 2.0) + noise.astype(np.float32)).frequency
    expected = np.interp(np.arange(len(found)) * pitch.STEP, np.arange(32000) / 16000, hertz)
    error = np.abs(found / expected - 1)[4:-4]
    assert np.median(error) < 0.005 and (error < 0.03).mean() > 0.98


def test_noise_and_silence_have_no_pitch():
    noise = np.random.default_rng(1).standard_normal(16000).astype(np.float32) * 0.1
    rows = rows_of(noise)
    assert (rows.frequency > 0).mean() < 0.01
    np.testing.assert_allclose(rows.level[4:-4], -20, atol=1.5)
    silent = rows_of(np.zeros(16000, np.float32))
    assert not silent.frequency.any() and (silent.level == -100).all()


def test_rows_do_not_depend_on_how_the_sound_is_cut():
    sound = np.concatenate(list(audio.blocks(HELLO)))
    whole = rows_of(sound, len(sound))
    assert len(whole.level) == (len(sound) - 1) // pitch.HOP + 1
    for size in (160, 1234):
        cut = rows_of(sound, size)
        np.testing.assert_array_equal(cut.level, whole.level)
        np.testing.assert_array_equal(cut.frequency, whole.frequency)
    speech = whole.frequency[whole.frequency > 0]
    assert 0.3 < len(speech) / len(whole.frequency) < 0.9
    assert np.percentile(speech, 95) / np.percentile(speech, 5) < 2.5  # no leaps of octaves
