"""The detail networks on ONNX Runtime."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ...errors import FurrowError
from ...formats.tensors import damaged
from ...system.interrupt import Interrupt
from ...system.processor import physical_cores
from .engine import Engine, NoiseCache, output_array
from .ports import Ports, sizes


class OrtEngine(Engine):
    """ONNX Runtime on the CPU, float32."""

    name = "ONNX Runtime"
    device = "CPU"
    has_preview = False

    def __init__(self, folder: Path) -> None:
        self._encoder, encoder = session(folder / "encoder.onnx")
        self._noise, noise = session(folder / "noise.onnx")
        self._bases, bases = session(folder / "bases.onnx")
        self._generator, generator = session(folder / "generator.onnx")
        form = sizes(folder, encoder, noise, bases, generator)
        self.identity_size, self.num_ws = form.identity, form.num_ws
        self.resolution = form.resolution
        self._images = form.basis_names
        self.has_mixture = bool(self._images)
        self._filtered = NoiseCache(self._filter)
        self._no_rest = np.zeros((1, 1, self.resolution, self.resolution), np.float32)

    def encode(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """See :class:`Engine`."""
        feed = {"identity": identity[None], "expression": expression[None]}
        return self._encoder.run(["w"], feed)[0][0]

    def mixture(self, w: np.ndarray, rest: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """See :class:`Engine`."""
        out = output_array(out, self.resolution)
        binding = self._bases.io_binding()
        binding.bind_cpu_input("w", w[None])
        binding.bind_cpu_input("rest", rest[None, None])
        binding.bind_output(
            "displacement", "cpu", 0, out.dtype, (1, 1, *out.shape), out.ctypes.data
        )
        self._bases.run_with_iobinding(binding, _fetching())
        return out

    def synthesise(
        self,
        w: np.ndarray,
        noise: np.ndarray,
        preview: bool = False,
        interrupt: Interrupt | None = None,
    ) -> np.ndarray:
        """See :class:`Engine`; there is no preview."""
        with _stoppable(interrupt) as options:
            feed = {"w": w[None], **self._filtered(noise)}
            if self._images:
                bases_feed = {"w": feed["w"], "rest": self._no_rest}
                images = self._bases.run(self._images, bases_feed, options)
                feed |= zip(self._images, images, strict=True)
            return self._generator.run(["displacement"], feed, options)[0][0, 0]

    def _filter(self, noise: np.ndarray) -> dict[str, np.ndarray]:
        names = ["coarse", "fine"]
        return dict(zip(names, self._noise.run(names, {"noise": noise[None, None]}), strict=True))


def _fetching() -> Any:
    """Options for runs that compute no more than the outputs that are asked for."""
    options = onnxruntime.RunOptions()
    options.only_execute_path_to_fetches = True
    return options


@contextlib.contextmanager
def _stoppable(interrupt: Interrupt | None) -> Iterator[Any]:
    """Options for runs that `interrupt` ends after the operator that is being computed."""
    options = _fetching()
    if interrupt is None:
        yield options
        return

    def stop() -> None:
        options.terminate = True

    with interrupt.on_set(stop):
        try:
            yield options
        except FurrowError:
            raise
        except Exception:  # the class of the error that tells of the end is private
            interrupt.check()
            raise


def session(path: Path) -> tuple[Any, Ports]:
    """Load a network; return it with the sizes of its inputs and outputs.

    Raises
    ------
    FurrowError
        With code ``missing_model`` if the file is damaged.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = physical_cores()  # 0: its own count
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # The next level pads convolutions to 16 channels. Where most of the work is we have 4 to 9.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    # Threads that wait for the next operator spin, which is faster than waking them; between runs
    # they must not, for they would take the cores from Blender while a slider moves.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        network = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the classes of its errors are private
        raise damaged(path, error) from None
    nodes = (*network.get_inputs(), *network.get_outputs())
    return network, {node.name: tuple(node.shape) for node in nodes}
