"""Batches of training examples: crops of scenes, said by drawn speakers in drawn moods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ...backend.liveliness.performance import EMOTIONS, HABITS, Style
from ...backend.speech.features import BANDS, STEP, SUBFRAMES
from . import visemes
from .dataset import Scene

CROP = 128
"""Frames of an example, 3 s."""


class Batch(NamedTuple):
    """Examples (B, ...), F frames each: inputs, style, and what is wanted in 2 F rows."""

    encoded: torch.Tensor
    mel: torch.Tensor
    style: torch.Tensor
    target: torch.Tensor
    contact: torch.Tensor
    phone: torch.Tensor
    mask: torch.Tensor


def batch(
    scenes: Sequence[Scene],
    rng: np.random.Generator,
    device: torch.device | str = "cpu",
    augment: bool = True,
) -> Batch:
    """Return a random crop of each scene in a random style; shorter scenes are filled up and masked.

    Parameters
    ----------
    device
        Where the batch shall lie.
    augment
        Vary the features, so that a new voice or microphone is nothing new.
    """
    columns: list[list[np.ndarray]] = [[] for _ in Batch._fields]
    for scene in scenes:
        style = draw_style(rng) if scene.measured is None else Style()
        first = int(rng.integers(0, max(1, len(scene.encoded) - CROP + 1)))
        frames = min(CROP, len(scene.encoded) - first)
        cut = _crop(scene, first, frames)
        target = _target(cut, style)
        mask = np.zeros(SUBFRAMES * CROP, np.float32)
        mask[: SUBFRAMES * frames] = 1
        inputs = (cut.encoded, cut.mel, style.vector())
        for column, array in zip(
            columns, (*inputs, target, cut.contact, cut.phone[:, 0], mask), strict=True
        ):
            column.append(array)
    arrays = [np.stack(column) for column in columns]
    if augment:
        _unsettle(arrays[0], arrays[1], rng)
    tensors = [torch.from_numpy(a.astype(np.float32)).to(device) for a in arrays]
    tensors[5] = tensors[5].long()
    return Batch(*tensors)


def target(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Return the weights float32 (2 F, 52) of a whole scene, in a drawn style where rules make it."""
    return _target(scene, draw_style(rng))


def draw_style(rng: np.random.Generator) -> Style:
    """Return a random style; the ordinary ones come often."""
    neutral = rng.random() < 0.4
    habits = np.clip(rng.normal(0, 0.45, len(HABITS)), -1, 1) * (rng.random() > 0.3)
    return Style(
        emotion="neutral" if neutral else str(rng.choice(EMOTIONS[1:])),
        intensity=float(rng.uniform(0.3, 1.5)),
        articulation=1.0 if rng.random() < 0.4 else float(rng.uniform(0.5, 1.5)),
        speaker=tuple(float(x) for x in habits),
    )


def before(rows: torch.Tensor) -> torch.Tensor:
    """Return for each frame the weights of the frame before it, (B, F, 104), of rows (B, 2 F, 52)."""
    frames = rows.unflatten(1, (-1, SUBFRAMES)).flatten(2)
    return torch.cat([torch.zeros_like(frames[:, :1]), frames[:, :-1]], dim=1)


def noisy(past: torch.Tensor) -> torch.Tensor:
    """Return past weights (B, F, 104) with noise, and for one sequence in five none at all."""
    there = (torch.rand(len(past), 1, 1) > 0.2).to(past)
    drift = 0.04 * torch.randn(len(past), 1, past.shape[-1]).to(past)
    return (past + drift + 0.03 * torch.randn_like(past)).clamp(0, 1) * there


def _unsettle(encoded: np.ndarray, mel: np.ndarray, rng: np.random.Generator) -> None:
    """Vary features (B, F, 288) and (B, F, 80) in place: microphones, doubt, and gaps (SpecAugment)."""
    count = len(mel)
    tilt = rng.normal(0, 0.12, (count, 1, 1)) * np.linspace(-1, 1, BANDS)
    mel += np.tile(tilt, SUBFRAMES) + rng.normal(0, 0.1, (count, 1, 1))
    for k in np.flatnonzero(rng.random(count) < 0.5):
        encoded[k] += 0.15 * rng.standard_normal(encoded[k].shape, np.float32)
        for array in (encoded[k], mel[k]):
            for _ in range(int(rng.integers(0, 4))):  # gaps of up to 120 ms
                at = int(rng.integers(0, CROP))
                array[at : at + int(rng.integers(1, 6))] = 0
    # Now and then one of the two has to do alone.
    alone = rng.random((2, count, 1, 1)) > 0.08
    encoded *= alone[0] | ~alone[1]
    mel *= alone[1]


def _crop(scene: Scene, first: int, frames: int) -> Scene:
    arrays = {name: a for name, a in vars(scene).items() if a is not None}
    return Scene(**{n: _cut(a, first, frames, len(scene.encoded)) for n, a in arrays.items()})


def _cut(array: np.ndarray, first: int, frames: int, of: int) -> np.ndarray:
    """Return CROP frames of an array with one or two rows a frame, filled up with zeros."""
    each = len(array) // of
    piece = array[each * first : each * (first + frames)].astype(np.float32)
    return np.pad(piece, ((0, each * CROP - len(piece)), (0, 0)))


def _target(scene: Scene, style: Style) -> np.ndarray:
    if scene.measured is not None:
        return scene.measured.astype(np.float32)
    ordinary, effort, met = (
        a.astype(np.float32) for a in (scene.ordinary, scene.effort[:, 0], scene.contact)
    )
    return visemes.styled(ordinary, effort, met, STEP, style)
