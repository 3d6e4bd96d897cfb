"""The detail networks on ONNX Runtime, OpenVINO or PyTorch, behind the same two calls.

ONNX Runtime is what ships. OpenVINO is taken where a user added it, PyTorch where it finds CUDA;
both may also be asked for by name.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .errors import FurrowError
from .files import ASSETS
from .ports import Ports, check_ports, sizes
from .tensors import damaged

DETAIL = ASSETS / "detail"
KINDS = ("torch", "openvino", "ort")
"""The engines, the most preferred first."""

_NAMES = {"ort": "onnxruntime", "openvino": "openvino", "torch": "torch"}
"""Name of each engine's package."""


class Engine(Protocol):
    """The networks, ready to run.

    Attributes
    ----------
    name, device
        In words, for people.
    identity_size
        K + 16.
    num_ws
        Styles of W+, each of 512 numbers.
    resolution
        R, of the maps the generator makes.
    has_preview
        Whether `preview` makes a difference.
    """

    name: str
    device: str
    identity_size: int
    num_ws: int
    resolution: int
    has_preview: bool

    def encode(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """identity (K + 16,), expression (52,), float32 -> W+ (num_ws, 512) float32."""
        ...

    def synthesise(self, w: np.ndarray, noise: np.ndarray, preview: bool = False) -> np.ndarray:
        """W+ (num_ws, 512) and noise (R, R), float32 -> map (R, R) float32, millimetres.

        `preview` allows 16-bit floats, whose maps differ by about 1 %.
        """
        ...


@dataclass(frozen=True)
class Availability:
    """Whether an engine can run here: its kind, package, version, device; else why not."""

    kind: str
    name: str
    version: str | None
    device: str | None
    reason: str | None

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for a message."""
        return asdict(self)


def available() -> list[Availability]:
    """Return what is known of each engine, the most preferred first; imports none but for CUDA."""
    return [_availability(kind) for kind in KINDS]


def choose(kind: str = "auto") -> Availability:
    """Return the engine that `kind` ("auto" or one of :data:`KINDS`) stands for.

    "auto" takes PyTorch only with CUDA, then OpenVINO, then ONNX Runtime.

    Raises
    ------
    FurrowError
        With code ``engine_unavailable``, saying what is missing.
    """
    if kind != "auto":
        if kind not in KINDS:
            raise FurrowError(
                f'There is no engine "{kind}"; there are auto, {", ".join(KINDS)}.',
                "engine_unavailable",
            )
        engine = _availability(kind)
        if engine.reason:
            raise FurrowError(engine.reason, "engine_unavailable")
        return engine
    for engine in available():
        if engine.reason is None and (engine.kind != "torch" or engine.device != "CPU"):
            return engine
    raise FurrowError(
        "No engine is installed. Install Furrow again, or choose a Python with onnxruntime.",
        "engine_unavailable",
    )


def load(kind: str = "auto", folder: str | Path = DETAIL) -> Engine:
    """Load the networks in `folder` on an engine.

    Raises
    ------
    FurrowError
        With code ``engine_unavailable``, or ``missing_model`` if a file is missing or damaged.
    """
    chosen = choose(kind)
    folder = Path(folder)
    suffix = ".safetensors" if chosen.kind == "torch" else ".onnx"
    for name in ("encoder", "generator"):
        if not (folder / (name + suffix)).is_file():
            raise FurrowError(
                f"The network {folder / (name + suffix)} is missing. Install Furrow again.",
                "missing_model",
            )
    if chosen.kind == "torch":
        return TorchEngine(folder, chosen.device or "CPU")
    if chosen.kind == "openvino":
        return OpenVinoEngine(folder)
    return OrtEngine(folder)


def import_packages(kind: str) -> None:
    """Import what an engine needs.

    Done before the process says ``ready``: the import of a large library can hold all threads,
    the heartbeat too, for seconds.
    """
    try:
        importlib.import_module(_NAMES[kind])
    except Exception as error:  # a broken installation may raise anything
        raise FurrowError(
            f"{_NAMES[kind]} is installed but does not start: {error}", "engine_unavailable"
        ) from None


def release() -> None:
    """Give the memory of engines that nobody holds any more back to the system."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def physical_cores() -> int:
    """Return the cores that this process may use, hyper-threads not counted; 0 if unknown."""
    if not sys.platform.startswith("linux"):
        return 0
    usable = os.sched_getaffinity(0)
    siblings = set()
    for cpu in usable:
        path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            siblings.add(path.read_text().strip())
        except OSError:
            return len(usable)
    return len(siblings)


class OrtEngine:
    """ONNX Runtime on the CPU, float32."""

    name = "ONNX Runtime"
    device = "CPU"
    has_preview = False

    def __init__(self, folder: Path) -> None:
        self._encoder, encoder = _ort_session(folder / "encoder.onnx")
        self._generator, generator = _ort_session(folder / "generator.onnx")
        self.identity_size, self.num_ws, self.resolution = sizes(folder, encoder, generator)

    def encode(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """See :class:`Engine`."""
        feed = {"identity": identity[None], "expression": expression[None]}
        return self._encoder.run(["w"], feed)[0][0]

    def synthesise(self, w: np.ndarray, noise: np.ndarray, preview: bool = False) -> np.ndarray:
        """See :class:`Engine`; there is no preview."""
        feed = {"w": w[None], "noise": noise[None, None]}
        return self._generator.run(["displacement"], feed)[0][0, 0]


class OpenVinoEngine:
    """OpenVINO on the CPU: float32, or bfloat16 for a preview where the processor has it."""

    name = "OpenVINO"
    device = "CPU"

    def __init__(self, folder: Path) -> None:
        import openvino

        core = openvino.Core()
        self.has_preview = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if cores := physical_cores():
            settings["INFERENCE_NUM_THREADS"] = cores

        def compiled(name: str, precision: str) -> Any:
            path = folder / f"{name}.onnx"
            try:
                # Without the hint OpenVINO takes bfloat16 by itself on processors that have it.
                return core.compile_model(
                    str(path), "CPU", {**settings, "INFERENCE_PRECISION_HINT": precision}
                ).create_infer_request()
            except RuntimeError as error:
                raise damaged(path, error) from None

        def ports(name: str, request: Any) -> Ports:
            model = request.get_compiled_model()
            try:
                return {
                    port.any_name: tuple(port.shape) for port in (*model.inputs, *model.outputs)
                }
            except RuntimeError as error:  # a port without a name, or of no fixed size
                raise damaged(folder / f"{name}.onnx", error) from None

        self._encoder = compiled("encoder", "f32")
        self._generator = compiled("generator", "f32")
        self.identity_size, self.num_ws, self.resolution = sizes(
            folder, ports("encoder", self._encoder), ports("generator", self._generator)
        )
        self._preview = compiled("generator", "bf16") if self.has_preview else self._generator

    def encode(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """See :class:`Engine`."""
        feed = {"identity": identity[None], "expression": expression[None]}
        return np.array(self._encoder.infer(feed)["w"][0])

    def synthesise(self, w: np.ndarray, noise: np.ndarray, preview: bool = False) -> np.ndarray:
        """See :class:`Engine`."""
        request = self._preview if preview else self._generator
        feed = {"w": w[None], "noise": noise[None, None]}
        return np.array(request.infer(feed)["displacement"][0, 0])


class TorchEngine:
    """PyTorch: CUDA in float32 or, for a preview, float16; the CPU in float32."""

    name = "PyTorch"

    def __init__(self, folder: Path, device: str) -> None:
        import torch

        from .torch_networks import load as load_networks

        self._torch = torch
        self._device = torch.device("cpu" if device == "CPU" else "cuda")
        self.device = device
        self.has_preview = self._device.type == "cuda"
        if self.has_preview:
            # TensorFloat-32 rounds to 10 bits: maps would differ from the other engines' by 1e-3.
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
        try:
            self._encoder, self._synthesis = load_networks(folder, self._device)
        except torch.cuda.OutOfMemoryError:
            raise _gpu_full() from None
        self.identity_size = self._encoder.config.identity
        self.num_ws = self._encoder.num_ws
        self.resolution = self._synthesis.config.resolution

    def encode(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """See :class:`Engine`."""
        return self._run(self._encoder, identity[None], expression[None])[0]

    def synthesise(self, w: np.ndarray, noise: np.ndarray, preview: bool = False) -> np.ndarray:
        """See :class:`Engine`."""
        with self._torch.autocast("cuda", enabled=preview and self.has_preview):
            return self._run(self._synthesis, w[None], noise[None, None])[0, 0]

    def _run(self, network: Any, *inputs: np.ndarray) -> np.ndarray:
        torch = self._torch
        try:
            with torch.inference_mode():
                tensors = [
                    torch.from_numpy(np.array(i, np.float32)).to(self._device) for i in inputs
                ]
                return network(*tensors).float().cpu().numpy()
        except torch.cuda.OutOfMemoryError:
            raise _gpu_full() from None


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
    if not path.is_file():
        raise FurrowError(f"The network {path} is missing. Install Furrow again.", "missing_model")
    session, ports = _ort_session(path)
    check_ports(path, ports, {"z": (1, z_size), "w": (1, num_ws, 512)})
    return lambda z: session.run(["w"], {"z": z[None]})[0][0]


def _ort_session(path: Path) -> tuple[Any, Ports]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = physical_cores()  # 0: its own count
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin between runs would take the cores from Blender while a slider moves.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the classes of its errors are private
        raise damaged(path, error) from None
    nodes = (*session.get_inputs(), *session.get_outputs())
    return session, {node.name: tuple(node.shape) for node in nodes}


def _gpu_full() -> FurrowError:
    return FurrowError(
        "The graphics card has no memory left. Release it in other programs, or choose the CPU.",
        "engine_unavailable",
    )


def _availability(kind: str) -> Availability:
    name = _NAMES[kind]
    if importlib.util.find_spec(name) is None:
        return Availability(kind, name, None, None, f"{name} is not installed in this Python.")
    try:
        version: str | None = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = None
    device = _cuda_device() or "CPU" if kind == "torch" else "CPU"
    if kind == "torch" and importlib.util.find_spec("safetensors") is None:
        reason = "PyTorch needs the package safetensors beside it; it is not installed."
        return Availability(kind, name, version, None, reason)
    return Availability(kind, name, version, device, None)


def _cuda_device() -> str | None:
    """Return the name of the first CUDA device that PyTorch can use.

    PyTorch takes seconds to import, so the driver is asked first whether there is a device at all.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    try:
        import torch
    except Exception:  # a broken installation may raise anything; choosing it by name says more
        return None
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
