"""The detail networks on PyTorch: CUDA, or the CPU where it is asked for by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .engine import Engine, output_array
from .errors import FurrowError
from .interrupt import Interrupt


class TorchEngine(Engine):
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
        self._interrupt: Interrupt | None = None
        for block in self._synthesis.blocks:
            block.register_forward_pre_hook(self._check)

    def encode(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """See :class:`Engine`."""
        return self._run(self._encoder, identity[None], expression[None])[0]

    def mixture(self, w: np.ndarray, rest: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """See :class:`Engine`."""
        out = output_array(out, self.resolution)
        network = self._synthesis
        out[...] = self._run(
            lambda w, rest: network.mixture(network.mixed(w), rest), w[None], rest[None, None]
        )[0, 0]
        return out

    def synthesise(
        self,
        w: np.ndarray,
        noise: np.ndarray,
        preview: bool = False,
        interrupt: Interrupt | None = None,
    ) -> np.ndarray:
        """See :class:`Engine`."""
        self._interrupt = interrupt
        with self._torch.autocast("cuda", enabled=preview and self.has_preview):
            return self._run(self._synthesis, w[None], noise[None, None])[0, 0]

    def _check(self, _block: Any, _inputs: Any) -> None:
        """Before each block: is the map still wanted?"""
        if self._interrupt is not None:
            self._interrupt.check()

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


def _gpu_full() -> FurrowError:
    return FurrowError(
        "The graphics card has no memory left. Release it in other programs, or choose the CPU.",
        "engine_unavailable",
    )
