"""The detail networks on ONNX Runtime, OpenVINO or PyTorch, behind the same calls.

ONNX Runtime is what ships. OpenVINO is taken where a user added it and it is the faster one, PyTorch
where it finds CUDA; both may also be asked for by name.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FurrowError
from ...system import processor
from . import cuda
from .engine import Engine
from .engine_speed import Speed
from .kinds import AUTO, KINDS
from .network_files import DETAIL, NETWORKS, TORCH_NETWORKS
from .ports import check_ports


@dataclass(frozen=True)
class Availability:
    """Whether an engine can run here: its kind, package, version, device; else the reason why not.

    `why` says why :func:`choose` took it, `note` why it does not use a graphics card that is there.
    """

    kind: str
    name: str
    version: str | None
    device: str | None
    reason: str | None
    why: str = ""
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for a message."""
        return asdict(self)


def available() -> list[Availability]:
    """Return what is known of each engine, the most preferred first; imports none but for CUDA."""
    return [_availability(kind) for kind in KINDS]


def choose(
    kind: str = AUTO,
    speeds: Mapping[str, Speed] | None = None,
    without: Collection[str] = (),
) -> Availability:
    """Return the engine that `kind` (:data:`.kinds.CHOICES`) stands for.

    "auto" takes PyTorch if it finds CUDA; else the fastest of the others, if `speeds` holds all of
    them; else OpenVINO, then ONNX Runtime; of kinds in `without` none.

    Raises
    ------
    FurrowError
        With code ``engine_unavailable``, saying what is missing.
    """
    if kind != AUTO:
        if kind not in KINDS:
            raise FurrowError(
                f'There is no engine "{kind}"; there are {AUTO}, {", ".join(KINDS)}.',
                "engine_unavailable",
            )
        engine = _availability(kind)
        if engine.reason:
            raise FurrowError(engine.reason, "engine_unavailable")
        return replace(engine, why="chosen by name")
    usable = [e for e in available() if e.reason is None and e.kind not in without]
    for engine in usable:
        if engine.kind == "torch" and engine.device != "CPU":
            return replace(engine, why="CUDA was found")
    engines = [engine for engine in usable if engine.kind != "torch"]
    if not engines:
        raise FurrowError(
            "No engine is installed. Install Furrow again, or choose a Python with onnxruntime.",
            "engine_unavailable",
        )
    return _fastest(engines, speeds or {})


def _fastest(engines: list[Availability], speeds: Mapping[str, Speed]) -> Availability:
    """The fastest of engines on the CPU, and why."""
    if len(engines) == 1:
        return replace(engines[0], why="the only one here")
    if not all(engine.kind in speeds for engine in engines):
        return replace(engines[0], why="none is measured yet")
    fastest = min(engines, key=lambda engine: speeds[engine.kind].exact_ms)
    return replace(fastest, why="the fastest by measurement")


def load(kind: str = AUTO, folder: str | Path = DETAIL) -> Engine:
    """Load the networks in `folder` on an engine.

    Raises
    ------
    FurrowError
        With code ``engine_unavailable``, or ``missing_model`` if a file is missing or damaged.
    """
    engine = choose(kind)
    folder = Path(folder)
    files = NETWORKS if engine.kind != "torch" else TORCH_NETWORKS
    for name in files:
        if not (folder / name).is_file():
            raise FurrowError(
                f"The network {folder / name} is missing. Install Furrow again.", "missing_model"
            )
    if engine.kind == "torch":
        from .engine_torch import TorchEngine

        return TorchEngine(folder, engine.device or "CPU")
    if engine.kind == "openvino":
        from .engine_openvino import OpenVinoEngine

        return OpenVinoEngine(folder)
    from .engine_ort import OrtEngine

    return OrtEngine(folder)


def import_packages(kind: str) -> None:
    """Import what an engine needs.

    Done before the process says ``ready``: the import of a large library can hold all threads,
    the heartbeat too, for seconds.
    """
    try:
        importlib.import_module(KINDS[kind].package)
    except Exception as error:  # a broken installation may raise anything
        raise FurrowError(
            f"{KINDS[kind].package} is installed but does not start: {error}", "engine_unavailable"
        ) from None


def release() -> None:
    """Give the memory of engines that nobody holds any more back to the system."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def load_mapping(path: Path, z_size: int, num_ws: int) -> Callable[[np.ndarray], np.ndarray]:
    """Load the mapping network: z (z_size,) float32 -> W+ (num_ws, 512) float32.

    It runs on ONNX Runtime whichever engine synthesises: it is small, and runs once a person.

    Raises
    ------
    FurrowError
        With code ``engine_unavailable``, or ``missing_model`` if the file is missing, damaged or
        made for another generator.
    """
    choose("ort")
    from .engine_ort import session

    if not path.is_file():
        raise FurrowError(f"The network {path} is missing. Install Furrow again.", "missing_model")
    network, ports = session(path)
    check_ports(path, ports, {"z": (1, z_size), "w": (1, num_ws, 512)})
    return lambda z: network.run(["w"], {"z": z[None]})[0][0]


def _availability(kind: str) -> Availability:
    from importlib import metadata  # here: it would slow Blender's start

    name = KINDS[kind].package
    if importlib.util.find_spec(name) is None:
        return Availability(kind, name, None, None, f"{name} is not installed in this Python.")
    try:
        version: str | None = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = None
    if kind == "openvino" and processor.lacks_avx2():
        reason = "OpenVINO needs a processor with AVX2, which this one has not."
        return Availability(kind, name, version, None, reason)
    card = cuda.find() if kind == "torch" else cuda.Cuda()
    if kind == "torch" and importlib.util.find_spec("safetensors") is None:
        reason = "PyTorch needs the package safetensors beside it; it is not installed."
        return Availability(kind, name, version, None, reason)
    device, note = card.device or "CPU", card.problem or ""
    return Availability(kind, name, version, device, None, note=note)
