"""Phone times of real recordings with known text, by forced alignment with PocketSphinx."""

# ruff: noqa: RUF001 (IPA letters look like Latin ones)
from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ...backend.errors import FurrowError
from ...backend.formats import audio
from . import closures
from .voices import SILENCE, Phone

_IPA = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "a", "AY": "a", "EH": "ɛ", "ER": "ɚ",
    "EY": "e", "IH": "ɪ", "IY": "i", "OW": "o", "OY": "ɔ", "UH": "ʊ", "UW": "u", "B": "b",
    "CH": "ʃ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "ʒ", "K": "k", "L": "l",
    "M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ",
    "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip


def align(path: Path, text: str) -> tuple[np.ndarray, list[Phone]]:
    """Return a recording as float32 (n,) at 16 kHz, and its phones.

    Raises
    ------
    FurrowError
        If the recording does not say the text.
    """
    import pocketsphinx

    sound = np.concatenate(list(audio.blocks(path)))
    loud = sound * (0.5 / max(1e-6, float(np.abs(sound).max())))
    data = (loud * 32767).astype(np.int16).tobytes()
    # Wide beams: there is only one way through, and pruning it ends the search.
    decoder = pocketsphinx.Decoder(
        samprate=audio.RATE,
        loglevel="FATAL",
        bestpath=False,
        beam=1e-100,
        wbeam=1e-100,
        pbeam=1e-100,
    )
    words = re.sub(r"[^a-z' ]", " ", text.lower())
    decoder.set_align_text(" ".join(words.split()))
    for second_pass in (False, True):
        if second_pass:
            if decoder.hyp() is None:
                raise FurrowError(f"{path} does not say the text that it should be aligned with.")
            decoder.set_alignment()
        decoder.start_utt()
        decoder.process_raw(data, full_utt=True)
        decoder.end_utt()
    frame = 1 / decoder.config["frate"]
    phones: list[Phone] = []
    for word in decoder.get_alignment():
        for phone in word:
            name = _IPA.get(phone.name, SILENCE)
            start, end = phone.start * frame, (phone.start + phone.duration) * frame
            phones.append(Phone(name, start, end))
    return sound, closures.tidy(phones)
