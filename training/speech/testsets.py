"""What evaluation hears: three sets of sentences that training never did, with their targets.

``heldout``: other voices of the training's synthesiser, other sentences. ``synthesiser``: another
synthesiser altogether. ``real``: recordings of people, aligned with their text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...backend.formats import audio
from ...backend.speech import lips
from . import closures, formant, real, sources, synthesise, text, visemes
from .measures import FPS
from .voices import Phone

SETS = ("heldout", "synthesiser", "real")


@dataclass(frozen=True)
class Sentence:
    """What is heard, and what should be seen.

    Attributes
    ----------
    sound
        float32 (n,) at 16 kHz.
    touches
        When lips, or lip and teeth, should touch.
    target
        Weights float32 (N, 52) at :data:`~.measures.FPS`, N = round(duration x FPS).
    """

    name: str
    sound: np.ndarray
    phones: Sequence[Phone]
    touches: Sequence[lips.Closure]
    target: np.ndarray

    @classmethod
    def of(cls, name: str, sound: np.ndarray, phones: Sequence[Phone]) -> Sentence:
        """Find the touches of tidied phones and what the face should do."""
        touches = closures.find(sound, phones)
        times = np.arange(max(1, round(len(sound) / audio.RATE * FPS))) / FPS
        target = visemes.targets(sound, phones, touches, times)
        return cls(name, sound, phones, touches, target)


def load(seed: int = 0) -> dict[str, list[Sentence]]:
    """Return the sets by name, made or fetched if need be; `seed` is the corpus's."""
    spoken = [synthesise.read(path)[:2] for path in synthesise.synthesise(0, seed)]
    manners = [formant.MANNERS[k % len(formant.MANNERS)] for k in range(len(text.HELD_OUT))]
    formants = [formant.speak(said, m) for said, m in zip(text.HELD_OUT, manners, strict=True)]
    people = [real.align(sources.recording(r), r.text) for r in sources.RECORDINGS]
    return {
        "heldout": [
            Sentence.of(f"voice {k}", sound, closures.tidy(phones))
            for k, (sound, phones) in enumerate(spoken)
        ],
        "synthesiser": [
            Sentence.of(f"{m.voice} {k}", *said)
            for k, (m, said) in enumerate(zip(manners, formants, strict=True))
        ],
        "real": [
            Sentence.of(r.name, *said) for r, said in zip(sources.RECORDINGS, people, strict=True)
        ],
    }
