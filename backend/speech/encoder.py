"""Pretrained speech encoders: Moonshine's, or a wav2vec 2.0 or HuBERT that a user has as ONNX.

All are brought to the same frames of 24 ms, so that the networks behind them need not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from ..errors import FurrowError
from .features import CENTRE, STRIDE, window_frames

_WAV2VEC_STRIDE, _WAV2VEC_FIELD = 320, 400  # samples; HuBERT's convolutions are the same
_PROBE = 16000  # samples


@dataclass(frozen=True)
class SpeechEncoder:
    """An encoder that is loaded.

    Attributes
    ----------
    width
        Numbers in a frame: 288 of Moonshine-tiny, 768 or 1024 of wav2vec 2.0 and HuBERT.
    frames_of_20_ms
        Whether it is one of the latter, whose frames are resampled, and whose sound is brought to
        mean 0 and variance 1 as they were trained.
    """

    session: onnxruntime.InferenceSession
    width: int
    frames_of_20_ms: bool

    @classmethod
    def load(cls, path: Path, threads: int = 0) -> SpeechEncoder:
        """Load an ONNX or ORT file; what kind it is, is found by a second of silence.

        Parameters
        ----------
        path
            Input `input_values` (1, samples) float32 at 16 kHz, optionally `attention_mask` int64;
            the first output is (1, T, width).
        threads
            0 takes as many as ONNX Runtime likes.

        Raises
        ------
        FurrowError
            ``missing_model`` for a file that is none of these.
        """
        try:
            session = open_session(path, threads)
            shape = np.shape(_run(session, np.zeros((1, _PROBE), np.float32)))
        except Exception as error:  # onnxruntime's errors share no public base class
            raise FurrowError(
                f"{path} is no speech encoder that can be used ({error}).", "missing_model"
            ) from None
        counts = {window_frames(_PROBE): False, _wav2vec_frames(_PROBE): True}
        if len(shape) != 3 or shape[1] not in counts:
            raise FurrowError(
                f"{path} answers a second of sound with {shape}; an encoder of Moonshine's kind gives "
                f"{window_frames(_PROBE)} frames, wav2vec 2.0 and HuBERT {_wav2vec_frames(_PROBE)}.",
                "missing_model",
            )
        return cls(session, int(shape[2]), counts[shape[1]])

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """Return features float32 (B, F, width) of windows (B, window_samples(F)) of sound."""
        if not self.frames_of_20_ms:
            return _run(self.session, windows)
        spread = windows.std(axis=1, keepdims=True)
        features = _run(
            self.session, (windows - windows.mean(axis=1, keepdims=True)) / (spread + 1e-4)
        )
        centres = CENTRE + STRIDE * np.arange(window_frames(windows.shape[1]))
        at = np.clip((centres - _WAV2VEC_FIELD / 2) / _WAV2VEC_STRIDE, 0, features.shape[1] - 1)
        low = np.minimum(at.astype(int), features.shape[1] - 2)
        share = (at - low).astype(np.float32)[:, None]
        return np.asarray(features[:, low] * (1 - share) + features[:, low + 1] * share)


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open a network of speech on the CPU: small ones lose more to threads than they gain."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run(session: onnxruntime.InferenceSession, windows: np.ndarray) -> np.ndarray:
    inputs = {"input_values": np.ascontiguousarray(windows, np.float32)}
    if any(entry.name == "attention_mask" for entry in session.get_inputs()):
        inputs["attention_mask"] = np.ones(windows.shape, np.int64)
    return np.asarray(session.run(None, inputs)[0])


def _wav2vec_frames(samples: int) -> int:
    return (samples - _WAV2VEC_FIELD) // _WAV2VEC_STRIDE + 1
