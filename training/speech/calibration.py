"""From what MediaPipe makes of a face to the weights of Furrow's head: a map learned from pictures.

MediaPipe's scores are no weights of this head: a small smile scores next to nothing, parted lips
count as a fallen jaw, a funnel as a pucker. So heads of several people were rendered in known poses
(``tools/landmarker_pictures.py``), seen by the landmarker, and a ridge regression learned what
the scores and the gap between the lips say about the weights; both are taken from the person at rest.

``python -m furrow.training.speech.calibration FOLDER LANDMARKER`` learns it anew.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

import numpy as np

from ...backend.errors import FurrowError
from ...backend.formats.expressions import EXPRESSIONS
from ...backend.formats.files import write_whole
from .tracking import Landmarker

FILE = Path(__file__).with_name("landmarker.json")

MEASURED = np.array([name.startswith(("jaw", "mouth", "cheek", "nose")) for name in EXPRESSIONS])
"""(52,): what films teach. MediaPipe does not tell tongueOut; eyes and brows are no matter of
speech, and `life` moves them."""

MOST_GAIN = 1.25

_STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # of the ridge, against inputs of variance 1
_NAMES = [name for name, measured in zip(EXPRESSIONS, MEASURED, strict=True) if measured]


def weights(scores: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Return the weights of Furrow's head, float32 (T, 52) in [0, 1], 0 for what is not measured.

    Parameters
    ----------
    scores
        MediaPipe's (T, 52) less those of the person at rest.
    gap
        Millimetres (T,) that the lips are further apart than when they are shut.
    """
    values = np.zeros((len(scores), len(EXPRESSIONS)), np.float32)
    values[:, MEASURED] = np.clip(_inputs(scores, gap) @ _matrix(), 0.0, 1.0)
    return values


def learn(
    scores: np.ndarray, gap: np.ndarray, poses: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the map (53, measured), its ridge, and its answers for people that it was not learned from.

    Parameters
    ----------
    scores, gap
        (people, poses, 52) and (people, poses), less those at rest.
    poses
        The weights (people, poses, 52).
    """
    inputs = np.stack([_inputs(*one) for one in zip(scores, gap, strict=True)])
    truth = poses[..., MEASURED]
    people = np.arange(len(inputs))

    def left_out(strength: float) -> np.ndarray:
        return np.stack([
            inputs[k] @ _ridge(inputs[people != k], truth[people != k], strength) for k in people
        ])  # fmt: skip

    answers = {strength: np.clip(left_out(strength), 0.0, 1.0) for strength in _STRENGTHS}
    best = min(_STRENGTHS, key=lambda s: float(((answers[s] - truth) ** 2).sum()))
    # A regression that is unsure answers with the mean: each weight gets its spread back, as the
    # speech network's do.
    spread = np.maximum(answers[best].std((0, 1)), 1e-3)
    gain = np.clip(truth.std((0, 1)) / spread, 1.0, MOST_GAIN)
    return _ridge(inputs, truth, best) * gain, best, np.clip(answers[best] * gain, 0.0, 1.0)


def _inputs(scores: np.ndarray, gap: np.ndarray) -> np.ndarray:
    return np.concatenate([np.nan_to_num(scores), 0.1 * gap[:, None]], axis=1)


def _ridge(inputs: np.ndarray, truth: np.ndarray, strength: float) -> np.ndarray:
    x, y = inputs.reshape(-1, inputs.shape[-1]), truth.reshape(-1, truth.shape[-1])
    scale = np.maximum(x.std(0), 0.02)  # a score that hardly moves is no witness
    x = x / scale
    return np.asarray(
        np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ y) / scale[:, None]
    )


@cache
def _matrix() -> np.ndarray:
    record = json.loads(FILE.read_text(encoding="utf-8"))
    assert record["weights"] == _NAMES
    return np.array(record["matrix"])


def _seen(folder: Path, landmarker: Path, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    from PIL import Image

    scores, gap = np.zeros((*shape, len(EXPRESSIONS))), np.zeros(shape)
    with Landmarker(landmarker) as model:
        for person, number in np.ndindex(*shape):
            path = folder / f"{person:02d}-{number:02d}.png"
            faces = model.faces(np.array(Image.open(path).convert("RGB")))
            if not faces:
                raise FurrowError(f"The landmarker finds no face in {path}.")
            scores[person, number], gap[person, number] = faces[0].scores, faces[0].gap
    return scores - scores[:, :1], gap - gap[:, :1]


def main(folder: Path, landmarker: Path) -> None:
    """Learn the map from the pictures in a folder, the first of each person at rest, and keep it."""
    with np.load(folder / "poses.npz", allow_pickle=False) as data:
        poses = data["weights"]
    scores, gap = _seen(folder, landmarker, poses.shape[:2])
    matrix, strength, answers = learn(scores, gap, poses)
    correlations = {
        name: round(float(np.corrcoef(answers[..., k].ravel(), moved.ravel())[0, 1]), 3)
        for k, name in enumerate(_NAMES)
        if (moved := poses[..., EXPRESSIONS.index(name)]).any()
    }
    record = {
        "pictures": int(np.prod(poses.shape[:2])),
        "people": len(poses),
        "ridge": strength,
        "mean_error_left_out": round(float(np.abs(answers - poses[..., MEASURED]).mean()), 4),
        "correlation_left_out": correlations,
        "inputs": [*EXPRESSIONS, "10 mm of lip gap"],
        "weights": _NAMES,
        "matrix": np.round(matrix, 4).tolist(),
    }
    text = json.dumps(record).replace("], [", "],\n[").replace(', "', ',\n"')
    write_whole(FILE, text.encode() + b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
