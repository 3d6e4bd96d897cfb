"""Reads the networks in a .pkl of stylegan2-ada-pytorch, without running anything that it holds.

Such a file is a Python pickle, and its networks carry the source code of their classes, which the
original reader executes. Here a pickle may only build containers, numbers and tensors: a network
becomes a record of its attributes, in whose ``_modules``, ``_parameters`` and ``_buffers`` the
weights lie, and the source is never looked at. Any other name in the file is refused. A user's
networks are their own; Furrow carries none.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...backend.detail.engines.stylegan2 import GanConfig, LowPass
from ...backend.errors import FurrowError
from .stylegan2 import Discriminator, Generator

State = dict[str, Tensor]


@dataclass(frozen=True)
class Imported:
    """What a file holds, as states of our networks.

    Attributes
    ----------
    config
        Their sizes.
    average
        State of a `Generator`: the moving average G_ema, the one to make maps with.
    generator, discriminator
        States of `Generator` and `Discriminator` to go on training with, or None where the file has
        the average alone.
    """

    config: GanConfig
    average: State
    generator: State | None
    discriminator: State | None


def read_networks(path: Path) -> Imported:
    """Read the networks of a stylegan2-ada-pytorch .pkl, unconditional and with one channel.

    Raises
    ------
    FurrowError
        If the file is missing, damaged or no such pickle; if it wants to run code; or if its
        networks are of another kind than ours.
    """
    try:
        with path.open("rb") as file:
            content = _Unpickler(file).load()
        networks = {name: _Record.of(content[name]) for name in ("G_ema", "G", "D")
                    if content.get(name) is not None}  # fmt: skip
        average = networks["G_ema"]
        config = _config(average, networks.get("D"))
        return Imported(
            config,
            _generator_state(average, config),
            _generator_state(networks["G"], config) if "G" in networks else None,
            _discriminator_state(networks["D"], config) if "D" in networks else None,
        )
    except FileNotFoundError:
        raise FurrowError(f"There is no file {path}.", "missing_file") from None
    except FurrowError as error:
        raise FurrowError(f"{path} was refused: {error}") from None
    except (pickle.UnpicklingError, EOFError, OSError, LookupError, TypeError, ValueError,
            AttributeError, RuntimeError, OverflowError, MemoryError) as error:  # fmt: skip
        raise FurrowError(
            f"{path} holds no networks of stylegan2-ada-pytorch, or is damaged "
            f"({type(error).__name__}: {error})."
        ) from None


class _Unpickler(pickle.Unpickler):
    """Unpickler that knows a few names and calls nothing but their harmless stand-ins."""

    def __init__(self, file: io.BufferedReader) -> None:
        super().__init__(file)
        numpy_names = {("numpy", "dtype"): _Ignored}
        for core in ("numpy.core.multiarray", "numpy._core.multiarray"):
            numpy_names |= {(core, "scalar"): _Ignored}  # gains, which follow from the sizes
        self.known: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("builtins", "set"): set,
            ("dnnlib.util", "EasyDict"): dict,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch.storage", "_load_from_bytes"): _storage,
            ("torch_utils.persistence", "_reconstruct_persistent_obj"): _Record,
            **numpy_names,
        }

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in self.known:
            raise FurrowError(
                f"it asks for {module}.{name}, which networks do not need, and reading on could run "
                "foreign code. Files of the TensorFlow release must be converted with legacy.py of "
                "stylegan2-ada-pytorch first."
            )
        return self.known[module, name]


class _Ignored:
    """Stands for a NumPy scalar or type."""

    __slots__ = ()

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _Record:
    """A network or layer: its class's name and attributes. Its source code is dropped."""

    __slots__ = ("kind", "state")

    def __init__(self, meta: dict[str, Any]) -> None:
        self.kind, self.state = meta["class_name"], meta["state"]

    @classmethod
    def of(cls, value: object) -> _Record:
        """Return the value, which must be a network."""
        if not isinstance(value, cls):
            raise ValueError("a network is of an unknown kind")
        return value

    def part(self, path: str) -> _Record:
        """The module at a dotted path."""
        record = self
        for name in path.split("."):
            record = _Record.of(record.state["_modules"][name])
        return record

    def tensors(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Parameters and buffers with their dotted names."""
        for group in ("_parameters", "_buffers"):
            for name, value in self.state[group].items():
                if value is not None:
                    if not isinstance(value, Tensor):
                        raise ValueError(f"{prefix}{name} is no tensor")
                    yield f"{prefix}{name}", value
        for name, module in self.state["_modules"].items():
            if module is not None:
                yield from _Record.of(module).tensors(f"{prefix}{name}.")


def _storage(data: bytes) -> Tensor:
    """Numbers of a storage, (n,); `torch.load` reads nothing but tensors this way."""
    storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return torch.empty(0, dtype=storage.dtype).set_(storage)


def _tensor(numbers: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...],
            *_: object) -> Tensor:  # fmt: skip
    # as_strided refuses what lies outside the storage.
    return numbers.as_strided(size, stride, offset).clone(memory_format=torch.contiguous_format)


def _parameter(data: Tensor, *_: object) -> Tensor:
    return data


def _config(generator: _Record, discriminator: _Record | None) -> GanConfig:
    """Sizes of the networks; raises FurrowError where they are of another kind than ours."""
    blocks = {
        int(name[1:]): module
        for name, module in generator.state["_modules"]["synthesis"].state["_modules"].items()
    }
    resolution = max(blocks)
    first = blocks[4].state["_parameters"]["const"].shape[0]
    last = blocks[resolution].part("conv1").state["_parameters"]["weight"].shape[0]
    maps = blocks[resolution].part("torgb").state["_parameters"]["weight"].shape[0]
    layers = [n for n in generator.part("mapping").state["_modules"] if n.startswith("fc")]
    facts = {
        "channels in its images": (maps, 1),
        "classes": (generator.state["c_dim"], 0),
        "generator architecture": (blocks[resolution].state["architecture"], "skip"),
        "mapping learning rate": (generator.part("mapping.fc0").state["bias_gain"], 0.01),
    }
    group = 4
    if discriminator is not None:
        facts["discriminator architecture"] = (
            discriminator.part("b4").state["architecture"],
            "resnet",
        )
        group = discriminator.part("b4.mbstd").state["group_size"] or 1 << 16
    for what, (found, wanted) in facts.items():
        if found != wanted:
            raise FurrowError(f"its {what}: {found}; what can be read has {wanted}.")
    clamp = blocks[resolution].part("conv1").state["conv_clamp"]
    return GanConfig(resolution, last * resolution, first, len(layers), clamp, group=group)


def _generator_state(network: _Record, config: GanConfig) -> State:
    state = {"unit_mm": torch.ones(())}
    for name, value in network.tensors():
        if not _is_filter(name, value):
            name = re.sub(r"^mapping\.fc(\d+)", r"mapping.layers.\1", name)
            name = re.sub(
                r"^synthesis\.b(\d+)", lambda m: f"synthesis.blocks.{_level(m[1]) - 2}", name
            )
            state[name.replace(".torgb.", ".to_map.")] = value.float()
    return _fitting(state, Generator, config)


def _discriminator_state(network: _Record, config: GanConfig) -> State:
    top, state = _level(str(config.resolution)), {}
    for name, value in network.tensors():
        if not _is_filter(name, value):
            name = name.removeprefix("b4.")
            name = re.sub(r"^b(\d+)", lambda m: f"blocks.{top - _level(m[1])}", name)
            state[name.replace(".fromrgb.", ".from_map.")] = value.float()
    return _fitting(state, Discriminator, config)


def _level(resolution: str) -> int:
    return int(math.log2(int(resolution)))


def _is_filter(name: str, value: Tensor) -> bool:
    """Whether a buffer is the low-pass filter, which must be ours."""
    if not name.endswith("resample_filter"):
        return False
    ours = LowPass().kernel
    if value.shape != ours.shape or not torch.allclose(value.float(), ours):
        raise FurrowError("its low-pass filter is not [1, 3, 3, 1].")
    return True


def _fitting(
    state: State, network: type[Generator] | type[Discriminator], config: GanConfig
) -> State:
    """Return the state if it has the names and shapes of our network's; raises FurrowError."""
    with torch.device("meta"):
        ours = {name: value.shape for name, value in network(config).state_dict().items()}
    theirs = {name: value.shape for name, value in state.items()}
    if odd := sorted(set(ours.items()) ^ set(theirs.items())):
        raise FurrowError(f"its {network.__name__.lower()} is built differently, at {odd[0][0]}.")
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise FurrowError("it holds weights that are not numbers.")
    return state
