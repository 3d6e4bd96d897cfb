"""`furrow evaluate portable`: portable heads against the exact model, in micrometres and LPIPS."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...backend.detail import wrinkle_samples
from ...backend.detail.detail_model import DetailModel, resample
from ...backend.detail.engines import engines
from ...backend.detail.live import LiveMaps
from ...backend.detail.map_error import error_of, skin_texels
from ...backend.detail.wrinkle_basis import COMPONENTS, CORRECTIVES, Regression, Source
from ...backend.formats.expressions import FACESCAPE_PRESETS, vector
from ...backend.formats.figures import Figure
from ...backend.formats.files import ASSETS
from ...backend.formats.identity import Identity
from ...backend.head.bilinear import Head
from ...backend.speech.speech_model import SpeechModel
from ..corpus.chart import chart
from ..corpus.pictures import brightness
from ..networks.perceptual import lpips
from ..spine import machine

SEEDS = (1, 2, 3)
"""Of the random people that are measured beside the average one."""

EACH = 24
"""Frames of speech and strong mixtures, for each person; posed expressions are FaceScape's 19."""

LPIPS_RESOLUTION = 512
"""Of the shaded maps that LPIPS compares."""

_STRONG_SEED = 2
"""Of strong mixtures: other ones than those a basis is fitted and checked with."""

Method = Callable[[np.ndarray], np.ndarray]
"""From an expression (52,) to a map (R, R) mm."""


@dataclass
class Errors:
    """Of one method on one kind of expression: differences on skin in mm, and distances LPIPS."""

    mm: list[np.ndarray] = field(default_factory=list)
    lpips: list[float] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``furrow evaluate portable``."""
    parser.add_argument(
        "--assets", type=Path, default=engines.DETAIL, help="networks to compare with"
    )
    parser.add_argument("--speech", type=Path, default=ASSETS / "demo" / "hello.wav", metavar="WAV")
    parser.add_argument(
        "--each", type=int, default=EACH, help="expressions of speech, and strong ones"
    )
    parser.add_argument("--people", type=int, default=1 + len(SEEDS), help="1 to 4")
    machine.add_threads(parser)


@torch.inference_mode()
def run(args: argparse.Namespace) -> list[Figure]:
    """Figures of every method on speech, poses and strong mixtures; about 6 minutes on 2 cores.

    Methods: ``still`` keeps the neutral map; ``live`` is the linear part with the rest of the
    neutral map; ``k4`` to ``k32`` are bases of so many components, ``k4_linear`` to ``k32_linear``
    those without correctives.
    """
    machine.set_threads(args.threads)
    head = Head.load()
    model = DetailModel(engines.load("ort", args.assets), args.assets)
    random = np.random.RandomState(_STRONG_SEED)
    spoken = SpeechModel.load().weights(args.speech, 30.0).values.astype(np.float32)
    kinds = {
        "speech": spoken[np.linspace(0, len(spoken) - 1, args.each).round().astype(int)],
        "posed": np.stack([vector(preset) for preset in FACESCAPE_PRESETS.values() if preset]),
        "strong": wrinkle_samples.strong_mixtures(random, args.each, 0.3, 0.3),
    }
    errors: dict[tuple[str, str], Errors] = {}
    comparison = Comparison(head, model)
    people = [head.average(), *map(head.random, SEEDS)][: args.people]
    for person in tqdm(people, "people", unit="person", disable=None):
        methods = dict(methods_of(model, person))
        for kind, expressions in kinds.items():
            for expression in expressions:
                comparison.compare(methods, kind, person, expression, errors)
    return [figure for key, value in errors.items() for figure in summary(*key, value)]


def methods_of(model: DetailModel, person: Identity) -> Iterator[tuple[str, Method]]:
    """The methods by name, for one person."""
    source, size = Source(model, person), model.resolution
    neutral = np.zeros(52, np.float32)
    still = source.exact(neutral, size)
    yield "still", lambda _expression: still
    live = LiveMaps(model.engine)
    live.settle("head", source.styles(neutral), still)
    yield "live", lambda expression: _settled(live.map("head", source.styles(expression), size))
    regression = Regression(source)
    for suffix, correctives in (("_linear", 0), ("", CORRECTIVES)):
        hinges = regression.choose(correctives)
        for components in COMPONENTS:
            yield f"k{components}{suffix}", regression.basis(hinges, size, components).map


def _settled(map_mm: np.ndarray | None) -> np.ndarray:
    assert map_mm is not None  # it was settled
    return map_mm


class Comparison:
    """Compares maps with the exact ones, on the skin that shows."""

    def __init__(self, head: Head, model: DetailModel) -> None:
        self._model = model
        self._skin = skin_texels(head, model.resolution)
        self._small_skin = torch.from_numpy(skin_texels(head, LPIPS_RESOLUTION)).float()
        self._texel_mm = float(np.median(chart(head, LPIPS_RESOLUTION).texel_mm))
        self._metric = lpips()

    def compare(
        self,
        methods: dict[str, Method],
        kind: str,
        person: Identity,
        expression: np.ndarray,
        errors: dict[tuple[str, str], Errors],
    ) -> None:
        """Measure every method on one expression; adds to `errors` by kind and method."""
        exact = self._model.map(person, expression, self._model.resolution)
        aim = self._layers(exact)
        for name, method in methods.items():
            image = method(expression)
            entry = errors.setdefault((kind, name), Errors())
            # Every third texel along each side says as much, in a ninth of the memory.
            entry.mm.append((image - exact)[::3, ::3][self._skin[::3, ::3]])
            entry.lpips.append(float(self._metric.compare(aim, self._layers(image))))

    def _layers(self, map_mm: np.ndarray) -> list[torch.Tensor]:
        """What AlexNet sees of a map under light from the side."""
        shading = brightness(resample(map_mm, LPIPS_RESOLUTION), self._texel_mm)
        grey = (torch.from_numpy(shading).float() * 2 - 1) * self._small_skin
        return self._metric.layers.of_picture(grey.expand(1, 3, -1, -1))


def summary(kind: str, method: str, errors: Errors) -> list[Figure]:
    """A method's figures on one kind of expression."""
    error = error_of(np.concatenate(errors.mm))
    name = f"portable_{kind}_{method}"
    return [
        Figure(f"{name}_rms_um", error.rms, "um"),
        Figure(f"{name}_p99_um", error.p99, "um"),
        Figure(f"{name}_largest_um", error.largest, "um"),
        Figure(f"{name}_lpips", float(np.mean(errors.lpips)), ""),
    ]
