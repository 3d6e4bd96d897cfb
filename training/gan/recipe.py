"""What a run is made of: sizes and settings, by default those of StyleGAN2-ADA's automatic configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ...backend.detail.engines.stylegan2 import GanConfig
from ...backend.errors import FurrowError

STYLE_MIXING = 0.9
"""How often a map gets the styles of two w, changing over at a random layer."""

R1_INTERVAL, PATH_INTERVAL = 16, 4
"""Batches from one regularisation to the next: the gradient penalty's and the path length's."""

PATH_WEIGHT, PATH_DECAY, PATH_SHRINK = 2.0, 0.01, 2
"""Of the path length penalty: weight, speed of its mean, and part of the batch that it is measured on."""

ADA_INTERVAL = 4
"""Batches from one adjustment of the augmentation to the next."""

BFLOAT16_RESOLUTIONS = 4
"""Resolutions, from the highest, that compute in bfloat16 where it is asked for."""

SIZES = ("resolution", "channel_base", "channel_max", "mapping_layers", "group", "clamp")
"""Settings that networks are built by."""


@dataclass(frozen=True)
class Recipe:
    """Settings of a run.

    Attributes
    ----------
    resolution, channel_base, channel_max, mapping_layers, clamp, group
        Sizes of the networks (:class:`GanConfig`).
    batch
        Maps of one step, on all processes together.
    micro_batch
        Maps that a process computes at once; gradients of several add up to the batch's.
    learning_rate
        Adam's, for both networks.
    gamma
        Weight of the gradient penalty R1.
    ema_kimg, ema_ramp
        Half-life of the average of the generator's weights, in thousands of maps; while young, at
        most `ema_ramp` of the run so far (0: no such bound).
    ada_target, ada_kimg
        The share by which the discriminator shall be right about the data; and the thousands of maps
        in which the probability of augmentation can move by 1. A target of 0 turns it off.
    mirror
        Whether the mirror images of the maps are data too.
    bfloat16
        Whether the highest resolutions compute in bfloat16.
    seed
        Of all random numbers.
    """

    resolution: int
    channel_base: int
    channel_max: int
    mapping_layers: int
    batch: int
    micro_batch: int
    learning_rate: float
    gamma: float
    ema_kimg: float
    ema_ramp: float = 0.05
    ada_target: float = 0.6
    ada_kimg: float = 500.0
    mirror: bool = False
    bfloat16: bool = False
    seed: int = 0
    clamp: float | None = None
    group: int = 4

    def __post_init__(self) -> None:
        for name in (
            "mapping_layers",
            "batch",
            "micro_batch",
            "learning_rate",
            "ada_kimg",
            "group",
        ):
            if not getattr(self, name) > 0:
                raise FurrowError(f"--{name.replace('_', '-')} must be more than 0.")
        for name in ("gamma", "ema_kimg", "ema_ramp", "ada_target", "seed"):
            if not getattr(self, name) >= 0:
                raise FurrowError(f"--{name.replace('_', '-')} must not be less than 0.")
        _ = self.config  # refuses impossible sizes

    @property
    def config(self) -> GanConfig:
        """Sizes of the networks."""
        half = BFLOAT16_RESOLUTIONS if self.bfloat16 else 0
        return GanConfig(self.resolution, self.channel_base, self.channel_max, self.mapping_layers,
                         self.clamp, half, self.group)  # fmt: skip


def settings_in(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a :class:`Recipe` among options that were given."""
    names = {field.name for field in fields(Recipe)}
    return {name: value for name, value in options.items() if name in names}


def automatic(options: Mapping[str, Any], processes: int) -> Recipe:
    """The published automatic configuration for a resolution and a number of GPUs, where nothing else is given.

    Raises
    ------
    FurrowError
        For settings that are impossible, or a batch that the processes cannot share.
    """
    resolution = int(options["resolution"])
    base = options.get("channel_base", 32768 if resolution >= 512 else 16384)
    GanConfig(resolution, base)  # refuses impossible sizes
    batch = options.get("batch", max(min(processes * min(4096 // resolution, 32), 64), processes))
    settings: dict[str, Any] = {
        "resolution": resolution,
        "channel_base": base,
        "channel_max": max(1, min(512, base // 32)),
        "mapping_layers": 2,
        "batch": batch,
        "micro_batch": max(1, batch // processes),
        "learning_rate": 0.002 if resolution >= 1024 else 0.0025,
        "gamma": 0.0002 * resolution**2 / max(1, batch),
        "ema_kimg": batch * 10 / 32,
    }
    return share(Recipe(**settings | settings_in(options)), processes)


def resume(before: Mapping[str, Any], options: Mapping[str, Any], processes: int) -> Recipe:
    """The recipe of an earlier part of a run, with what is given now; sizes, batch and seed must stay."""
    recipe, now = Recipe(**before), settings_in(options)
    keep(before, now, (*SIZES, "batch", "seed"))
    return share(replace(recipe, **now), processes)


def from_networks(config: GanConfig, options: Mapping[str, Any], processes: int) -> Recipe:
    """The recipe for networks that have learned elsewhere: they keep their sizes, augmentation adapts fast."""
    sizes = {name: getattr(config, name) for name in SIZES}
    keep(sizes, options, SIZES)
    quick = {"ada_kimg": 100.0, "ema_ramp": 0.0}  # as published for such a start
    return automatic(quick | settings_in(options) | sizes, processes)


def keep(before: Mapping[str, Any], options: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise FurrowError if options that were given ask for others of these settings than there were."""
    for name in names:
        if name in options and options[name] != before[name]:
            raise FurrowError(
                f"The networks were begun with --{name.replace('_', '-')} {before[name]}, which cannot "
                f"become {options[name]}. Leave the option out, or begin another run."
            )


def share(recipe: Recipe, processes: int) -> Recipe:
    """Return the recipe if its batch can be shared among the processes; raises FurrowError."""
    if recipe.batch % processes:
        raise FurrowError(
            f"A batch of {recipe.batch} cannot be shared among {processes} processes; give --batch a multiple."
        )
    return replace(recipe, micro_batch=min(recipe.micro_batch, recipe.batch // processes))
