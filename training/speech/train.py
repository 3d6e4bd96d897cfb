"""Learns the speech network from synthetic speech; writes assets/speech/speech.onnx and speech.json."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...backend import figures
from ...backend.files import ASSETS, whole_file, write_whole
from . import dataset, synthesise, visemes
from .network import ENCODED, MEL, SpeechNetwork

CROP = 128  # frames of a training example, 3 s
FORMAT = "furrow.speech/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `furrow train speech`."""
    parser.add_argument("--sentences", type=int, default=1800, help="sentences to synthesise")
    parser.add_argument("--scenes", type=int, default=2000, help="augmented scenes of up to 8 s")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=ASSETS / "speech", help="folder to write to")


def run(args: argparse.Namespace) -> None:
    """Synthesise what is missing, train, export."""
    torch.manual_seed(args.seed)
    files = synthesise.synthesise(args.sentences, args.seed)
    train_files = [f for f in files if f.name.startswith("train")]
    scenes = dataset.scenes(train_files, args.scenes, args.seed)
    kept_out = scenes[
        : max(1, len(scenes) // 25)
    ]  # scenes that share sentences: a check, no figure
    network = SpeechNetwork(len(visemes.CHANNELS), len(visemes.PHONES))
    started = time.perf_counter()
    curve = fit(network, scenes[len(kept_out) :], kept_out, args.epochs, args.batch, args.seed)
    about = {
        "format": FORMAT,
        "channels": list(visemes.CHANNELS),
        "parameters": sum(p.numel() for p in network.parameters()),
        "command": "furrow train speech "
        f"--sentences {args.sentences} --scenes {args.scenes} --epochs {args.epochs} "
        f"--batch {args.batch} --seed {args.seed}",
        "commit": figures.commit(),
        "data_sha256": _digest(train_files),
        "data_hours": round(sum(len(s.encoded) for s in scenes) * 0.024 / 3600, 2),
        "training_seconds": round(time.perf_counter() - started),
        "gain": [round(x, 3) for x in network.gain.tolist()],
        "loss_by_epoch": [round(x, 4) for x in curve],
        "torch": torch.__version__,
    }
    export(network, args.output, about)


def fit(
    network: SpeechNetwork,
    scenes: Sequence[dataset.Scene],
    kept_out: Sequence[dataset.Scene],
    epochs: int,
    batch: int,
    seed: int,
) -> list[float]:
    """Train in place; return the loss on `kept_out` after each epoch."""
    rng = np.random.default_rng(seed)
    scale = _scale(scenes)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    steps = epochs * (len(scenes) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 2e-3, total_steps=steps, pct_start=0.1
    )
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    )
    curve = []
    for epoch in range(epochs):
        network.train()
        order = rng.permutation(len(scenes))
        bar = tqdm(
            range(len(scenes) // batch), f"epoch {epoch + 1}", file=sys.stderr, mininterval=5
        )
        for k in bar:
            examples = [_crop(scenes[i], rng) for i in order[k * batch : (k + 1) * batch]]
            loss = _loss(network, _batch(examples, rng), scale)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
        average.eval()
        fixed = np.random.default_rng(1)
        with torch.no_grad():
            held = [_crop(scene, fixed) for scene in kept_out]
            curve.append(float(_loss(average.module, _batch(held, None), scale)))
        print(f"epoch {epoch + 1}: loss {curve[-1]:.4f} on scenes kept out", flush=True)
    network.load_state_dict(average.module.state_dict())
    network.eval()
    _set_gain(network, kept_out)
    return curve


def _set_gain(network: SpeechNetwork, scenes: Sequence[dataset.Scene]) -> None:
    """Undo the timidity of a network that is unsure: give each channel the spread it should have.

    A network that minimises errors answers with the mean of what may be, so mouths mumble.
    """
    made, target = [], []
    with torch.no_grad():
        for scene in scenes:
            inputs = (
                torch.from_numpy(a.astype(np.float32))[None] for a in (scene.encoded, scene.mel)
            )
            made.append(network.split(*inputs)[0][0].clamp(0, 1))
            target.append(torch.from_numpy(scene.target.astype(np.float32)))
    ratio = torch.cat(target).std(0) / torch.cat(made).std(0).clamp(min=1e-4)
    network.gain.copy_(ratio.clamp(1.0, 1.25))


def export(network: SpeechNetwork, folder: Path, about: dict) -> None:
    """Write ``speech.onnx`` and ``speech.json`` into a folder."""
    network.eval()
    example = (torch.zeros(1, 50, ENCODED), torch.zeros(1, 50, MEL))
    with whole_file(folder / "speech.onnx") as path:
        torch.onnx.export(
            network,
            example,
            str(path),
            input_names=["encoded", "mel"],
            output_names=["rows"],
            dynamic_axes={n: {1: "frames"} for n in ("encoded", "mel")} | {"rows": {1: "rows"}},
            dynamo=False,  # the older exporter needs no further package
        )
        about = about | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    write_whole(folder / "speech.json", json.dumps(about, indent=1).encode() + b"\n")


def _crop(scene: dataset.Scene, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Return a random stretch of CROP frames; shorter scenes are filled up and masked."""
    first = int(rng.integers(0, max(1, len(scene.encoded) - CROP + 1)))
    frames = min(CROP, len(scene.encoded) - first)
    mask = np.zeros(2 * CROP, np.float32)
    mask[: 2 * frames] = 1

    def cut(array: np.ndarray, each: int) -> np.ndarray:
        piece = array[each * first : each * (first + frames)].astype(np.float32)
        return np.pad(piece, ((0, each * CROP - len(piece)), (0, 0)))

    arrays = [cut(scene.encoded, 1), cut(scene.mel, 1)]
    arrays += [cut(array, 2) for array in (scene.target, scene.touching, scene.phone)]
    return (*arrays, mask)


def _batch(
    examples: Sequence[tuple[np.ndarray, ...]], rng: np.random.Generator | None
) -> list[torch.Tensor]:
    """Stack examples; with `rng`, vary the mel bands so that a new microphone is nothing new."""
    arrays = [np.stack(column) for column in zip(*examples, strict=True)]
    if rng is not None:
        mel = arrays[1]
        tilt = rng.normal(0, 0.12, (len(mel), 1, 1)) * np.linspace(-1, 1, MEL // 2)
        mel += np.tile(tilt, 2) + rng.normal(0, 0.1, (len(mel), 1, 1))
        mel *= rng.random((len(mel), 1, 1)) > 0.1  # now and then Moonshine alone has to do
    return [torch.from_numpy(a.astype(np.float32)) for a in arrays]


def _scale(scenes: Sequence[dataset.Scene]) -> torch.Tensor:
    """Return 1 / standard deviation of each channel, so that small movements count too."""
    targets = np.concatenate([scene.target for scene in scenes]).astype(np.float32)
    return torch.from_numpy(1 / np.maximum(targets.std(0), 0.02))


def _loss(
    network: torch.nn.Module, batch: Sequence[torch.Tensor], scale: torch.Tensor
) -> torch.Tensor:
    """Return the mean error of weights, of their velocity, and of touches; lips that touch count more."""
    encoded, mel, target, touching, phone, mask = batch
    weights, logits, phones = network.split(encoded, mel)  # type: ignore[operator]
    emphasis = (mask * (1 + 2 * touching[..., 0] + touching[..., 1]))[..., None]
    error = torch.nn.functional.smooth_l1_loss(
        weights * scale, target * scale, reduction="none", beta=0.2
    )
    place = (error * emphasis).sum() / (emphasis.sum() * weights.shape[-1])
    moved = (weights.diff(dim=1) - target.diff(dim=1)) * scale
    velocity = (moved.abs() * mask[:, 1:, None]).sum() / (mask.sum() * weights.shape[-1])
    touch = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, touching, reduction="none", pos_weight=torch.tensor([2.0, 2.0])
    )
    named = torch.nn.functional.cross_entropy(
        phones.flatten(0, 1), phone.long().flatten(), reduction="none", label_smoothing=0.05
    )
    touched = (touch * mask[..., None]).sum() / mask.sum()
    return place + velocity + 0.8 * touched + 0.3 * (named * mask.flatten()).sum() / mask.sum()


def _digest(files: Sequence[Path]) -> str:
    """Return one sha256 over the corpus."""
    digest = hashlib.sha256()
    for path in files:
        with np.load(path, allow_pickle=False) as data:
            for name in sorted(data.files):
                digest.update(data[name].tobytes())
    return digest.hexdigest()
