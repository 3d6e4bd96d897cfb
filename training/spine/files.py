"""What a run leaves in its folder: its configuration, a checkpoint and a log of each stage."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...backend.errors import FurrowError
from ...backend.formats.files import whole_file, write_whole

CONFIG = "config.json"


def claim(folder: Path, settings: Mapping[str, Any], name: str = CONFIG) -> None:
    """Make a run's folder and write there what the run is of; go on where that is the same.

    Parameters
    ----------
    settings
        Plain data: everything that decides what is learned, and no more. The budget's ceiling in
        minutes, the device and the number of threads may change when a run goes on.
    name
        Of the file.

    Raises
    ------
    FurrowError
        If the folder holds a run of other settings: the message names what differs.
    """
    current = json.loads(json.dumps(settings))
    path = folder / name
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise FurrowError(f"{path} is damaged. Choose another folder.") from None
        if changes := differences(before, current):
            raise FurrowError(
                f"{folder} holds a run of another configuration: {'; '.join(changes)}. "
                "Choose another folder."
            )
        return
    write_whole(path, json.dumps(current, indent=1).encode() + b"\n")


def differences(before: Any, after: Any, name: str = "") -> list[str]:
    """What two settings differ in, as "encoder.rate was 0.004 and is 0.002"."""
    if isinstance(before, dict) and isinstance(after, dict):
        prefix = f"{name}." if name else ""
        return [
            change
            for key in sorted(before.keys() | after.keys())
            for change in differences(before.get(key), after.get(key), prefix + key)
        ]
    return [] if before == after else [f"{name or 'it'} was {before} and is {after}"]


def digest_of(*modules: nn.Module) -> str:
    """SHA-256 of networks' parameters and buffers, in their order."""
    digest = hashlib.sha256()
    for module in modules:
        for value in module.state_dict().values():
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain data; the file appears only when whole."""
    with whole_file(path) as temporary:
        torch.save(dict(content), temporary)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read tensors and plain data, onto the CPU; nothing in the file is executed."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FurrowError(f"There is no checkpoint {path}.", "missing_file") from None
    return content


def write_log(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write a log as CSV, a column for each name that any row has; what is not a number stays empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow({n: "" if math.isnan(v) else v for n, v in row.items()})
    write_whole(path, text.getvalue().encode())
