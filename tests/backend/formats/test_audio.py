"""Sound files of every kind are heard alike; bad ones say what is wrong."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile
from furrow.backend.errors import FurrowError
from furrow.backend.formats import audio


def _tone(rate, seconds=1.5, channels=1):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)
    return np.repeat(tone[:, None], channels, axis=1)


def _read(path):
    return np.concatenate(list(audio.blocks(path)))


@pytest.mark.parametrize(
    ("name", "subtype", "rate", "channels"),
    [
        ("a.wav", "PCM_U8", 8000, 1),
        ("a.wav", "PCM_16", 44100, 2),
        ("a.wav", "PCM_24", 48000, 6),
        ("a.wav", "PCM_32", 96000, 8),
        ("a.wav", "FLOAT", 192000, 8),
        ("a.wav", "DOUBLE", 16000, 1),
        ("a.wav", "ULAW", 8000, 1),
        ("a.flac", "PCM_24", 44100, 2),
        ("a.ogg", "VORBIS", 44100, 2),
        ("a.ogg", "OPUS", 48000, 1),
        ("ein Ton, süß.wav", "PCM_16", 22050, 1),
    ],
)
def test_every_format_gives_the_same_sound(tmp_path, name, subtype, rate, channels):
    path = tmp_path / name
    soundfile.write(path, _tone(rate, channels=channels), rate, subtype=subtype)
    assert audio.duration(path) == pytest.approx(1.5, abs=0.01)
    sound = _read(path)
    assert sound.dtype == np.float32 and abs(len(sound) - 24000) <= 160
    expected = _tone(16000)[2000:22000, 0]
    # Lossy codecs shift the phase a little, so compare loudness and pitch.
    spectrum = np.abs(np.fft.rfft(sound[2000:22000]))
    assert np.argmax(spectrum) == 550
    assert sound[2000:22000].std() == pytest.approx(expected.std(), rel=0.05)


def test_silence_is_fine(tmp_path):
    soundfile.write(tmp_path / "s.wav", np.zeros(16000), 16000)
    assert not _read(tmp_path / "s.wav").any()


def test_thirty_minutes_stay_small_in_memory(tmp_path):
    path = tmp_path / "long.wav"
    second = _tone(48000, 1.0, 2)
    with soundfile.SoundFile(path, "w", 48000, 2, "PCM_16") as file:
        for _ in range(1800):
            file.write(second)
    tracemalloc.start()
    samples = sum(len(block) for block in audio.blocks(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert abs(samples - 1800 * 16000) <= 1
    assert peak < 8e6


def _wav(tmp_path, name="a.wav", seconds=1.0, **kw):
    path = tmp_path / name
    soundfile.write(path, _tone(16000, seconds), 16000, **kw)
    return path


def test_bad_files_say_what_is_wrong(tmp_path):
    def bad(path, words, code="bad_input"):
        with pytest.raises(FurrowError, match=words) as error:
            list(audio.blocks(path))
        assert error.value.code == code
        assert "\n" not in str(error.value)

    bad(tmp_path / "none.wav", "There is no sound file", "missing_file")
    bad(tmp_path, "folder")
    (tmp_path / "empty.wav").touch()
    bad(tmp_path / "empty.wav", "is empty")
    (tmp_path / "text.wav").write_text("This is no sound at all. " * 40)
    bad(tmp_path / "text.wav", "no sound file")
    (tmp_path / "x.raw").write_bytes(b"123" * 99)
    bad(tmp_path / "x.raw", "no sound file")
    bad(_wav(tmp_path, "none.wav", 0.0), "holds no sound")
    data = _wav(tmp_path).read_bytes()
    for keep, words in ((20, "no sound file|cut off"), (44, "cut off"), (20000, "cut off")):
        (tmp_path / "cut.wav").write_bytes(data[:keep])
        bad(tmp_path / "cut.wav", words)
    data = _wav(tmp_path, "a.ogg", 5.0).read_bytes()
    (tmp_path / "cut.ogg").write_bytes(data[: len(data) // 2])
    bad(tmp_path / "cut.ogg", "cut off")
    data = _wav(tmp_path, "a.flac", 5.0).read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    bad(tmp_path / "cut.flac", "damaged|cut off")
    soundfile.write(tmp_path / "nan.wav", np.full(999, np.nan), 16000, subtype="FLOAT")
    bad(tmp_path / "nan.wav", "not numbers")


def test_check_needs_no_library():
    """The add-on checks a file inside Blender, whose Python has neither soundfile nor soxr."""
    code = (
        "import sys; sys.modules['soundfile'] = sys.modules['soxr'] = None\n"
        "from furrow.backend.formats import audio\n"
        "from furrow.backend.formats.files import ASSETS\n"
        "audio.check(ASSETS / 'demo' / 'hello.wav')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_wav_written_into_a_pipe_is_read(tmp_path):
    """Programs that write into a pipe cannot fill the sizes in; the samples are all there."""
    path = _wav(tmp_path)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[4:8] = data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert abs(len(_read(path)) - 16000) <= 1
