"""What a run leaves: the averaged generator, the curves, and pictures of its maps."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...backend.detail.engines.stylegan2 import GanConfig
from ...backend.errors import FurrowError
from ...backend.formats.files import whole_file, write_whole
from ..corpus.pictures import shaded
from ..networks.stylegan2 import Generator
from ..networks.stylegan_pickle import read_networks

FORMAT = "furrow.gan/1"

COMMAND = "furrow train gan"

_COLUMNS, _TILE = 4, 256

_TEXEL_MM = 1.1
"""Of a tile of 256 texels on a face, roughly, in our layout. Smaller tiles are drawn as steep as that,
or nothing would be seen in them."""


def write_generator(path: Path, generator: Generator, kimg: float | None = None) -> None:
    """Write a generator as safetensors; its sizes and unit are in the file. It computes in float32.

    `kimg` says how many thousand maps it has learned from, where that is known.
    """
    sizes = asdict(replace(generator.config, bfloat16_resolutions=0))
    facts = {"format": FORMAT, "config": json.dumps(sizes)}
    if kimg is not None:
        facts["kimg"] = f"{kimg:g}"
    state = {name: value.contiguous() for name, value in generator.state_dict().items()}
    with whole_file(path) as temporary:
        save_file(state, temporary, metadata=facts)


def load_generator(path: Path) -> Generator:
    """Load what :func:`write_generator` wrote, in evaluation mode.

    Raises
    ------
    FurrowError
        If the file is missing, damaged or another network's.
    """
    if not path.is_file():
        raise FurrowError(f"There is no generator {path}.", "missing_file")
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            if facts.get("format") != FORMAT:
                raise ValueError(f'its format is not "{FORMAT}"')
            generator = Generator(GanConfig(**json.loads(facts["config"])))
            generator.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FurrowError(f"{path} is no generator of `furrow train gan`: {error}.") from None
    return generator.eval().requires_grad_(False)


def is_standard(source: Path) -> bool:
    """Whether a folder or file holds a generator of this recipe, or one from stylegan2-ada-pytorch."""
    if source.suffix == ".pkl":
        return True
    try:
        with safe_open(_generator_file(source), "pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (OSError, SafetensorError):
        return False


def read_generator(source: Path, unit_mm: float | None = None) -> Generator:
    """Read a generator from a run's folder, a folder of networks, its file, or somebody's .pkl.

    Parameters
    ----------
    unit_mm
        What 1 in the maps of a .pkl is in millimetres, which such a file does not say.

    Raises
    ------
    FurrowError
        If the file is missing, damaged or another network's, or the unit of a .pkl is not given.
    """
    if source.suffix != ".pkl":
        if unit_mm is not None:
            raise FurrowError(f"--unit-mm is for a .pkl; {source} says itself what its unit is.")
        return load_generator(_generator_file(source))
    if unit_mm is None or not unit_mm > 0:
        raise FurrowError(
            f"{source} does not say how deep its maps are. Give --unit-mm, the millimetres of 1 in them."
        )
    networks = read_networks(source)
    generator = Generator(networks.config)
    generator.load_state_dict(networks.average | {"unit_mm": torch.tensor(unit_mm)})
    return generator.eval().requires_grad_(False)


def _generator_file(source: Path) -> Path:
    return source / "generator.safetensors" if source.is_dir() else source


def read_config(folder: Path) -> dict[str, Any] | None:
    """Read what a run was begun with: recipe, digest and unit of its set; None where there is no run.

    Raises
    ------
    FurrowError
        If the file is damaged or another command's.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if config["format"] != FORMAT:
            raise ValueError(f'its format is not "{FORMAT}"')
        return {name: config[name] for name in ("recipe", "set", "unit_mm")}
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise FurrowError(
            f"{path} is damaged or no run of `{COMMAND}`: {error}. Begin another run, in another folder."
        ) from None


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Write what :func:`read_config` reads."""
    write_whole(
        folder / "config.json", json.dumps({"format": FORMAT} | config, indent=1).encode() + b"\n"
    )


def write_preview(path: Path, maps_mm: Tensor) -> None:
    """Draw maps (N, 1, R, R) in mm under light from the side, four in a row, as one grey PNG."""
    resolution = maps_mm.shape[-1]
    tile = min(resolution, _TILE)
    small = torch.nn.functional.avg_pool2d(maps_mm.float(), resolution // tile)
    tiles = [shaded(image.numpy(), _TEXEL_MM) for image in small[:, 0].cpu()]
    rows = [np.hstack(tiles[k : k + _COLUMNS]) for k in range(0, len(tiles), _COLUMNS)]
    with whole_file(path) as temporary:
        Image.fromarray(np.vstack(rows)).save(temporary, optimize=True)
