"""Phone times of real recordings with known text, by forced alignment with PocketSphinx."""

# ruff: noqa: RUF001 (IPA letters look like Latin ones)
from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ...backend import audio
from ...backend.errors import FurrowError
from . import closures
from .voices import SILENCE, Phone

TWO_CITIES = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, "
    "it was the age of foolishness, it was the epoch of belief, it was the epoch of incredulity, "
    "it was the season of light, it was the season of darkness, it was the spring of hope, "
    "it was the winter of despair, we had everything before us, we had nothing before us, "
    "we were all going direct to heaven, we were all going direct the other way, in short, "
    "the period was so far like the present period, that some of its noisiest authorities "
    "insisted on its being received, for good or for evil, in the superlative degree of "
    "comparison only."
)
"""What Moonshine's two_cities.wav says (Dickens, 1859)."""

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
