"""The mapping network: z (512 standard normal numbers) to W+, fitted to the codes of the encoder.

A flow (Lipman et al. 2023, "Flow matching"): a small network learns the velocity that carries a
normal cloud to the cloud of codes, in the coordinates of W+ that show in maps. The mapping network
takes a few midpoint steps of it, and a linear map to W+. It stands where StyleGAN2 has its mapping
network; that one learns with the generator, this one after it.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ...backend.detail.engines.torch_encoder import restored
from ...backend.detail.engines.torch_networks import W_SIZE
from ...backend.errors import FurrowError
from ...backend.formats.files import write_whole
from ...backend.formats.tensors import damaged
from ..export.detail import export_onnx, round_weights, write_tensors
from ..spine.schedule import averaged, lasting
from ..spine.stage import Budget, Stage, run
from .codes import Components

Z_SIZE = 512
FORMAT = "furrow.mapping/1"

TIME_FEATURES = 32

BATCH, RATE = 512, 1e-3
"""Codes of a step, and the learning rate at its highest."""


@dataclass(frozen=True)
class MappingConfig:
    """Sizes of a `Mapping`.

    Attributes
    ----------
    num_ws
        Styles of W+.
    coordinates
        k, how many coordinates of W+ vary; as many numbers of z are read, from the first on.
    width, layers
        Of the velocity's hidden layers.
    steps
        Midpoint steps from z to the coordinates.
    """

    num_ws: int
    coordinates: int = 64
    width: int = 384
    layers: int = 3
    steps: int = 4


class Mapping(nn.Module):
    """z to W+, as :func:`fit` makes it."""

    frequency: Tensor

    def __init__(self, config: MappingConfig) -> None:
        super().__init__()
        self.config = config
        k, width = config.coordinates, config.width
        sizes = (k + TIME_FEATURES, *[width] * config.layers, k)
        self.velocity_layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.styles = nn.Linear(k, config.num_ws * W_SIZE)
        frequency = torch.exp(torch.linspace(0.0, 4.0, TIME_FEATURES // 2))
        self.register_buffer("frequency", frequency)

    def forward(self, z: Tensor) -> Tensor:
        """Map z (N, 512), standard normal, to W+ (N, num_ws, 512), w_avg included."""
        styles: Tensor = self.styles(self.flow(z[:, : self.config.coordinates]))
        return styles.unflatten(1, (self.config.num_ws, W_SIZE))

    def flow(self, x: Tensor) -> Tensor:
        """Carry points (N, k), standard normal, to codes in coordinates of unit variance."""
        step = 1.0 / self.config.steps
        for number in range(self.config.steps):
            halfway = x + 0.5 * step * self.velocity(x, self._time(number * step))
            x = x + step * self.velocity(halfway, self._time((number + 0.5) * step))
        return x

    def velocity(self, x: Tensor, features: Tensor) -> Tensor:
        """Velocity (N, k) at points x (N, k), for features (1 or N, 32) of the time."""
        x = torch.cat([x, features.expand(x.shape[0], -1)], 1)
        for layer in self.velocity_layers[:-1]:
            x = F.leaky_relu(layer(x), 0.2)
        last: Tensor = self.velocity_layers[-1](x)
        return last

    def time_features(self, time: Tensor) -> Tensor:
        """Sines and cosines (N, 32) of times (N, 1) in [0, 1]."""
        angle = time * self.frequency
        return torch.cat([angle.sin(), angle.cos()], 1)

    def _time(self, time: float) -> Tensor:
        return self.time_features(self.frequency.new_full((1, 1), time))


def flow_matching(
    mapping: Mapping, codes: Tensor, batch: int = BATCH, rate: float = RATE, seed: int = 0
) -> Stage:
    """The stage, where the mapping lies: straight paths from noise to codes (N, k) are regressed on."""
    mapping.styles.requires_grad_(False)
    optimiser = torch.optim.Adam(mapping.velocity_layers.parameters(), rate, betas=(0.9, 0.99))
    codes = codes.to(mapping.frequency.device)

    def learn(stage: Stage, rng: np.random.Generator) -> dict[str, Tensor]:
        end = codes[torch.randint(len(codes), (stage.batch,))]
        start, time = torch.randn_like(end), torch.rand(len(end), 1).to(end)
        at = torch.lerp(start, end, time)
        error = mapping.velocity(at, mapping.time_features(time)) - (end - start)
        loss = error.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"loss": loss}

    networks = {"mapping": mapping}
    averages = {"mapping": averaged(mapping, lambda count: lasting(count - 1))}
    return Stage(
        "mapping", networks, {"mapping": optimiser}, learn, averages, seed=seed, batch=batch
    )


def fit(
    components: Components,
    config: MappingConfig,
    budget: Budget,
    seed: int = 0,
    folder: Path | None = None,
    where: torch.device | str = "cpu",
    batch: int = BATCH,
    rate: float = RATE,
) -> Mapping:
    """Learn the flow from a normal cloud to codes; goes on where `folder` holds a checkpoint.

    A linear map then gives the samples the codes' mean and covariance, which a network that
    averages falls short of.
    """
    torch.manual_seed(seed)
    mapping = Mapping(config).to(where)
    deviation = _deviation(components)
    stage = flow_matching(mapping, components.values / deviation, batch, rate, seed)
    run(stage, folder, budget, "furrow train space")
    mapping.load_state_dict(stage.averages["mapping"].module.state_dict())
    mapping.cpu().requires_grad_(False)
    _set_styles(mapping, components, deviation)
    return mapping.eval()


def _deviation(components: Components) -> Tensor:
    """Standard deviations (k,) of the coordinates, above zero where one does not vary."""
    deviation = components.values.std(0)
    return deviation.clamp(min=1e-6 * float(deviation.max()))


@torch.no_grad()
def _set_styles(mapping: Mapping, components: Components, deviation: Tensor) -> None:
    """Set the linear map from the flow's end to W+, and mend mean and covariance on the way."""
    ends = mapping.flow(torch.randn(16000, mapping.config.coordinates))
    mend = transport(ends, components.values / deviation)
    back = mend @ (deviation[:, None] * components.back)
    mapping.styles.weight.copy_(back.T)
    mean = components.mean + components.values.mean(0) @ components.back
    mapping.styles.bias.copy_(mean - ends.mean(0) @ back)


def transport(source: Tensor, target: Tensor) -> Tensor:
    """The linear map (k, k) that gives centred points (n, k) the covariance of others, moving them least.

    S^(-1/2) (S^(1/2) T S^(1/2))^(1/2) S^(-1/2): optimal transport between normal distributions.
    """
    covariance, goal = (torch.cov(points.T).double() for points in (source, target))
    root, inverse = _power(covariance, 0.5), _power(covariance, -0.5)
    return (inverse @ _power(root @ goal @ root, 0.5) @ inverse).float()


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of a symmetric positive matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=1e-10) ** exponent @ vectors.T


def gaussian(components: Components, config: MappingConfig) -> Mapping:
    """A mapping that only has the codes' mean and covariance: what :func:`fit` must beat."""
    mapping = Mapping(config)
    last = mapping.velocity_layers[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)  # no velocity: points stay where they are
    nn.init.zeros_(last.bias)
    _set_styles(mapping, components, _deviation(components))
    return mapping.eval()


def export(mapping: Mapping, folder: Path, record: dict[str, Any]) -> None:
    """Write ``mapping.onnx`` (z (1, 512) to w (1, num_ws, 512)), ``.safetensors`` and ``.json``.

    Parameters
    ----------
    mapping
        Changed in place by rounding to what the files hold.
    record
        What else ``mapping.json`` shall say: of which generator, data, seed.
    """
    round_weights(mapping)
    export_onnx(mapping, {"z": torch.zeros(1, Z_SIZE)}, ["w"], folder / "mapping.onnx")
    write_tensors(mapping, folder / "mapping.safetensors")
    data = {"format": FORMAT, "mapping": asdict(mapping.config), **record}
    write_whole(folder / "mapping.json", json.dumps(data, indent=1).encode() + b"\n")


def load_mapping(folder: str | Path) -> Mapping:
    """Load the mapping network from ``mapping.json`` and ``mapping.safetensors`` in `folder`.

    Raises
    ------
    FurrowError
        If a file is missing, damaged, or does not fit the other.
    """
    folder = Path(folder)
    description, weights = folder / "mapping.json", folder / "mapping.safetensors"
    try:
        data = json.loads(description.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"it is not of the format {FORMAT}")
        mapping = Mapping(MappingConfig(**data["mapping"]))
        state = restored(load_file(weights))
    except FileNotFoundError:
        raise FurrowError(
            f"{folder} holds no mapping network. Learn one: furrow train space.", "missing_model"
        ) from None
    except SafetensorError as error:
        raise damaged(weights, error) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(description, error) from None
    try:
        mapping.load_state_dict(state)
    except RuntimeError:  # PyTorch lists every parameter
        reason = "its parameters are not those that mapping.json describes"
        raise damaged(weights, reason) from None
    return mapping.eval()
