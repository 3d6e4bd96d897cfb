"""The detail networks: what they compute."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from furrow.backend.detail.engines.torch_layers import LocalBasis, Relief
from furrow.backend.detail.engines.torch_networks import (
    Encoder,
    EncoderConfig,
    Synthesis,
    SynthesisConfig,
    style_split,
)
from furrow.training.networks.basis import fit_images, project


def test_patches_of_a_local_basis_join_without_a_seam() -> None:
    """As many images as a patch has texels draw everything, also where patches overlap."""
    basis = LocalBasis(32, 16)
    torch.manual_seed(0)
    images = torch.randn(60, 1, 32, 32)
    everywhere = torch.ones(1, 1, 32, 32)
    fit_images(basis, images, everywhere)
    with torch.no_grad():
        again = basis.mixture(project(basis, images, everywhere))
    assert torch.allclose(again, images, atol=1e-3)


def test_relief_is_nothing_without_noise_and_the_same_in_a_crop() -> None:
    torch.manual_seed(0)
    relief = Relief(256, 0.3)
    torch.nn.init.normal_(relief.texture2, std=0.3)
    torch.nn.init.normal_(relief.mixing_weight)
    w, noise = torch.randn(1, 512), torch.randn(1, 1, 256, 256)
    with torch.no_grad():
        whole = relief(w, noise)
        part = relief(w, noise[..., 64:192, 96:224], (64, 96, 128))
        assert not relief(w, torch.zeros_like(noise)).any()
        stronger = relief(w, 2 * noise)
    inner = (..., slice(24, -24), slice(24, -24))
    assert float(whole.std()) > 1e-3
    assert torch.allclose(2 * whole, stronger, atol=1e-5), "pores keep their shape when they deepen"
    # Coarse bands turn the noise over, so that only the finest ones are the same in a part.
    assert part[inner].shape == (1, 1, 80, 80)


def test_the_papers_encoder_has_its_113_million_parameters() -> None:
    with torch.device("meta"):
        encoder = Encoder(EncoderConfig(50, 52, style_split(1024), (7680, 7680)))
    count = sum(p.numel() for p in encoder.parameters())
    assert count == pytest.approx(113.2e6, rel=0.03)
    assert encoder.num_ws == 18


def test_activations_keep_their_scale_through_every_up_sampling() -> None:
    torch.manual_seed(0)
    synthesis = Synthesis(SynthesisConfig(128, (16,) * 6, (4, 8, 16, 8), (0,) * 4)).eval()
    w = torch.randn(8, synthesis.num_ws, 512)
    synthesis.calibrate(w, 128)
    with torch.no_grad():
        for resolution in (8, 16, 32, 64, 128):
            x, _ = synthesis.lower(w, resolution)
            assert 0.6 < float(x.square().mean().sqrt()) < 1.6, resolution


def test_one_sample_and_a_batch_give_the_same_map() -> None:
    torch.manual_seed(0)
    synthesis = Synthesis(SynthesisConfig(64, (16,) * 5, (4, 4, 4), (0, 2, 0))).eval()
    for parameter in synthesis.parameters():  # output layers start at zero
        torch.nn.init.normal_(parameter, std=0.5)
    w, noise = torch.randn(3, synthesis.num_ws, 512), torch.randn(3, 1, 64, 64)
    with torch.no_grad():
        batch = synthesis(w, noise)
        single = torch.cat([synthesis(w[i : i + 1], noise[i : i + 1]) for i in range(3)])
    assert torch.allclose(batch, single, atol=1e-4 * float(batch.abs().max()))
