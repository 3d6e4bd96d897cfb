"""Writes a trained speech network: listener.onnx and decoder.onnx for ONNX Runtime, speech.safetensors
to learn on from, speech.json.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ...backend.errors import FurrowError
from ...backend.formats.expressions import EXPRESSIONS
from ...backend.formats.files import whole_file, write_whole
from ...backend.liveliness.performance import STYLE_SIZE
from ...backend.speech.features import MEL, SUBFRAMES
from . import visemes
from .network import FUTURE, PAST, Config, SpeechNetwork, Step

FORMAT = "furrow.speech/2"


class _Played(nn.Module):
    """A step whose rows are as they are used: weights with their gain, probabilities of contact."""

    def __init__(self, network: SpeechNetwork) -> None:
        super().__init__()
        self.step = Step(network)
        self.register_buffer("gain", network.gain.clone())

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows, keys, values = self.step(*inputs)
        said = rows[..., : len(EXPRESSIONS)].clamp(0, 1)
        contact = torch.sigmoid(rows[..., len(EXPRESSIONS) :])
        used = torch.cat([(said * self.gain).clamp(0, 1), contact], dim=-1)
        return used, said.flatten(1), keys, values


def export(network: SpeechNetwork, folder: Path, about: dict, encoder: Path | None = None) -> None:
    """Write the four files into a folder; `about` goes into speech.json and holds `config`.

    An encoder in Moonshine's place is copied beside them.
    """
    network.eval()
    hashes = {}
    if encoder is not None:
        about = about | {"encoder": encoder.name}
        if encoder.resolve() != (folder / encoder.name).resolve():
            write_whole(folder / encoder.name, encoder.read_bytes())
    with whole_file(folder / "speech.safetensors") as path:
        save_file({n: t.half().contiguous() for n, t in network.state_dict().items()}, path)
        hashes["speech.safetensors"] = hashlib.sha256(path.read_bytes()).hexdigest()
    with whole_file(folder / "listener.onnx") as path:
        torch.onnx.export(
            network.listener,
            (torch.zeros(1, 80, network.config.encoded), torch.zeros(1, 80, MEL)),
            str(path),
            input_names=["encoded", "mel"],
            output_names=["memory"],
            dynamic_axes={n: {1: "frames"} for n in ("encoded", "mel", "memory")},
            dynamo=False,  # the older exporter needs no further package
        )
        hashes["listener.onnx"] = hashlib.sha256(path.read_bytes()).hexdigest()
    step = _Played(network).eval()
    config = network.config
    previous, keys, values = step.step.begin(1)
    masks = step.step.masks(0)
    inputs = (
        torch.zeros(1, config.near + 1, config.width),
        masks[0].float(),
        torch.zeros(1, STYLE_SIZE),
        previous,
        torch.zeros(1, dtype=torch.int64),
        masks[1].float(),
        keys,
        values,
    )
    with whole_file(folder / "decoder.onnx") as path:
        torch.onnx.export(
            step,
            inputs,
            str(path),
            input_names=[
                *("near", "near_mask", "style", "previous", "phase", "mask", "keys", "values")
            ],
            output_names=["rows", "said", "next_keys", "next_values"],
            dynamo=False,
        )
        hashes["decoder.onnx"] = hashlib.sha256(path.read_bytes()).hexdigest()
    about = {
        "format": FORMAT,
        "past": PAST,
        "future": FUTURE,
        "subframes": SUBFRAMES,
        **about,
        "gain": [round(x, 3) for x in network.gain.tolist()],
        "sha256": hashes,
    }
    write_whole(folder / "speech.json", json.dumps(about, indent=1).encode() + b"\n")


def load(folder: Path) -> SpeechNetwork:
    """Return the network that :func:`export` wrote, to learn on from.

    Raises
    ------
    FurrowError
        ``missing_model`` if the files are not there, or do not fit this code.
    """
    try:
        about = json.loads((folder / "speech.json").read_text(encoding="utf-8"))
        network = SpeechNetwork(Config(**about["config"]), len(visemes.PHONES))
        state = load_file(folder / "speech.safetensors")
        network.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    except Exception as error:  # json, safetensors and torch raise many kinds
        raise FurrowError(
            f"The speech network in {folder} cannot be loaded ({error}).", "missing_model"
        ) from None
    return network.eval()
