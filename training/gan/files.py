"""What a run leaves: the averaged generator, the curves, and pictures of its maps."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
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
from ..spine.files import read_checkpoint
from ..spine.guard import restoring

FORMAT = "furrow.gan/1"

COMMAND = "furrow train gan"

_COLUMNS, _TILE = 4, 256

_TEXEL_MM = 1.1
"""Of a tile of 256 texels on a face, roughly, in our layout. Smaller tiles are drawn as steep as that,
or nothing would be seen in them."""


def write_generator(path: Path, generator: Generator, kimg: float) -> None:
    """Write a generator as safetensors; its sizes and unit are in the file. It computes in float32."""
    sizes = asdict(replace(generator.config, bfloat16_resolutions=0))
    facts = {"format": FORMAT, "config": json.dumps(sizes), "kimg": f"{kimg:g}"}
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


def load_run(path: Path) -> dict[str, Any]:
    """Load a run's checkpoint; raises FurrowError if it is missing, damaged or another network's."""
    with restoring(path, COMMAND):
        content = read_checkpoint(path)
        if content["format"] != FORMAT:
            raise ValueError(f'its format is not "{FORMAT}"')
    return content


def write_curves(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Write a run's log as CSV, one row a tick; what was not measured in a tick stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[-1]) if rows else [])
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if math.isnan(value) else value for name, value in row.items()})
    write_whole(path, text.getvalue().encode())


def write_preview(path: Path, maps_mm: Tensor) -> None:
    """Draw maps (N, 1, R, R) in mm under light from the side, four in a row, as one grey PNG."""
    resolution = maps_mm.shape[-1]
    tile = min(resolution, _TILE)
    small = torch.nn.functional.avg_pool2d(maps_mm.float(), resolution // tile)
    tiles = [shaded(image.numpy(), _TEXEL_MM) for image in small[:, 0].cpu()]
    rows = [np.hstack(tiles[k : k + _COLUMNS]) for k in range(0, len(tiles), _COLUMNS)]
    with whole_file(path) as temporary:
        Image.fromarray(np.vstack(rows)).save(temporary, optimize=True)
