"""The encoder in PyTorch, (a, b) to W+, and what reading networks' files takes; on demand only.

`Encoder` is the fully connected network of DNPM. It stands before either generator: the lean one of
`torch_networks`, or the standard one of `stylegan2`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ...errors import FurrowError
from ...formats.tensors import damaged
from .torch_layers import W_SIZE


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of an `Encoder`.

    Attributes
    ----------
    identity
        K + 16 identity coefficients.
    expression
        52 expression weights.
    split
        Styles read from layers 3, 4 and 5.
    hidden
        Two widths: layers 3 to 5 are the styles themselves, as in the paper, whose 113 M
        parameters are (7680, 7680) with 9/5/4 styles. Five widths: every layer is as wide as said
        and layers 3 to 5 have linear heads to the styles.
    """

    identity: int
    expression: int
    split: tuple[int, int, int]
    hidden: tuple[int, ...]


class Encoder(nn.Module):
    """Identity and expression to W+: fully connected, ReLU, [a, b] again after the first layer."""

    shift: Tensor
    gain: Tensor
    w_avg: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.num_ws = sum(config.split)
        size = config.identity + config.expression
        first, second = config.hidden[:2]
        self.layer1 = nn.Linear(size, first)
        self.layer2 = nn.Linear(first + size, second)
        outputs = [count * W_SIZE for count in config.split if count]
        widths = config.hidden[2 : 2 + len(outputs)] or tuple(outputs)
        self.trunk = nn.ModuleList(
            nn.Linear(a, b) for a, b in zip((second, *widths[:-1]), widths, strict=True)
        )
        self.heads = nn.ModuleList(
            nn.Linear(a, b) if config.hidden[2:] else nn.Identity()
            for a, b in zip(widths, outputs, strict=True)
        )
        # Inputs are brought to a like range, so that a step of Adam means as much for each of them.
        for layer in (self.layer1, self.layer2, *self.trunk, *self.heads):
            if isinstance(
                layer, nn.Linear
            ):  # He: signals keep their size, so that W+ varies from the start
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        self.register_buffer("shift", torch.zeros(size))
        self.register_buffer("gain", torch.ones(size))
        self.register_buffer("w_avg", torch.zeros(self.num_ws, W_SIZE))

    def forward(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Encode.

        Parameters
        ----------
        identity
            (N, K + 16): shape in standard deviations, then skin in [0, 1].
        expression
            (N, 52) weights in [0, 1].

        Returns
        -------
        Tensor
            (N, num_ws, 512): w_avg + E(a, b).
        """
        read = zip(self.heads, self.features(identity, expression), strict=True)
        styles = [head(x) for head, x in read]
        return torch.cat(styles, 1).unflatten(1, (self.num_ws, W_SIZE)) + self.w_avg

    def features(self, identity: Tensor, expression: Tensor) -> list[Tensor]:
        """What the heads of layers 3, 4 and 5 read."""
        both = (torch.cat([identity, expression], 1) - self.shift) * self.gain
        x = F.relu(self.layer1(both))
        x = F.relu(self.layer2(torch.cat([x, both], 1)))
        features = []
        for layer in self.trunk:
            raw = layer(x)
            x = F.relu(raw)
            # Without heads the layer is the style and stays linear: a ReLU would keep W+ positive.
            features.append(x if self.config.hidden[2:] else raw)
        return features


def encoder_config(description: dict[str, Any]) -> EncoderConfig:
    """Read the encoder's sizes from the content of ``detail.json``."""
    return EncoderConfig(**with_tuples(description["encoder"]))


def with_tuples(sizes: dict[str, Any]) -> dict[str, Any]:
    """Sizes as JSON holds them, lists made the tuples that configurations have."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in sizes.items()}


SCALE_SUFFIX = ".scale"
"""Beside an int8 tensor NAME in a .safetensors file stands NAME.scale: value = int8 x scale."""


def restored(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters in float32 from those that are stored in 8 bits, with a scale for each row."""
    return {
        name: value.float() * state[name + SCALE_SUFFIX] if value.dtype == torch.int8 else value
        for name, value in state.items()
        if not name.endswith(SCALE_SUFFIX)
    }


def read_description(folder: Path) -> dict[str, Any]:
    """Read ``detail.json`` of networks in a folder; raises FurrowError where it is missing or damaged."""
    path = folder / "detail.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FurrowError(f"A detail network is missing: {error}.", "missing_model") from None
    except ValueError as error:
        raise damaged(path, error) from None
    if not isinstance(description, dict):
        raise damaged(path, "it holds no object")
    return description


def read_state(
    network: nn.Module, path: Path, convert: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> None:
    """Give a network the state that `convert` makes of a file's tensors; raises FurrowError."""
    try:
        network.load_state_dict(convert(load_file(path)))
    except FileNotFoundError:
        raise FurrowError(
            f"The network {path} is missing. Install Furrow again.", "missing_model"
        ) from None
    except SafetensorError as error:
        raise damaged(path, error) from None
    except (KeyError, RuntimeError):  # names or sizes of parameters; PyTorch lists them all
        reason = "its parameters are not those that detail.json describes"
        raise damaged(path, reason) from None
