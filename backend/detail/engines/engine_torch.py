"""The detail networks on PyTorch: CUDA, or the CPU where it is asked for by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FurrowError
from ...system.interrupt import Interrupt
from .engine import Engine, NoiseCache, output_array

LARGEST_BATCH = 16
"""Maps that are made at once; more of them no longer make a large card faster."""

_SHARE = 0.8
"""Of the free memory that a batch may take; the rest is for what the allocator cannot use."""


class TorchEngine(Engine):
    """PyTorch: CUDA in float32 or, for a preview, float16; the CPU in float32.

    Where the card's memory ends, batches become smaller, and then the CPU goes on.

    Attributes
    ----------
    how
        How single maps are computed, in words.
    """

    name = "PyTorch"

    def __init__(self, folder: Path, device: str) -> None:
        import torch

        from . import stylegan2, torch_networks
        from .torch_encoder import read_description

        self._torch = torch
        self._device = torch.device("cpu" if device == "CPU" else "cuda")
        self.device = device
        self.has_preview = self._device.type == "cuda"
        if self.has_preview:
            self.batch = LARGEST_BATCH
            # TensorFloat-32 rounds to 10 bits: maps would differ from the other engines' by 1e-3.
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
        try:
            self._encoder: torch_networks.Encoder
            self._synthesis: torch_networks.Synthesis | stylegan2.SeededSynthesis
            if stylegan2.is_stylegan2(read_description(folder)):
                self._encoder, self._synthesis = stylegan2.load(folder, self._device)
                self.has_preview = False  # nothing bounds its activations to the range of float16
            else:
                self._encoder, self._synthesis = torch_networks.load(folder, self._device)
        except torch.cuda.OutOfMemoryError:
            raise FurrowError(
                "The graphics card has no memory left. Release it in other programs.",
                "engine_unavailable",
            ) from None
        self.identity_size = self._encoder.config.identity
        self.num_ws = self._encoder.num_ws
        self.resolution = self._synthesis.config.resolution
        self.has_mixture = bool(self._synthesis.levels())
        self.how = "each map by itself"
        self._graphs: dict[bool, Callable[[Any, Any], Any] | None] = {}
        self._filtered = NoiseCache(self._filter)
        self._map_bytes = 0
        self._interrupt: Interrupt | None = None
        for block in self._synthesis.blocks:
            block.register_forward_pre_hook(self._check)

    def encode(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """See :class:`Engine`."""

        def work() -> Any:
            return self._encoder(self._tensor(identity[None]), self._tensor(expression[None]))

        return self._run(work)[0]

    def mixture(self, w: np.ndarray, rest: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """See :class:`Engine`."""
        out = output_array(out, self.resolution)

        def work() -> Any:
            mixed = self._synthesis.mixed(self._tensor(w[None]))
            return self._synthesis.mixture(mixed, self._tensor(rest[None, None]))

        out[...] = self._run(work)[0, 0]
        return out

    def synthesise(
        self,
        w: np.ndarray,
        noise: np.ndarray,
        preview: bool = False,
        interrupt: Interrupt | None = None,
    ) -> np.ndarray:
        """See :class:`Engine`."""

        def work() -> Any:
            half = preview and self.has_preview
            return self._single(half)(self._tensor(w[None]), self._filtered(noise))

        self._interrupt = interrupt
        try:
            self._check()
            return self._run(work)[0, 0]
        finally:
            self._interrupt = None

    def synthesise_batch(
        self, ws: np.ndarray, noise: np.ndarray, interrupt: Interrupt | None = None
    ) -> np.ndarray:
        """See :class:`Engine`. Says when the card's memory makes it take fewer maps at once."""
        torch = self._torch
        maps: list[np.ndarray] = []
        size, count = self._batch_size(), 0
        self._interrupt = interrupt
        try:
            while count < len(ws):
                self._check()
                part = ws[count : count + size]
                try:
                    maps.append(self._batch(part, noise))
                    count += len(part)
                    continue
                except torch.cuda.OutOfMemoryError:
                    if self._device.type == "cpu" and size == 1:
                        raise
                # Out of the block above, whose traceback would hold the memory.
                if size == 1:
                    self._leave_card()
                else:
                    size //= 2
                    torch.cuda.empty_cache()
                    self.say(f"The graphics card is short of memory: {size} maps are made at once.")
        finally:
            self._interrupt = None
        return np.concatenate(maps)

    def _batch(self, ws: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Maps (n, R, R) of styles (n, num_ws, 512), all at once."""
        with self._torch.inference_mode():
            maps = self._synthesis(self._tensor(ws), self._filtered(noise))
            return maps[:, 0].float().cpu().numpy()

    def _batch_size(self) -> int:
        """How many maps fit into the card's free memory, by what one map took; 1 on the CPU."""
        if self._device.type != "cuda":
            return 1  # its cores are busy with one
        torch = self._torch
        if not self._map_bytes:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            zeros = np.zeros((self.num_ws, 512), np.float32)
            try:
                self._batch(np.stack([zeros, zeros]), np.zeros((self.resolution,) * 2, np.float32))
            except torch.cuda.OutOfMemoryError:
                return 1
            self._map_bytes = max(1, (torch.cuda.max_memory_allocated() - before) // 2)
        torch.cuda.empty_cache()
        free, _total = torch.cuda.mem_get_info()
        return max(1, min(LARGEST_BATCH, int(_SHARE * free) // self._map_bytes))

    def _single(self, half: bool) -> Callable[[Any, Any], Any]:
        """What makes one map: on a card a CUDA graph, captured once; else the network itself."""
        if self._device.type != "cuda":
            return self._synthesis
        if half not in self._graphs:
            try:
                self._graphs[half] = self._captured(half)
                self.how = "as a CUDA graph"
            except self._torch.cuda.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self._graphs[half] = None
                self.how = f"without a CUDA graph, since capturing it failed: {error}"
                self.say("The graphics card runs the network step by step: no CUDA graph was made.")
        return self._graphs[half] or (lambda w, filtered: self._eager(w, filtered, half))

    def _eager(self, w: Any, filtered: tuple[Any, Any], half: bool) -> Any:
        # Without its cache, whose casts of parameters a captured graph must not refer to.
        with self._torch.autocast("cuda", enabled=half, cache_enabled=False):
            return self._synthesis(w, filtered)

    def _captured(self, half: bool) -> Callable[[Any, Any], Any]:
        """Capture one map's kernels: hundreds of small launches become one."""
        torch = self._torch
        self._interrupt = None  # a graph is captured to its end
        w = torch.zeros(1, self.num_ws, 512, device=self._device)
        size = self.resolution
        zeros = torch.zeros(1, 1, size, size, device=self._device)
        filtered = self._synthesis.filtered(zeros)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):  # libraries choose their algorithms outside the graph
                self._eager(w, filtered, half)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            map_mm = self._eager(w, filtered, half)

        def replay(new_w: Any, new_filtered: tuple[Any, Any]) -> Any:
            w.copy_(new_w)
            for old, new in zip(filtered, new_filtered, strict=True):
                old.copy_(new)
            graph.replay()
            return map_mm

        return replay

    def _run(self, work: Callable[[], Any]) -> np.ndarray:
        """The result of `work` on this computer's side; if the card has no memory, from the CPU."""
        while True:
            try:
                with self._torch.inference_mode():
                    return work().float().cpu().numpy()
            except self._torch.cuda.OutOfMemoryError:
                if self._device.type == "cpu":
                    raise
            self._leave_card()

    def _leave_card(self) -> None:
        """Go on with the CPU, and say so."""
        torch = self._torch
        if self._device.type != "cpu":
            self._graphs.clear()
            self._filtered.forget()
            self._device = torch.device("cpu")
            self._encoder.to(self._device)
            self._synthesis.to(self._device)
            torch.cuda.empty_cache()
            self.device, self.has_preview, self.how = "CPU", False, "each map by itself"
        self.say(
            "The graphics card has no memory left: the processor goes on, slower. Release memory in "
            "other programs, then in Furrow, to use the card again."
        )

    def _filter(self, noise: np.ndarray) -> tuple[Any, Any]:
        return self._synthesis.filtered(self._tensor(noise[None, None]))

    def _tensor(self, values: np.ndarray) -> Any:
        return self._torch.from_numpy(np.array(values, np.float32)).to(self._device)

    def _check(self, *_of_a_block: Any) -> None:
        """Before each block: is the map still wanted?"""
        if self._interrupt is not None:
            self._interrupt.check()
