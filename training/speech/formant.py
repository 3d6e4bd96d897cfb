"""A synthesiser that training never hears: espeak-ng's formant voices, with their phone times.

A formant voice shares nothing with the recorded people behind a neural one: neither timbre nor
timing. What still moves the mouth rightly there has learnt sounds, not a synthesiser.
"""

from __future__ import annotations

import ctypes
import unicodedata
from typing import Any, NamedTuple

import numpy as np
import soxr

from ...backend.formats import audio
from . import closures, voices
from .voices import SILENCE, Phone


class Manner(NamedTuple):
    """How espeak-ng speaks: language and variant, words a minute, pitch 0 to 99."""

    voice: str
    pace: int
    pitch: int


MANNERS: tuple[Manner, ...] = (
    Manner("en-us", 150, 50),
    Manner("en-us+f2", 140, 55),
    Manner("en-us+m3", 160, 40),
    Manner("en+f4", 150, 60),
    Manner("en-us+m7", 135, 35),
    Manner("en-GB-x-rp+m1", 155, 50),
    Manner("en-us+f5", 165, 45),
    Manner("en-GB-scotland+m4", 145, 50),
)
"""Four accents, men and women, slow and fast."""

_PACE, _PITCH = 1, 3  # espeak_PARAMETER
_END, _WORD, _PHONEME = 0, 1, 7  # espeak_EVENT_TYPE
_UTF8 = 1
_LIKE = {"r": "ɹ", "ʉ": "u", "ʍ": "w"}  # sounds of Scotland and of the south that training lacks
_PAUSE = 0.2  # seconds of silence before and after a sentence, since espeak-ng starts at once


class _Name(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("letters", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", _Name),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def speak(text: str, manner: Manner) -> tuple[np.ndarray, list[Phone]]:
    """Return a sentence as float32 (n,) at 16 kHz, and its tidied phones.

    Raises
    ------
    RuntimeError
        If espeak-ng has no such voice or does not speak.
    """
    library = voices.espeak_library()
    if library.espeak_SetVoiceByName(manner.voice.encode()):
        raise RuntimeError(f"espeak-ng has no voice {manner.voice}")
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # breath is noise
    library.espeak_SetParameter(_PACE, manner.pace, 0)
    library.espeak_SetParameter(_PITCH, manner.pitch, 0)
    pieces: list[np.ndarray] = []
    marks: list[tuple[int, float, str]] = []

    def take(wave: Any, count: int, events: Any) -> int:
        if count > 0:
            pieces.append(np.ctypeslib.as_array(wave, (count,)).copy())
        k = 0
        while events[k].type != _END:
            if events[k].type in (_WORD, _PHONEME):
                letters = bytes(events[k].name.letters) if events[k].type == _PHONEME else b""
                name = letters.split(b"\0")[0].decode("utf-8", "ignore")
                marks.append((events[k].type, events[k].milliseconds / 1000, name))
            k += 1
        return 0

    callback = _Callback(take)  # kept alive until the sentence is spoken
    library.espeak_SetSynthCallback(callback)
    said = text.encode()
    size = ctypes.c_size_t(len(said) + 1)
    if library.espeak_Synth(said, size, 0, 1, 0, _UTF8, None, None) or not pieces:
        raise RuntimeError("espeak-ng did not speak")
    wave = np.pad(np.concatenate(pieces), round(_PAUSE * voices.RATE)).astype(np.float32) / 32768
    phones = _phones([(k, at + _PAUSE, n) for k, at, n in marks], len(wave) / voices.RATE)
    sound = soxr.resample(wave, voices.RATE, audio.RATE)
    return np.asarray(sound, np.float32), closures.tidy(phones)


def _phones(marks: list[tuple[int, float, str]], end: float) -> list[Phone]:
    """Return the phones, one IPA letter each, that fill the sentence without gaps.

    A sound of several letters (a diphthong, an affricate) is shared out evenly. A word's mark just
    before its first sound is where that sound begins: the silence between them is its closure.
    """
    sounds: list[tuple[float, str]] = []
    word = None
    for kind, at, name in marks:
        if kind == _WORD:
            word = at
            continue
        decomposed = unicodedata.normalize("NFD", name)
        letters = "".join(c for c in decomposed if unicodedata.category(c) in ("Ll", "Lo"))
        sounds.append((at if word is None else word, letters))
        word = None
    phones: list[Phone] = [Phone(SILENCE, 0.0, sounds[0][0])] if sounds[0][0] > 0 else []
    for (start, letters), (stop, _) in zip(sounds, [*sounds[1:], (end, "")], strict=True):
        names = [_LIKE.get(letter, letter) for letter in letters] or [SILENCE]
        edges = np.linspace(start, stop, len(names) + 1)
        for name, first, last in zip(names, edges[:-1], edges[1:], strict=True):
            if last <= first:
                continue
            if name == SILENCE and phones and phones[-1].name == SILENCE:
                phones[-1] = phones[-1]._replace(end=float(last))
            else:
                phones.append(Phone(name, float(first), float(last)))
    return phones
