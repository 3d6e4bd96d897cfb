"""The standard StyleGAN2 networks, and networks that come from a stylegan2-ada-pytorch .pkl."""

from __future__ import annotations

import io
import math
import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from furrow.backend.detail.engines.stylegan2 import GanConfig, LowPass, StyledConv
from furrow.backend.errors import FurrowError
from furrow.training.networks.stylegan2 import (
    Discriminator,
    Generator,
    count,
    minibatch_deviation,
)
from furrow.training.networks.stylegan_pickle import read_networks
from torch import Tensor, nn

SIZE, BASE, CHANNELS, LAYERS, CLAMP = 32, 256, 24, 3, 256.0
TABLE = ((32768, 512, 28.3, 29.0), (16384, 512, 22.8, 24.0), (8192, 256, 6.7, 6.0), (4096, 128, 2.2, 1.5))  # fmt: skip


@pytest.mark.parametrize(("base", "most", "synthesis", "discriminator"), TABLE)
def test_networks_have_the_published_sizes(
    base: int, most: int, synthesis: float, discriminator: float
) -> None:
    config = GanConfig(1024, base, most)
    with torch.device("meta"):
        made = (Generator(config).synthesis, Discriminator(config))
    assert [count(n.parameters()) / 1e6 for n in made] == pytest.approx(
        [synthesis, discriminator], abs=0.051
    )
    assert made[0].num_ws == 18


def test_outputs_keep_their_scale_whatever_the_style() -> None:
    torch.manual_seed(0)
    for up in (False, True):
        layer = StyledConv(64, 64, 64, up, None)
        x = torch.randn(2, 64, 32 if up else 64, 32 if up else 64)
        scales = []
        for loudness in (0.1, 1.0, 30.0):
            with torch.no_grad():
                layer.affine.bias.fill_(loudness)
                y = layer(x, torch.randn(2, 512) * loudness, "none")[..., 4:-4, 4:-4]
            scales.append(float(y.square().mean().sqrt()))
        assert scales == pytest.approx([scales[0]] * 3, rel=0.1)
        assert 0.4 < scales[0] < 1.2  # the low-pass filter takes a part


def test_upsampling_is_smooth_and_keeps_the_mean() -> None:
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    double = LowPass().double_size(ramp)
    inner = double[0, 0, 8, 4:-4]
    assert double.shape == (1, 1, 32, 32)
    torch.testing.assert_close(inner.diff(), torch.full_like(inner[1:], 0.5))
    torch.testing.assert_close(double[0, 0, 8, 16], torch.tensor(7.75))  # centres stay in place
    chessboard = (ramp + ramp.mT) % 2 * 2 - 1
    filtered = LowPass()(chessboard, 0)
    assert float(filtered.abs().max()) < 1e-6


def test_a_batch_of_copies_has_no_deviation() -> None:
    one = torch.randn(1, 8, 4, 4)
    assert float(minibatch_deviation(one.expand(4, -1, -1, -1), 4).max()) < 1e-3
    assert minibatch_deviation(torch.randn(6, 8, 4, 4), 4).shape == (6, 1, 4, 4)


def test_bfloat16_gives_nearly_the_same_maps() -> None:
    torch.manual_seed(0)
    exact = Generator(GanConfig(SIZE, BASE, CHANNELS))
    coarse = Generator(GanConfig(SIZE, BASE, CHANNELS, bfloat16_resolutions=3))
    coarse.load_state_dict(exact.state_dict())
    z = torch.randn(4, 512)
    with torch.no_grad():
        a, b = exact(z), coarse(z)
    assert b.dtype == torch.float32 and not torch.equal(a, b)
    assert float((a - b).std() / a.std()) < 0.02
    assert torch.equal(exact(z, truncation=0.0)[0], exact(z, truncation=0.0)[1])


def test_impossible_sizes_are_refused() -> None:
    for resolution, base in ((48, 1024), (4, 1024), (1024, 512)):
        with pytest.raises(FurrowError, match=str(resolution)):
            GanConfig(resolution, base)


# A file as stylegan2-ada-pytorch writes it, made without its code.


class Persistent(nn.Module):
    """Pickles as a persistent class does: source, class name and attributes."""

    def __reduce__(self) -> tuple[Any, ...]:
        meta = dict(type="class", version=6, module_src="raise SystemExit('source was executed')",
                    class_name="Layer", state=self.__dict__)  # fmt: skip
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,)


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> type[dict]:
    """The names that such a file refers to; returns EasyDict."""

    def _reconstruct_persistent_obj(meta: object) -> None:
        raise AssertionError("the file ran code")

    class EasyDict(dict):
        pass

    for package, name, value in (
        ("torch_utils", "persistence", _reconstruct_persistent_obj),
        ("dnnlib", "util", EasyDict),
    ):
        value.__module__, value.__qualname__ = f"{package}.{name}", value.__name__
        module = types.ModuleType(f"{package}.{name}")
        setattr(module, value.__name__, value)
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
        monkeypatch.setitem(sys.modules, f"{package}.{name}", module)
    return EasyDict


def channels(resolution: int) -> int:
    return min(BASE // resolution, CHANNELS)


def generator_weights() -> dict[str, Tensor]:
    """Random weights under the names of the release; buffers are those that need no gradient."""
    sizes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (512,)}
    for k in range(LAYERS):
        sizes |= {f"mapping.fc{k}.weight": (512, 512), f"mapping.fc{k}.bias": (512,)}
    for r in (4, 8, 16, 32):
        c, block = channels(r), f"synthesis.b{r}"
        layers = {"conv1": (c, c, 3), "torgb": (c, 1, 1)}
        if r == 4:
            sizes[f"{block}.const"] = (c, 4, 4)
        else:
            layers["conv0"] = (channels(r // 2), c, 3)
        for layer, (i, o, k) in layers.items():
            name = f"{block}.{layer}"
            sizes |= {f"{name}.weight": (o, i, k, k), f"{name}.bias": (o,)}
            sizes |= {f"{name}.affine.weight": (i, 512), f"{name}.affine.bias": (i,)}
            if layer != "torgb":
                sizes |= {f"{name}.noise_const": (r, r), f"{name}.noise_strength": ()}
    return drawn(sizes, [f"synthesis.b{r}" for r in (4, 8, 16, 32)])


def discriminator_weights() -> dict[str, Tensor]:
    sizes: dict[str, tuple[int, ...]] = {"b32.fromrgb.weight": (channels(32), 1, 1, 1)}
    sizes |= {"b32.fromrgb.bias": (channels(32),)}
    for r in (32, 16, 8):
        i, o = channels(r), channels(r // 2)
        sizes |= {f"b{r}.conv0.weight": (i, i, 3, 3), f"b{r}.conv0.bias": (i,)}
        sizes |= {f"b{r}.conv1.weight": (o, i, 3, 3), f"b{r}.conv1.bias": (o,)}
        sizes |= {f"b{r}.skip.weight": (o, i, 1, 1)}
    c = channels(4)
    sizes |= {"b4.conv.weight": (c, c + 1, 3, 3), "b4.conv.bias": (c,)}
    sizes |= {"b4.fc.weight": (c, c * 16), "b4.fc.bias": (c,)}
    sizes |= {"b4.out.weight": (1, c), "b4.out.bias": (1,)}
    return drawn(sizes, [f"b{r}.conv1" for r in (32, 16, 8)])


def drawn(sizes: dict[str, tuple[int, ...]], filtered: list[str]) -> dict[str, Tensor]:
    weights = {name: torch.randn(size) for name, size in sizes.items()}
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return weights | {f"{name}.resample_filter": torch.outer(line, line) for name in filtered}


def network(weights: dict[str, Tensor], **own: object) -> Persistent:
    """The weights as modules in modules, with the attributes that the release keeps beside them."""
    root = Persistent()
    for name, value in weights.items():
        *path, leaf = name.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, Persistent())
            module = module._modules[part]  # type: ignore[assignment]
        if leaf in ("w_avg", "noise_const", "resample_filter"):
            module.register_buffer(leaf, value)
        else:
            module.register_parameter(leaf, nn.Parameter(value))
    for path_, module in root.named_modules():
        module.__dict__ |= dict(architecture=own.get("architecture"), conv_clamp=CLAMP)
        module.__dict__ |= dict(weight_gain=1 / np.sqrt(512), c_dim=0)
        module.__dict__["bias_gain"] = 0.01 if path_.startswith("mapping") else 1
    return root


def contents(easy_dict: type[dict]) -> dict[str, Any]:
    discriminator = network(discriminator_weights(), architecture="resnet")
    mbstd = Persistent()
    mbstd.group_size = 2  # type: ignore[assignment]
    discriminator._modules["b4"].add_module("mbstd", mbstd)
    return {
        "training_set_kwargs": easy_dict(path="faces.zip", resolution=SIZE),
        "G": network(generator_weights(), architecture="skip"),
        "G_ema": network(generator_weights(), architecture="skip"),
        "D": discriminator,
        "augment_pipe": None,
    }


def write(path: Path, content: object) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=3))
    return path


# The same networks once more, as plainly as can be: one sample at a time, zeros put between samples.


def lrelu(x: Tensor, gain: float = 1.0) -> Tensor:
    y = torch.where(x > 0, x, 0.2 * x) * math.sqrt(2) * gain
    return y.clamp(-CLAMP * gain, CLAMP * gain)


def filtered(x: Tensor, before: int, after: int) -> Tensor:
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype) / 8
    x = F.pad(x, (before, after, before, after))
    rows = torch.stack([line[k] * x[..., k : x.shape[-2] - 3 + k, :] for k in range(4)]).sum(0)
    return torch.stack([line[k] * rows[..., k : rows.shape[-1] - 3 + k] for k in range(4)]).sum(0)


def spread(x: Tensor) -> Tensor:
    out = x.new_zeros(*x.shape[:-2], 2 * x.shape[-2], 2 * x.shape[-1])
    out[..., ::2, ::2] = x
    return out


def plain_layer(p: dict[str, Tensor], name: str, x: Tensor, w: Tensor, up: bool) -> Tensor:
    style = p[f"{name}.affine.weight"] @ w / math.sqrt(512) + p[f"{name}.affine.bias"]
    kernel = p[f"{name}.weight"] * style[None, :, None, None]
    kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
    if up:  # a true convolution of the spread-out image, then the filter at gain 4
        x = F.conv2d(F.pad(spread(x[None]), (2, 1, 2, 1)), kernel.flip(2, 3))
        x = 4 * filtered(x, 1, 1)[0]
    else:
        x = F.conv2d(x[None], kernel, padding=1)[0]
    x = x + p[f"{name}.noise_const"] * p[f"{name}.noise_strength"]
    return lrelu(x + p[f"{name}.bias"][:, None, None])


def plain_generator(p: dict[str, Tensor], z: Tensor) -> Tensor:
    w = z / (z.square().mean() + 1e-8).sqrt()
    for k in range(LAYERS):
        weight, bias = p[f"mapping.fc{k}.weight"], p[f"mapping.fc{k}.bias"]
        y = weight @ w * (0.01 / math.sqrt(512)) + 0.01 * bias
        w = torch.where(y > 0, y, 0.2 * y) * math.sqrt(2)
    x, image = p["synthesis.b4.const"], torch.zeros(1, 2, 2, dtype=z.dtype)
    for r in (4, 8, 16, 32):
        block = f"synthesis.b{r}"
        if r > 4:
            x = plain_layer(p, f"{block}.conv0", x, w, True)
        x = plain_layer(p, f"{block}.conv1", x, w, False)
        name = f"{block}.torgb"
        style = p[f"{name}.affine.weight"] @ w / math.sqrt(512) + p[f"{name}.affine.bias"]
        made = torch.einsum("i,ihw->hw", p[f"{name}.weight"][0, :, 0, 0] * style, x)
        made = (made / math.sqrt(len(x)) + p[f"{name}.bias"]).clamp(-CLAMP, CLAMP)
        image = 4 * filtered(spread(image), 2, 1) + made
    return image


def plain_discriminator(p: dict[str, Tensor], image: Tensor) -> Tensor:
    def weight(name: str) -> Tensor:
        return p[f"{name}.weight"] / math.sqrt(p[f"{name}.weight"][0].numel())

    def bias(name: str) -> Tensor:
        return p[f"{name}.bias"][:, None, None]

    x = lrelu(F.conv2d(image, weight("b32.fromrgb")) + bias("b32.fromrgb"))
    for r in (32, 16, 8):
        skip = F.conv2d(filtered(x, 1, 1)[..., ::2, ::2], weight(f"b{r}.skip")) * math.sqrt(0.5)
        x = lrelu(F.conv2d(x, weight(f"b{r}.conv0"), padding=1) + bias(f"b{r}.conv0"))
        x = F.conv2d(filtered(x, 2, 2), weight(f"b{r}.conv1"), stride=2) + bias(f"b{r}.conv1")
        x = lrelu(x, math.sqrt(0.5)) + skip
    half = len(x) // 2  # groups of two: a map and the one half a batch away
    spreads = [
        (torch.stack([x[k], x[k + half]]).var(0, correction=0) + 1e-8).sqrt().mean()
        for k in range(half)
    ]
    extra = torch.stack(spreads * 2)[:, None, None, None].expand(-1, 1, 4, 4)
    x = lrelu(F.conv2d(torch.cat([x, extra], 1), weight("b4.conv"), padding=1) + bias("b4.conv"))
    x = x.flatten(1) @ weight("b4.fc").T + p["b4.fc.bias"]
    x = torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)
    return x @ weight("b4.out").T + p["b4.out.bias"]


def flat(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.double() for name, value in module.state_dict().items()}


def test_a_pickle_of_the_release_gives_its_own_maps(release: type[dict], tmp_path: Path) -> None:
    torch.manual_seed(0)
    content = contents(release)
    read = read_networks(write(tmp_path / "network.pkl", content))
    assert read.config == GanConfig(SIZE, BASE, CHANNELS, LAYERS, CLAMP, group=2)
    generator, discriminator = Generator(read.config), Discriminator(read.config)
    assert read.generator is not None and read.discriminator is not None
    z, maps = torch.randn(2, 512), torch.randn(4, 1, SIZE, SIZE)
    with torch.no_grad():
        for name, state in (("G_ema", read.average), ("G", read.generator)):
            generator.load_state_dict(state)
            wanted = torch.stack([plain_generator(flat(content[name]), k.double()) for k in z])
            assert float(wanted.std()) > 0.1
            torch.testing.assert_close(generator(z).double(), wanted, rtol=1e-4, atol=1e-4)
        discriminator.load_state_dict(read.discriminator)
        wanted = plain_discriminator(flat(content["D"]), maps.double())
        torch.testing.assert_close(discriminator(maps).double(), wanted, rtol=1e-4, atol=1e-4)


class Malicious:
    """What an attacker's pickle does: calls whatever it likes."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def storage_that_runs(function: Any, *arguments: object) -> bytes:
    """The bytes of a tensor's storage, with a call in them."""
    file = io.BytesIO()
    torch.save(Malicious(function, *arguments), file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def test_a_pickle_that_runs_code_is_refused(release: type[dict], tmp_path: Path) -> None:
    mark = tmp_path / "harmed"
    evil = Malicious(os.mkdir, str(mark))
    inner = Malicious(torch.storage._load_from_bytes, storage_that_runs(os.mkdir, str(mark)))
    loader = Malicious(torch.load, str(mark))
    for content in (evil, {"G_ema": evil}, {"G_ema": inner}, {"training_set_kwargs": loader}):
        path = write(tmp_path / "evil.pkl", content)
        with pytest.raises(FurrowError, match=r"evil\.pkl"):
            read_networks(path)
        assert not mark.exists()
    with pytest.raises(FurrowError, match=rf"asks for {os.mkdir.__module__}\.mkdir"):
        read_networks(write(tmp_path / "evil.pkl", evil))


def test_damaged_and_foreign_pickles_say_so(release: type[dict], tmp_path: Path) -> None:
    content = contents(release)
    whole = pickle.dumps(content, protocol=3)
    path = tmp_path / "network.pkl"
    for damaged in (b"", b"no pickle", whole[: len(whole) // 2], pickle.dumps([1, 2, 3])):
        path.write_bytes(damaged)
        with pytest.raises(FurrowError, match=r"network\.pkl"):
            read_networks(path)
    with pytest.raises(FurrowError, match="no file"):
        read_networks(tmp_path / "nowhere.pkl")
    content["D"]._modules["b4"].architecture = "orig"
    with pytest.raises(FurrowError, match="discriminator architecture: orig"):
        read_networks(write(path, content))
    weights = generator_weights()
    del weights["synthesis.b16.conv0.noise_const"]
    odd = {"G_ema": network(weights, architecture="skip")}
    with pytest.raises(FurrowError, match=r"built differently, at synthesis\.blocks\.2\.conv0"):
        read_networks(write(path, odd))
    weights = generator_weights()
    weights["synthesis.b16.conv0.weight"][0] = float("nan")
    with pytest.raises(FurrowError, match="not numbers"):
        read_networks(write(path, {"G_ema": network(weights, architecture="skip")}))
