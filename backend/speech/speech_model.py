"""Speech to expression: any sound file, or a stream, -> 52 ARKit weights at a steady rate.

Sound goes through Moonshine-tiny's encoder (what is said) and log-mel energies (when exactly), and
Furrow's own network (:mod:`.decoder`) turns both into weights, said in a style. Long files
are worked off in overlapping windows, so memory stays bounded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from ..errors import FurrowError
from ..formats import audio
from ..formats.expressions import EXPRESSIONS
from ..formats.files import ASSETS
from ..formats.weights import Weights, check_fps
from ..liveliness import liveliness
from ..liveliness.performance import Life, Style
from . import features, moonshine
from .decoder import DecoderSizes, Decoding, Framing
from .encoder import SpeechEncoder, open_session
from .stream import Stream

FORMAT = "furrow.speech/2"


@dataclass(frozen=True)
class SpeechModel:
    """The networks, loaded: a pretrained encoder, and the listener and decoder of our own."""

    encoder: SpeechEncoder
    listener: onnxruntime.InferenceSession
    decoder: onnxruntime.InferenceSession
    sizes: DecoderSizes

    @classmethod
    def load(cls, folder: Path | None = None) -> SpeechModel:
        """Load ``listener.onnx`` and ``decoder.onnx`` with ``speech.json``, and their encoder.

        The encoder is Moonshine's, or the file that ``speech.json`` names, which lies beside it. The
        folder is by default that of the network that ships.

        Raises
        ------
        FurrowError
            ``missing_model`` if one of them is not there, or of another format.
        """
        folder = folder or ASSETS / "speech"
        try:
            about = json.loads((folder / "speech.json").read_text(encoding="utf-8"))
            if about["format"] != FORMAT:
                raise ValueError(f"the format is {about['format']}, not {FORMAT}")
            names = ("encoded", "width", "heads", "layers", "span", "near", "period")
            sizes = DecoderSizes(
                **{name: int(about["config"][name]) for name in names},
                past=int(about["past"]),
                future=int(about["future"]),
            )
            listener, decoder = (
                open_session(folder / f"{n}.onnx", 1) for n in ("listener", "decoder")
            )
        except Exception as error:  # onnxruntime's errors share no public base class
            raise FurrowError(
                f"The speech network in {folder} cannot be loaded ({error}). Install Furrow again.",
                "missing_model",
            ) from None
        own = about.get("encoder")
        encoder = SpeechEncoder.load(folder / own if own else moonshine.encoder_path())
        if encoder.width != sizes.encoded:
            raise FurrowError(
                f"The speech network in {folder} was learned with an encoder of {sizes.encoded} "
                f"numbers a frame, this one gives {encoder.width}.",
                "missing_model",
            )
        return cls(encoder, listener, decoder, sizes)

    def weights(
        self,
        path: str | Path,
        fps: float,
        style: Style | None = None,
        life: Life | None = None,
        progress: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Weights:
        """Return the weights of a face that says what the sound file holds.

        Parameters
        ----------
        fps
            Frames per second of the result, above 0 and at most 1000; frame k is at k / fps.
        style
            The manner of speaking; the ordinary one if left out.
        life
            Blinks, gaze, brows, breath and head; ordinary if left out. :data:`~.performance.STILL`
            moves the mouth alone.

        Returns
        -------
        Weights
            (N, 52) and the turn of the head (N, 3), N = round(duration x fps) but at least 1. A
            silent file gives a calm face.

        Raises
        ------
        FurrowError
            For files that are no sound (see :mod:`.audio`), a bad rate, or ``cancelled``.
        """
        check_fps(fps, "The frame rate")
        seconds = audio.duration(path)
        count = max(1, round(seconds * fps))
        # The decoder answers for a frame when it knows the next ones.
        frames = math.ceil(seconds * audio.RATE / features.STRIDE) + 2 + self.sizes.future
        decoding, framing = self.decoding(style or Style()), Framing(fps)
        # Filled in place: an hour of frames is 22 MB, and lists of its parts would hold it again.
        values = np.zeros((count, len(EXPRESSIONS)), np.float32)
        head = np.zeros((count, 3), np.float32)
        filled = 0
        for last, encoded, mel in self.features(path, frames):
            if cancelled is not None and cancelled():
                raise FurrowError("The speech analysis was cancelled.", "cancelled")
            filled = _fill(values, filled, framing.push(decoding.push(encoded, mel)))
            if progress is not None:
                progress(last / frames, "Listening")
        _fill(values, filled, framing.finish(count))
        filled = 0
        for around, turn in liveliness.perform(audio.blocks(path), fps, count, life or Life()):
            mouth = values[filled : filled + len(around)]
            _fill(head, filled, turn)
            filled = _fill(values, filled, np.clip(mouth + around[: len(mouth)], 0.0, 1.0))
        return Weights(values, float(fps), head)

    def stream(self, fps: float, style: Style | None = None, life: Life | None = None) -> Stream:
        """Return a stream that begins; its frames follow the sound by :func:`.stream.delay`.

        Raises
        ------
        FurrowError
            For a bad rate.
        """
        check_fps(fps, "The frame rate")
        return Stream(self.encoder, self.decoding(style or Style()), fps, life or Life())

    def decoding(self, style: Style) -> Decoding:
        """Return a performance that begins."""
        return Decoding(self.listener, self.decoder, self.sizes, style)

    def features(
        self, path: str | Path, frames: int
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield (frames so far, encoded (F, width), mel (F, 80)) of a file from frame 0 to `frames`.

        Where two windows meet, the features of one fade into those of the other.
        """
        squares = [features.powers(block) for block in audio.blocks(path)]
        gain = features.gain_of(np.concatenate(squares)) if squares else 1.0
        tail: np.ndarray | None = None
        fade = ((np.arange(features.FADE) + 0.5) / features.FADE).astype(np.float32)[:, None]
        for start, window in features.windows(audio.blocks(path), frames, gain):
            encoded = self.encoder(window[None])[0]
            mel = features.log_mel(window)
            inside = slice(features.MARGIN, len(encoded) - features.MARGIN)
            middle = encoded[inside].copy()
            if tail is not None:
                size = min(len(tail), len(middle))
                middle[:size] = tail[:size] + fade[:size] * (middle[:size] - tail[:size])
            tail = encoded[inside.stop :][: features.FADE]
            count = min(frames, start + inside.stop) - (start + inside.start)
            yield start + inside.start + count, middle[:count], mel[inside][:count]


def _fill(frames: np.ndarray, filled: int, part: np.ndarray) -> int:
    """Write the next frames, as far as there is room; return how many there are then."""
    end = min(len(frames), filled + len(part))
    frames[filled:end] = part[: end - filled]
    return end
