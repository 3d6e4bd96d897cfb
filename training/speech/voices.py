"""Speech with exact phoneme times: espeak-ng turns text to IPA, a Piper VITS voice speaks it."""

from __future__ import annotations

import ctypes
import functools
import re
import unicodedata
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from . import sources

SPEAKERS = 904
RATE = 22050
HOP = 256  # samples for each unit of duration
SILENCE = "sil"

_DURATIONS = "/Ceil_output_0"  # frames for each token, before VITS expands its text to time
_BEFORE = "ˈˌ"  # marks whose time belongs to the sound after them
_AFTER = "ːˑ˞̧̩̝̪̯̺̻̃̊ʰʲˤ"  # ... and before them
_PAUSES = " ,.;:!?"


class Phone(NamedTuple):
    """One sound (an IPA letter, or ``sil``) and its interval in seconds."""

    name: str
    start: float
    end: float


class Phonemizer:
    """Text to IPA by espeak-ng through ctypes; American English."""

    def __init__(self) -> None:
        self._espeak = espeak_library()

    def __call__(self, text: str) -> str:
        """Return the IPA of a sentence; punctuation that makes a pause is kept."""
        self._espeak.espeak_SetVoiceByName(b"en-us")
        parts = []
        for clause, mark in re.findall(r"([^,.;:!?]+)([,.;:!?]?)", text):
            pointer = ctypes.c_char_p(clause.strip().encode())
            words = []
            while pointer.value:
                words.append(
                    self._espeak.espeak_TextToPhonemes(ctypes.byref(pointer), 1, 2).decode()
                )
            parts.append(" ".join(words) + mark)
        return unicodedata.normalize("NFD", " ".join(parts))


@functools.cache
def espeak_library() -> ctypes.CDLL:
    """Return espeak-ng, started once; it hands over sound at 22.05 kHz and phonemes as IPA."""
    path, data = sources.espeak()
    library = ctypes.CDLL(str(path))
    synchronous, events_in_ipa = 2, 3
    if library.espeak_Initialize(synchronous, 0, str(data).encode(), events_in_ipa) != RATE:
        raise RuntimeError("espeak-ng did not start")
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    return library


class Voice:
    """The VITS voice of 904 speakers; one thread, so that it can run beside other work."""

    def __init__(self) -> None:
        model_path, tokens_path = sources.piper()
        model = onnx.load(model_path)
        model.graph.output.append(
            helper.make_tensor_value_info(_DURATIONS, TensorProto.FLOAT, None)
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        lines = tokens_path.read_text(encoding="utf-8").rstrip("\n").split("\n")
        self._tokens = {line[0]: int(line.rsplit(" ", 1)[1]) for line in lines}

    def speak(self, ipa: str, speaker: int, pace: float = 1.0) -> tuple[np.ndarray, list[Phone]]:
        """Return mono float32 at 22.05 kHz and the phones that fill it without gaps.

        Parameters
        ----------
        speaker
            0 to 903.
        pace
            Durations are multiplied by this.
        """
        letters = [c for c in ipa if c in self._tokens]
        padded = ["^", "_"] + [c for letter in letters for c in (letter, "_")] + ["$"]
        ids = np.array([[self._tokens[c] for c in padded]], np.int64)
        sound, durations = self._session.run(
            ["output", _DURATIONS],
            {
                "input": ids,
                "input_lengths": np.array([ids.shape[1]], np.int64),
                "scales": np.array([0.667, pace, 0.8], np.float32),
                "sid": np.array([speaker], np.int64),
            },
        )
        sound = sound.reshape(-1)
        frames = durations.reshape(-1)
        if int(frames.sum()) * HOP != len(sound):
            raise RuntimeError("durations do not add up to the sound")
        return sound, _phones(padded, frames * (HOP / RATE))


def _phones(tokens: list[str], seconds: np.ndarray) -> list[Phone]:
    """Merge blanks, stress and length marks into the sounds that they belong to."""
    names: list[str] = []
    lengths: list[float] = []
    ahead = 0.0  # time that belongs to the next sound
    for token, length in zip(tokens, seconds.tolist(), strict=True):
        if token == "_" and names and names[-1] != SILENCE:
            # VITS' blank between two sounds: half to each.
            lengths[-1] += length / 2
            ahead += length / 2
        elif token in _AFTER and names:
            lengths[-1] += length + ahead
            ahead = 0.0
        elif token in _BEFORE or token == "_":
            ahead += length
        else:
            pause = token in _PAUSES or token in "^$"
            name = SILENCE if pause else token
            if pause and names and names[-1] == SILENCE:
                lengths[-1] += length + ahead
            else:
                names.append(name)
                lengths.append(length + ahead)
            ahead = 0.0
    lengths[-1] += ahead
    ends = np.cumsum(lengths)
    return [
        Phone(name, float(end - length), float(end))
        for name, length, end in zip(names, lengths, ends, strict=True)
    ]
