"""What a run trains: the networks' sizes and the choices of the training, from a configuration file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from ...backend.detail.engines.torch_networks import (
    Encoder,
    EncoderConfig,
    Synthesis,
    SynthesisConfig,
    map_style,
    style_split,
)
from ...backend.errors import FurrowError
from ...backend.formats.identity import SKIN
from ..networks.inputs import SHAPE_GAIN, SKIN_GAINS, scale_inputs
from ..spine.stage import Budget

CONFIGS = Path(__file__).parent / "configs"
SHIPPED = CONFIGS / "shipped.json"
"""The recipe of the networks in assets/detail."""


@dataclass(frozen=True)
class StageOptions:
    """Budget and choices of one stage.

    Attributes
    ----------
    steps, minutes
        As :class:`..spine.stage.Budget` takes them: minutes are a ceiling, none as a rule.
    batch
        Samples of a step.
    rate
        Of learning, at its highest.
    """

    steps: int
    batch: int = 8
    rate: float = 2e-3
    minutes: float | None = None

    @property
    def budget(self) -> Budget:
        """How long the stage learns."""
        return Budget(self.steps, self.minutes)


@dataclass(frozen=True)
class Options:
    """A run's configuration: what its JSON file may say; the defaults are the shipped recipe's sizes.

    Attributes
    ----------
    resolution
        R of the networks.
    basis_images
        Of `SynthesisConfig`; bases stand at R / 4 and R / 2.
    hidden
        Five widths of the encoder.
    unit_mm
        Millimetres of one raw unit of the synthesis.
    people, expressions
        Of the set at R / 2, which the bases learn from and the encoder does not.
    bases_people
        How many of those the bases are fitted on.
    fine_people, fine_expressions
        People drawn at R / 2 for both styles of the encoder, after those.
    coarse_people
        People drawn at R / 4 for the encoder's coarse style, after the first `people`.
    relief_people
        People of the set at R, with relief.
    shape_gain
        How much the shape coefficients count as inputs of the encoder: little here, since this
        corpus folds by skin coefficients alone; 1 for FaceScape.
    skin_gains
        How much single skin coefficients count, 1 unless named. Lines move by many of their widths
        as these coefficients go from 0 to 1: a network finds that slowly from inputs of size 1.
    amplitude
        0 to 1, see `regression.restore_amplitude`.
    basis_gains
        Of the coarse and the fine basis: what makes up for the energy that they leave out; chosen
        by the band energies of people held back.
    weight_decay
        Of the encoder (AdamW).
    bfloat16
        Whether products are computed in it, where the machine does so.
    encoder, relief, mapping
        The stages.
    mapping_people, direction_people
        Whose codes the mapping network is fitted to, and whose the directions are sought among.
    test_people
        Of the set at R whose energy the figures are of.
    """

    resolution: int = 1024
    basis_images: tuple[int, ...] = (0, 0, 0, 0, 32, 8, 0)
    hidden: tuple[int, ...] = (1024, 1024, 512, 512, 256)
    unit_mm: float = 0.07
    seed: int = 0
    people: int = 750
    expressions: int = 8
    bases_people: int = 512
    fine_people: int = 1400
    fine_expressions: int = 16
    coarse_people: int = 11275
    relief_people: int = 240
    shape_gain: float = SHAPE_GAIN
    skin_gains: dict[str, float] = field(default_factory=lambda: dict(SKIN_GAINS))
    amplitude: float = 1.0
    basis_gains: tuple[float, float] = (1.0, 1.0)
    weight_decay: float = 0.3
    bfloat16: bool = True
    encoder: StageOptions = StageOptions(36_909, 256, 4e-3)
    relief: StageOptions = StageOptions(5_290, 8, 2e-3)
    mapping: StageOptions = StageOptions(6_000, 512, 1e-3)
    mapping_people: int = 40_000
    direction_people: int = 1_000
    test_people: int = 60

    @property
    def styles(self) -> list[int]:
        """Indices of the styles that the encoder learns: the two bases' and the relief's."""
        size = self.resolution
        return [map_style(size // 4), map_style(size // 2), map_style(size)]


def read_options(path: Path) -> Options:
    """Read a configuration; what it does not name keeps its default.

    Raises
    ------
    FurrowError
        If the file is missing, is no JSON object, or names an option that does not exist.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FurrowError(f"There is no configuration {path}.", "missing_file") from None
    except ValueError as error:
        raise FurrowError(f"{path} is no JSON file: {error}.") from None
    if not isinstance(content, dict):
        raise FurrowError(f"{path} is no configuration: it holds no object.")
    return _build(Options, content, path)


STAGES = ("encoder", "relief", "mapping")


def settings(options: Options) -> dict[str, Any]:
    """What decides a run: all options but the ceilings in minutes."""
    content = dataclasses.asdict(options)
    for stage in STAGES:
        del content[stage]["minutes"]
    return content


def _build(kind: Any, content: dict[str, Any], path: Path) -> Any:
    names = {f.name for f in dataclasses.fields(kind)}
    if unknown := sorted(set(content) - names):
        raise FurrowError(
            f"{path} names {', '.join(unknown)}, which {'is no option' if len(unknown) == 1 else 'are no options'}. "
            f"There are: {', '.join(sorted(names))}."
        )
    values = {
        name: _build(StageOptions, value, path)
        if name in STAGES
        else tuple(value)
        if isinstance(value, list)
        else value
        for name, value in content.items()
    }
    if unknown := sorted(set(values.get("skin_gains", {})) - set(SKIN)):
        raise FurrowError(
            f"{path} gives a gain to {', '.join(unknown)}; skin has {', '.join(SKIN)}."
        )
    try:
        return kind(**values)
    except TypeError as error:  # a stage without steps
        raise FurrowError(f"{path} is no configuration: {error}.") from None


class Networks(nn.Module):
    """Encoder and synthesis of a run, as one module."""

    def __init__(self, encoder: Encoder, synthesis: Synthesis) -> None:
        super().__init__()
        self.encoder, self.synthesis = encoder, synthesis


def networks(options: Options, sizes: tuple[int, int], texel_mm: float) -> Networks:
    """Untrained networks for `sizes` = (K + 16, 52) inputs and texels of `texel_mm` at R."""
    split = style_split(options.resolution)
    encoder = Encoder(EncoderConfig(*sizes, split, options.hidden))
    scale_inputs(encoder, options.shape_gain, options.skin_gains)
    synthesis = Synthesis(
        SynthesisConfig(options.resolution, (), (), options.basis_images, texel_mm)
    )
    synthesis.scale.fill_(options.unit_mm)
    return Networks(encoder, synthesis)
