"""Exported networks run in ONNX Runtime as they do in PyTorch, whatever levels have a local basis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from furrow.backend.detail.engines import engines
from furrow.backend.detail.engines.torch_encoder import Encoder, EncoderConfig
from furrow.backend.detail.engines.torch_networks import Synthesis, SynthesisConfig, style_split
from furrow.training.export.detail import export

CHANNELS = (16, 16, 16, 16, 8, 4)


@pytest.mark.parametrize("channels", [(), CHANNELS], ids=["bases", "convolutions"])
@pytest.mark.parametrize(
    "basis_images", [(0, 6, 4, 0), (0, 0, 0, 0), (0, 0, 0, 3), (5, 0, 3, 0)], ids=str
)
def test_exported_networks_equal_pytorch(
    tmp_path: Path, basis_images: tuple[int, ...], channels: tuple[int, ...]
) -> None:
    torch.manual_seed(1)
    encoder = Encoder(EncoderConfig(26, 52, style_split(128), (64,) * 5))
    const = (4, 4, 2, 0) if channels else ()
    synthesis = Synthesis(SynthesisConfig(128, channels, const, basis_images))
    with torch.no_grad():
        for name, parameter in synthesis.named_parameters():
            if "basis" in name or "to_map.weight" in name or "texture2" in name:
                parameter.normal_(0.0, 0.2)
    export(encoder, synthesis, tmp_path, {"data": {}})
    ort, torch_engine = engines.load("ort", tmp_path), engines.load("torch", tmp_path)
    random = np.random.RandomState(2)
    w = random.standard_normal((ort.num_ws, 512)).astype(np.float32)
    noise, rest = random.standard_normal((2, 128, 128)).astype(np.float32)
    exact, linear = ort.synthesise(w, noise), ort.mixture(w, rest)
    assert np.abs(exact).max() > 0.1
    np.testing.assert_allclose(exact, torch_engine.synthesise(w, noise), atol=1e-4)
    np.testing.assert_allclose(linear, torch_engine.mixture(w, rest), atol=1e-4)
    assert np.array_equal(linear, rest) == (not any(basis_images))
    bases, filtering, drawing = (
        {tensor.name for tensor in onnx.load(tmp_path / f"{name}.onnx").graph.initializer}
        for name in ("bases", "noise", "generator")
    )
    assert any("basis" in name for name in bases) == any(basis_images)
    assert any("texture0" in name for name in filtering)
    twice = [name for name in drawing if "basis" in name or "texture0" in name or "filters" in name]
    assert not twice, "parameters are stored once"
