"""Clean speech as a microphone could have taken it: room, noise, other voices, music, codec, level."""

from __future__ import annotations

import io

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, fftconvolve, firwin2, sosfilt

from ...backend.formats.audio import RATE

_CODECS = (("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("WAV", "GSM610"))


def recorded(clean: np.ndarray, babble: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a recording float32 (n,) of clean speech float32 (n,) at 16 kHz; nothing moves in time.

    Parameters
    ----------
    babble
        Another voice, now and then heard far off.
    """
    sound = np.asarray(clean, np.float64)
    if rng.random() < 0.35:
        sound = _room(sound, rng)
    loud = np.sqrt((sound**2).mean()) + 1e-4
    if rng.random() < 0.5:
        ratio = 10 ** (-rng.uniform(3, 35) / 20)
        kind = music if rng.random() < 0.3 else noise
        sound = sound + ratio * loud * kind(len(sound), rng)
    if rng.random() < 0.1:
        other = np.resize(babble, len(sound))
        other = other / (np.sqrt((other**2).mean()) + 1e-4)
        sound = sound + 10 ** (-rng.uniform(15, 30) / 20) * loud * other
    if rng.random() < 0.5:
        sound = _microphone(sound, rng)
    if rng.random() < 0.15:
        edges = (rng.uniform(60, 300), rng.uniform(3200, 6500))
        sound = sosfilt(butter(2, edges, "bandpass", fs=RATE, output="sos"), sound)
    sound = sound + 10 ** rng.uniform(-4.5, -3.0) * loud * rng.standard_normal(len(sound)) * 3
    if rng.random() < 0.15:
        sound = _codec(sound, rng)
    if rng.random() < 0.05:  # a level set too high
        sound = np.clip(sound, -2.5 * loud, 2.5 * loud)
    return np.asarray(sound, np.float32)


def _room(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sound in a room: an exponential tail of 0.1 to 0.6 s behind the direct sound."""
    length = rng.uniform(0.1, 0.6)
    t = np.arange(round(length * RATE)) / RATE
    tail = rng.standard_normal(len(t)) * np.exp(-6.9 * t / length)
    tail *= rng.uniform(0.1, 0.6) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return np.asarray(fftconvolve(sound, tail)[: len(sound)])


def _microphone(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sound through a microphone's uneven response, of linear phase and no delay."""
    hertz = np.array([0, 100, 300, 800, 2000, 4000, 6000, 8000])
    response = 10 ** (np.cumsum(rng.normal(0, 2.0, len(hertz))) / 20)
    taps = firwin2(129, hertz, response / response.mean(), fs=RATE)
    return np.asarray(fftconvolve(sound, taps, mode="same"))


def _codec(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sound after a lossy codec at a low rate, at its place in time."""
    container, coding = _CODECS[rng.integers(len(_CODECS))]
    peak = max(1e-6, float(np.abs(sound).max()))
    rate = 8000 if coding == "GSM610" else RATE
    at_rate = soxr.resample(sound / peak * 0.9, RATE, rate)
    buffer = io.BytesIO()
    # Compression 1 is the lowest quality of libsndfile's lossy codecs.
    level = {} if coding == "GSM610" else {"compression_level": float(rng.uniform(0.6, 1.0))}
    with soundfile.SoundFile(
        buffer, "w", rate, 1, format=container, subtype=coding, **level
    ) as file:
        file.write(at_rate)
    buffer.seek(0)
    output = soxr.resample(soundfile.read(buffer)[0], rate, RATE) * (peak / 0.9)
    output = np.pad(output, (0, max(0, len(sound) + RATE - len(output))))
    return output[_delay(sound, output) :][: len(sound)]


def _delay(sound: np.ndarray, late: np.ndarray) -> int:
    """Return by how many samples, 0 to 4000, a decoder's output comes late."""
    size = len(sound) + len(late)
    product = np.fft.irfft(np.fft.rfft(late, size) * np.conj(np.fft.rfft(sound, size)), size)
    return int(np.argmax(product[:4000]))


def noise(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return coloured noise (count,) of unit power: hiss to rumble, steady or in gusts."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / RATE) + 30
    spectrum *= hertz ** -rng.uniform(0, 1.1)
    if rng.random() < 0.3:
        spectrum[np.abs(hertz - 30 - rng.choice([50, 100, 120])) < 0.5] *= 30
    sound = np.fft.irfft(spectrum, count)
    if rng.random() < 0.4:
        knots = rng.uniform(0.1, 1.0, max(2, count // 6000)) ** 2
        sound *= np.interp(np.linspace(0, len(knots) - 1, count), np.arange(len(knots)), knots)
    return np.asarray(sound / np.sqrt((sound**2).mean()))


def music(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return notes with overtones and a beat, (count,), of unit power."""
    sound = np.zeros(count)
    beat = round(RATE * rng.uniform(0.12, 0.5))
    scale = 110 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 19, 24]) / 12)
    for start in range(0, count, beat):
        length = min(count - start, round(beat * rng.uniform(0.8, 3)))
        t = np.arange(length) / RATE
        if rng.random() < 0.4:
            sound[start : start + length] += rng.standard_normal(length) * np.exp(-t * 30)
        for pitch in rng.choice(scale, rng.integers(0, 4)):
            decay = np.exp(-t * rng.uniform(1, 8))
            for k in range(1, 6):
                sound[start : start + length] += np.sin(2 * np.pi * pitch * k * t) * decay / k
    return sound / np.sqrt((sound**2).mean() + 1e-9)
