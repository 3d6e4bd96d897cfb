"""Sound through a pipe: raw samples and WAV headers, whole or in drops; what is no sound is refused."""

import io
import struct

import numpy as np
import pytest
import soundfile
from furrow.backend.errors import FurrowError
from furrow.backend.formats import audio, pcm
from furrow.backend.formats.files import ASSETS

HELLO = ASSETS / "demo" / "hello.wav"


class Drops(io.BytesIO):
    """A pipe that gives seven bytes at once."""

    def read1(self, size=-1, /):
        return super().read1(min(7, size))


def samples(data, rate=16000, pipe=io.BytesIO):
    return np.concatenate(list(pcm.blocks(pipe(data), rate)))


def wav(sound, rate, **options):
    file = io.BytesIO()
    soundfile.write(file, sound, rate, format="WAV", **options)
    return file.getvalue()


def test_raw_samples_are_sixteen_bits_mono():
    sound = np.array([0, 16384, -32768, 32767], "<i2")
    np.testing.assert_allclose(samples(sound.tobytes()), sound / 32768, atol=1e-7)
    np.testing.assert_array_equal(samples(sound.tobytes() + b"x", pipe=Drops), sound / 32768)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("pipe", [io.BytesIO, Drops])
def test_a_wav_is_read_by_its_header(subtype, pipe):
    sound = 0.5 * np.sin(np.arange(3200) / 7)
    stereo = np.stack([sound, -0.5 * sound], axis=1)
    mono = samples(wav(stereo, 16000, subtype=subtype), rate=8000, pipe=pipe)
    np.testing.assert_allclose(mono, 0.25 * sound, atol=1e-4)


def test_a_stream_is_what_the_file_is(tmp_path):
    sound, rate = soundfile.read(HELLO)
    for other in (rate, 44100):
        soundfile.write(tmp_path / "x.wav", sound, other, subtype="PCM_16")
        file = np.concatenate(list(audio.blocks(tmp_path / "x.wav")))
        np.testing.assert_allclose(samples((tmp_path / "x.wav").read_bytes()), file, atol=1e-6)


def test_unknown_sizes_and_what_follows_the_samples():
    data = wav(np.full(1000, 0.25), 16000, subtype="PCM_16")
    at = data.index(b"data") + 4
    for size in (0, 0x7FFFFFFF, 0x7FFFF024, 0xFFFFFFFF):  # as pipes are told by several programs
        endless = data[:at] + struct.pack("<I", size) + data[at + 4 :]
        np.testing.assert_allclose(samples(endless), 0.25, atol=1e-4)
    listed = data + b"LIST" + struct.pack("<I", 400) + b"x" * 400
    assert len(samples(listed)) == 1000


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "holds no sound"),
        (wav(np.zeros(0), 16000, subtype="PCM_16"), "holds no sound"),
        (b"fLaC" + bytes(100), "FLAC"),
        (b"RIFF\0\0\0\0AVI " + bytes(100), "no WAV"),
        (b"RIFF\0\0\0\0WAVEfmt ", "cut off"),
        (b"RIFF\0\0\0\0WAVEdata" + bytes(100), "nothing of its samples"),
        (wav(np.zeros(9), 16000, subtype="PCM_24"), "24 bits"),
        (wav(np.zeros(9), 1000, subtype="PCM_16"), "1000 samples a second"),
        (wav(np.array([0.0, np.nan]), 16000, subtype="FLOAT"), "not numbers"),
    ],
)
def test_what_is_no_sound_is_refused(data, words):
    with pytest.raises(FurrowError, match=words):
        samples(data)
