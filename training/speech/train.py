"""Learns the speech network from synthetic speech, or goes on with it from a user's films.

Writes listener.onnx, decoder.onnx, speech.safetensors and speech.json.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from ...backend.errors import FurrowError
from ...backend.formats import figures
from ...backend.formats.expressions import EXPRESSIONS
from ...backend.formats.files import ASSETS, whole_file
from ...backend.head.bilinear import Head
from . import dataset, examples, export, synthesise, visemes
from .network import Config, SpeechNetwork

STATE = Path("out/speech/network")
FRESH, ONWARD = (24, 2e-3), (12, 2e-4)
"""Epochs and learning rate of a new network, and of one that learns on from films."""
LEAST_STEPS = 30
"""In an epoch with films; few scenes come again, each time from another place on."""
_VERTEX, _VELOCITY, _CONTACT, _PHONES = 0.15, 1.0, 0.8, 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `furrow train speech`."""
    parser.add_argument("--sentences", type=int, default=2600, help="sentences to synthesise")
    parser.add_argument("--scenes", type=int, default=2000, help="augmented scenes of up to 8 s")
    parser.add_argument("--videos", type=Path, metavar="FOLDER",
                        help="go on from the network that is there, with films of people who talk")  # fmt: skip
    parser.add_argument("--landmarker", type=Path, metavar="FILE",
                        help="MediaPipe's face_landmarker.task, which sees the faces in the films")  # fmt: skip
    parser.add_argument("--encoder", type=Path, metavar="FILE",
                        help="wav2vec 2.0 or HuBERT as ONNX in Moonshine's place")  # fmt: skip
    parser.add_argument("--epochs", type=int, help=f"{FRESH[0]}; with films {ONWARD[0]}")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, help="that make the scenes")
    parser.add_argument("--threads", type=int, default=0, help="of training; 0: as PyTorch likes")
    parser.add_argument("--parallel", action="store_true",
                        help="learn the variant that does not see its own past motion")  # fmt: skip
    parser.add_argument("--state", type=Path, default=STATE, metavar="FOLDER",
                        help="checkpoints, from which a stopped training goes on")  # fmt: skip
    parser.add_argument("--output", type=Path, default=ASSETS / "speech", help="folder to write to")


def run(args: argparse.Namespace) -> None:
    """Make scenes from synthetic speech or from films, train, export."""
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    learn = _learn_on if args.videos else _learn_anew
    started = time.perf_counter()
    network, about = learn(args)
    about = {
        "config": asdict(network.config),
        "parameters": sum(p.numel() for p in network.parameters()),
        **about,
        "commit": figures.commit(),
        "training_seconds": round(time.perf_counter() - started),
        "torch": torch.__version__,
    }
    export.export(network, args.output, about, args.encoder)


def _learn_anew(args: argparse.Namespace) -> tuple[SpeechNetwork, dict]:
    """Return a network that learned from synthetic speech, and what it learned from."""
    files = synthesise.synthesise(args.sentences, args.seed)
    train_files = [f for f in files if f.name.startswith("train")]
    scenes = dataset.scenes(train_files, args.scenes, args.seed, args.processes, args.encoder)
    kept_out = scenes[: max(1, len(scenes) // 25)]  # share voices with the rest: a check, no figure
    config = Config(scenes[0].encoded.shape[1], autoregressive=not args.parallel)
    network = SpeechNetwork(config, len(visemes.PHONES))
    checkpoint = args.state / ("parallel.pt" if args.parallel else "autoregressive.pt")
    epochs = args.epochs or FRESH[0]
    curve = fit(
        network, scenes[len(kept_out) :], kept_out, epochs, args.batch, args.seed, checkpoint
    )
    _hold_still(network, kept_out)
    command = (
        f"furrow train speech --sentences {args.sentences} --scenes {args.scenes} "
        f"--epochs {epochs} --batch {args.batch} --seed {args.seed}"
    )
    return network, {
        "command": command + " --parallel" * args.parallel,
        "data_sha256": _digest(train_files),
        "data_hours": _hours(scenes),
        "loss_by_epoch": [round(x, 4) for x in curve],
    }


def _learn_on(args: argparse.Namespace) -> tuple[SpeechNetwork, dict]:
    """Return the network that is there after it learned from films, and what it learned from.

    Raises
    ------
    FurrowError
        If the landmarker is not given, an encoder is, or the films give fewer than two scenes.
    """
    from . import videos

    if args.landmarker is None:
        raise FurrowError(
            "Films need --landmarker FILE: Google's face_landmarker.task for MediaPipe.",
            "missing_model",
        )
    if args.encoder is not None:
        raise FurrowError("Films go on from the network that ships: leave out --encoder.")
    network = export.load(ASSETS / "speech")
    scenes = videos.scenes(args.videos, args.landmarker, network)
    if len(scenes) < 4:
        raise FurrowError(
            f"{args.videos} gives a single scene of up to 8 s, too little to learn from. Add films."
        )
    # Scenes come in pairs, as a file and as a stream is heard; the last tenth is kept out.
    kept = 2 * max(1, len(scenes) // 20)
    learned = scenes[:-kept]
    batch, epochs = min(args.batch, len(learned)), args.epochs or ONWARD[0]
    again = max(1, LEAST_STEPS * batch // len(learned))
    curve = fit(network, learned * again, scenes[-kept:], epochs, batch, args.seed, rate=ONWARD[1])
    return network, {
        "command": f"furrow train speech --videos {args.videos.name} --epochs {epochs} "
        f"--batch {args.batch} --seed {args.seed}",
        "from_sha256": hashlib.sha256(
            (ASSETS / "speech/speech.safetensors").read_bytes()
        ).hexdigest(),
        "data_hours": _hours(scenes[::2]),
        "loss_by_epoch": [round(x, 4) for x in curve],
    }


def _hours(scenes: Sequence[dataset.Scene]) -> float:
    return round(sum(len(s.encoded) for s in scenes) * 0.024 / 3600, 4)


def fit(
    network: SpeechNetwork,
    scenes: Sequence[dataset.Scene],
    kept_out: Sequence[dataset.Scene],
    epochs: int,
    batch: int,
    seed: int,
    checkpoint: Path | None = None,
    rate: float = FRESH[1],
) -> list[float]:
    """Train in place; return the loss on `kept_out`, as the network plays on its own, by epoch.

    Parameters
    ----------
    checkpoint
        State after each epoch; a training that was stopped goes on from there, to the same end.
    rate
        Of learning, at its highest.

    Raises
    ------
    FurrowError
        If the loss is no number any more: the last good state stays in the checkpoint.
    """
    losses = Losses(scenes)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.02)
    steps = max(1, len(scenes) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=epochs * steps, pct_start=0.1
    )
    average = torch.optim.swa_utils.AveragedModel(network, avg_fn=_averaged)
    parts: dict[str, Any] = {
        "network": network, "average": average, "optimizer": optimizer, "schedule": schedule,
    }  # fmt: skip
    curve = _resume(checkpoint, parts)
    for epoch in range(len(curve), epochs):
        rng = np.random.default_rng([seed, epoch])
        torch.manual_seed(seed + epoch)
        network.train()
        order = rng.permutation(len(scenes))
        trust = min(1.0, epoch / max(1, epochs // 2))
        bar = tqdm(range(steps), f"epoch {epoch + 1}", file=sys.stderr, mininterval=5)
        for k in bar:
            chosen = [scenes[i] for i in order[k * batch : (k + 1) * batch]]
            with torch.autocast("cpu", torch.bfloat16, enabled=_has_bfloat16()):
                loss = _learn(network, examples.batch(chosen, rng), losses, trust)
            if not math.isfinite(loss.item()):
                raise FurrowError(
                    f"The loss is {loss.item()} in epoch {epoch + 1}; the state before it is kept"
                    f"{f' in {checkpoint}' if checkpoint else ''}. Try another seed."
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
        assert isinstance(average.module, SpeechNetwork)
        curve.append(_check(average.module, kept_out, losses))
        print(f"epoch {epoch + 1}: loss {curve[-1]:.4f} on scenes kept out", flush=True)
        if checkpoint is not None:
            with whole_file(checkpoint) as path:
                torch.save({n: p.state_dict() for n, p in parts.items()} | {"curve": curve}, path)
    network.load_state_dict(average.module.state_dict())
    network.eval()
    return curve


def _averaged(average: torch.Tensor, now: torch.Tensor, steps: torch.Tensor | int) -> torch.Tensor:
    """Return the moving average over a hundred steps, over fewer while it begins."""
    keep = min(0.99, (1 + float(steps)) / (10 + float(steps)))
    return average + (1 - keep) * (now - average)


class Losses:
    """What is minimised: eq. (7) and (8) of DNPM, velocity, contact, names of phones.

    Eq. (7), the distance of vertices, is a quadratic form of the weights' error, since vertices are
    linear in the weights: with blendshape offsets B (52, 3 V) of the average head it is e B B' e'.
    """

    def __init__(self, scenes: Sequence[dataset.Scene]) -> None:
        head = Head.load()
        offsets = 1000 * head.blendshapes(head.average().shape)
        moved = np.linalg.norm(offsets, axis=-1).max(0) > 0.5  # mm; what expressions move at all
        flat = offsets[:, moved].reshape(len(EXPRESSIONS), -1).astype(np.float64)
        self.vertices = torch.from_numpy((flat @ flat.T / moved.sum()).astype(np.float32))
        targets = np.concatenate([examples.target(s, rng) for s, rng in _drawn(scenes)])
        self.scale = torch.from_numpy(1 / np.maximum(targets.std(0), 0.03).astype(np.float32))

    def __call__(
        self, rows: torch.Tensor, phones: torch.Tensor, wanted: examples.Batch
    ) -> torch.Tensor:
        """Return the loss of rows (B, 2 F, 54) and phone logits (B, 2 F, P)."""
        rows, phones = rows.float(), phones.float()
        weights, logits = rows[..., : len(EXPRESSIONS)], rows[..., len(EXPRESSIONS) :]
        here = wanted.mask[..., None]
        emphasis = here * (1 + 2 * wanted.contact[..., :1] + wanted.contact[..., 1:])
        error = weights - wanted.target
        place = functional.smooth_l1_loss(
            weights * self.scale, wanted.target * self.scale, reduction="none", beta=0.2
        )
        place = (place * emphasis).sum() / (emphasis.sum() * error.shape[-1])
        apart = ((error @ self.vertices) * error * here).sum() / here.sum()
        moved = (error.diff(dim=1) * self.scale).abs() * here[:, 1:]
        velocity = moved.sum() / (here.sum() * error.shape[-1])
        contact = functional.binary_cross_entropy_with_logits(
            logits, wanted.contact, reduction="none", pos_weight=torch.full((2,), 2.0)
        )
        contact = (contact * here).sum() / here.sum()
        named = functional.cross_entropy(
            phones.flatten(0, 1),
            wanted.phone.flatten(),
            reduction="none",
            label_smoothing=0.05,
            ignore_index=dataset.UNKNOWN,
        )
        named = (named * wanted.mask.flatten()).sum() / here.sum()
        return (
            3 * place
            + _VERTEX * apart
            + 3 * _VELOCITY * velocity
            + _CONTACT * contact
            + _PHONES * named
        )


def _learn(
    network: SpeechNetwork, wanted: examples.Batch, losses: Losses, trust: float
) -> torch.Tensor:
    """Return the loss of one batch.

    A decoder that always sees the true past learns to continue it and forgets to listen; on its own
    it then drifts. So the past that it sees is noisy, now and then absent, and more and more its
    own: `trust` is the share of sequences that see what the network itself made of them
    (scheduled sampling, in parallel: Mihaylova & Martins 2019).
    """
    memory = network.listener(wanted.encoded, wanted.mel)
    phones = network.name_phones(memory)
    past = examples.before(wanted.target)
    if network.config.autoregressive:
        with torch.no_grad():
            made = network.decoder(memory, wanted.style, examples.noisy(past))
            made = made[..., : len(EXPRESSIONS)].float().clamp(0, 1)
        own = (torch.rand(len(past)) < trust)[:, None, None]
        past = examples.noisy(torch.where(own, examples.before(made), past))
    return losses(network.decoder(memory, wanted.style, past), phones, wanted)


def _check(network: SpeechNetwork, kept_out: Sequence[dataset.Scene], losses: Losses) -> float:
    """Return the loss on scenes kept out; the network plays on its own, as it will be used."""
    network.eval()
    wanted = examples.batch(kept_out, np.random.default_rng(1), augment=False)
    with torch.no_grad():
        memory = network.listener(wanted.encoded, wanted.mel)
        rows = network.play(memory, wanted.style)
        return float(losses(rows, network.name_phones(memory), wanted))


def _hold_still(network: SpeechNetwork, scenes: Sequence[dataset.Scene]) -> None:
    """Leave at 0 the weights that speech never moves, such as where the eyes look.

    The others stay as they are: a network that sees its own past is not timid, their spread lies
    within a tenth of the targets'.
    """
    wanted = examples.batch(scenes, np.random.default_rng(1), augment=False)
    spread = wanted.target[wanted.mask.bool()].std(0)
    network.gain.copy_((spread >= 0.005).float())


def _resume(checkpoint: Path | None, parts: dict) -> list[float]:
    """Load a checkpoint where there is one; return the curve so far."""
    if checkpoint is None or not checkpoint.is_file():
        return []
    try:
        state = torch.load(checkpoint, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        return [float(x) for x in state["curve"]]
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        raise FurrowError(
            f"{checkpoint} does not fit this network ({error}). Move it away to start anew."
        ) from None


def _drawn(scenes: Sequence[dataset.Scene]) -> list[tuple[dataset.Scene, np.random.Generator]]:
    return [(scene, np.random.default_rng(k)) for k, scene in enumerate(scenes[:200])]


def _has_bfloat16() -> bool:
    """Say whether this CPU multiplies in bfloat16; elsewhere autocast only costs time."""
    about = Path("/proc/cpuinfo")
    return about.is_file() and "avx512_bf16" in about.read_text(encoding="utf-8")


def _digest(files: Sequence[Path]) -> str:
    """Return one sha256 over the corpus."""
    digest = hashlib.sha256()
    for path in files:
        with np.load(path, allow_pickle=False) as data:
            for name in sorted(data.files):
                digest.update(data[name].tobytes())
    return digest.hexdigest()
