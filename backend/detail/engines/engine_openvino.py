"""The detail networks on OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...formats.tensors import damaged
from ...system.interrupt import Interrupt
from ...system.processor import physical_cores
from .engine import Engine, NoiseCache, output_array
from .ports import Ports, sizes


class OpenVinoEngine(Engine):
    """OpenVINO on the CPU: float32, or bfloat16 for a preview where the processor has it."""

    name = "OpenVINO"
    device = "CPU"

    def __init__(self, folder: Path) -> None:
        import openvino
        from openvino import passes

        self._passes = passes
        self._tensor = openvino.Tensor
        self._core = openvino.Core()
        self.has_preview = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self._settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if cores := physical_cores():
            self._settings["INFERENCE_NUM_THREADS"] = cores
        paths = [folder / f"{name}.onnx" for name in ("encoder", "noise", "bases", "generator")]
        requests = [self._compiled(path, "f32") for path in paths]
        self._encoder, self._noise, self._bases, self._generator = requests
        form = sizes(folder, *(_ports(p, r) for p, r in zip(paths, requests, strict=True)))
        self.identity_size, self.num_ws = form.identity, form.num_ws
        self.resolution = form.resolution
        self._images = form.basis_names
        self.has_mixture = bool(self._images)
        self._filtered = NoiseCache(self._filter)
        self._no_rest = np.zeros((1, 1, self.resolution, self.resolution), np.float32)
        self._path = paths[-1]
        self._preview: Any = None  # compiled when it is first asked for

    def encode(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """See :class:`Engine`."""
        feed = {"identity": identity[None], "expression": expression[None]}
        return np.array(_run(self._encoder, feed)["w"][0])

    def mixture(self, w: np.ndarray, rest: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """See :class:`Engine`."""
        out = output_array(out, self.resolution)
        plane = out[None, None]
        self._bases.set_tensor("displacement", self._tensor(plane, shared_memory=True))
        _run(self._bases, {"w": w[None], "rest": rest[None, None]})
        return out

    def synthesise(
        self,
        w: np.ndarray,
        noise: np.ndarray,
        preview: bool = False,
        interrupt: Interrupt | None = None,
    ) -> np.ndarray:
        """See :class:`Engine`."""
        feed = {"w": w[None], **self._filtered(noise)}
        if self._images:
            images = _run(self._bases, {"w": feed["w"], "rest": self._no_rest}, interrupt)
            feed |= {name: images[name] for name in self._images}
        request = self._generator
        if preview and self.has_preview:
            request = self._preview = self._preview or self._compiled(self._path, "bf16")
        return np.array(_run(request, feed, interrupt)["displacement"][0, 0])

    def _filter(self, noise: np.ndarray) -> dict[str, np.ndarray]:
        results = _run(self._noise, {"noise": noise[None, None]})
        return {name: np.array(results[name]) for name in ("coarse", "fine")}

    def _compiled(self, path: Path, precision: str) -> Any:
        # Without the hint OpenVINO takes bfloat16 by itself on processors that have it.
        settings = {**self._settings, "INFERENCE_PRECISION_HINT": precision}
        try:
            model = self._core.read_model(path)
            # Products with parameters left in 8 bits would be computed with styles in 8 bits too,
            # and one of the relief fails in OpenVINO 2026.0, which gives its scale a wrong shape.
            passes = self._passes.Manager()
            passes.register_pass(self._passes.ConstantFolding())
            passes.run_passes(model)
            return self._core.compile_model(model, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            raise damaged(path, error) from None


def _ports(path: Path, request: Any) -> Ports:
    model = request.get_compiled_model()
    try:
        return {port.any_name: tuple(port.shape) for port in (*model.inputs, *model.outputs)}
    except RuntimeError as error:  # a port without a name, or of no fixed size
        raise damaged(path, error) from None


def _run(request: Any, feed: dict[str, np.ndarray], interrupt: Interrupt | None = None) -> Any:
    """Run a request; the arrays in the result are its own, and hold until it runs again."""
    if interrupt is None:
        return request.infer(feed, share_inputs=True, share_outputs=True)
    with interrupt.on_set(request.cancel):
        try:
            interrupt.check()
            return request.infer(feed, share_inputs=True, share_outputs=True)
        except RuntimeError:
            interrupt.check()
            raise
