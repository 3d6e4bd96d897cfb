"""Learns the speech network from synthetic speech, or goes on with it from a user's films.

Writes listener.onnx, decoder.onnx, speech.safetensors and speech.json.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...backend.errors import FurrowError
from ...backend.formats import figures
from ...backend.formats.files import ASSETS, sha256
from ..spine import machine
from ..spine.files import claim, digest_of
from ..spine.schedule import averaged
from ..spine.stage import Budget, Row, Stage
from ..spine.stage import run as run_stage
from . import dataset, examples, export, synthesise, visemes
from .losses import Losses, guided, unguided
from .network import Config, SpeechNetwork

COMMAND = "furrow train speech"

FRESH, ONWARD = (24, 2e-3), (12, 2e-4)
"""Epochs and learning rate of a new network, and of one that learns on from films."""

LEAST_STEPS = 30
"""In an epoch with films; few scenes come again, each time from another place on."""

_RISE, _FIRST, _LAST = 0.1, 1 / 25, 1 / 250_000
"""Of the learning rate's one cycle: share of the steps in which it rises, and its ends beside the peak."""

_SLOW, _FAST = 0.95, 0.85
"""Adam's first beta at the ends of the cycle and at its peak."""


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
    parser.add_argument("--parallel", action="store_true",
                        help="learn the variant that does not see its own past motion")  # fmt: skip
    parser.add_argument("--assets", type=Path, default=ASSETS / "speech", metavar="DIR",
                        help="folder to export to (default: what ships)")  # fmt: skip
    machine.add_arguments(parser, Path("out/speech/network"))


def run(args: argparse.Namespace) -> None:
    """Make scenes from synthetic speech or from films, train, export."""
    device = machine.begin(args)
    torch.manual_seed(args.seed)
    learn = _learn_on if args.videos else _learn_anew
    started = time.perf_counter()
    network, about = learn(args, device)
    about = {
        "config": asdict(network.config),
        "parameters": sum(p.numel() for p in network.parameters()),
        **about,
        "commit": figures.commit(),
        "training_seconds": round(time.perf_counter() - started),
        "torch": torch.__version__,
    }
    export.export(network, args.assets, about, args.encoder)


def _learn_anew(
    args: argparse.Namespace, device: torch.device
) -> tuple[SpeechNetwork, dict[str, Any]]:
    """Return a network that learned from synthetic speech, and what it learned from."""
    sentences = synthesise.synthesise(args.sentences, args.seed)
    corpus = [f for f in sentences if f.name.startswith("train")]
    scenes = dataset.scenes(corpus, args.scenes, args.seed, args.processes, args.encoder)
    held_back = max(1, len(scenes) // 25)  # they share voices with the rest: a check, no figure
    config = Config(scenes[0].encoded.shape[1], autoregressive=not args.parallel)
    network = SpeechNetwork(config, len(visemes.PHONES))
    name = "parallel" if args.parallel else "autoregressive"
    epochs, rate = args.epochs or FRESH[0], FRESH[1]
    data_sha256 = _digest(corpus)
    settings = {"config": asdict(config), "data": data_sha256, "scenes": args.scenes,
                "epochs": epochs, "batch": args.batch, "seed": args.seed}  # fmt: skip
    claim(args.out, settings, f"{name}.json")
    curve = fit(
        network, scenes[held_back:], scenes[:held_back], epochs, args.batch, args.seed,
        rate, name, args.out, device, args.minutes,
    )  # fmt: skip
    _hold_still(network, scenes[:held_back])
    command = (
        f"{COMMAND} --sentences {args.sentences} --scenes {args.scenes} "
        f"--epochs {epochs} --batch {args.batch} --seed {args.seed}"
    )
    return network, {
        "command": command + " --parallel" * args.parallel,
        "data_sha256": data_sha256,
        "data_hours": _hours(scenes),
        "loss_by_epoch": [round(x, 4) for x in curve],
    }


def _learn_on(
    args: argparse.Namespace, device: torch.device
) -> tuple[SpeechNetwork, dict[str, Any]]:
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
    # Scenes come in pairs, as a file and as a stream is heard; the last tenth is held back.
    held_back = 2 * max(1, len(scenes) // 20)
    training = scenes[:-held_back]
    batch, epochs = min(args.batch, len(training)), args.epochs or ONWARD[0]
    again = max(1, LEAST_STEPS * batch // len(training))
    # A checkpoint for each set of films, and each network that learns on from them.
    key = hashlib.sha256(f"{digest_of(network)} {batch} {epochs} {args.seed}".encode())
    for scene in scenes:
        for array in (scene.encoded, scene.measured, scene.contact):
            key.update(np.ascontiguousarray(array).tobytes())
    curve = fit(
        network, training * again, scenes[-held_back:], epochs, batch, args.seed,
        ONWARD[1], f"films-{key.hexdigest()[:8]}", args.out, device, args.minutes,
    )  # fmt: skip
    return network, {
        "command": f"{COMMAND} --videos {args.videos.name} --epochs {epochs} "
        f"--batch {args.batch} --seed {args.seed}",
        "from_sha256": sha256(ASSETS / "speech/speech.safetensors"),
        "data_hours": _hours(scenes[::2]),
        "loss_by_epoch": [round(x, 4) for x in curve],
    }


def _hours(scenes: Sequence[dataset.Scene]) -> float:
    return round(sum(len(s.encoded) for s in scenes) * 0.024 / 3600, 4)


def stage_of(
    network: SpeechNetwork,
    scenes: Sequence[dataset.Scene],
    losses: Losses,
    epochs: int,
    batch: int,
    seed: int,
    rate: float,
    name: str,
) -> Stage:
    """Return the stage of a network that lies where it learns; an epoch has every scene once.

    `rate` is that of learning at its highest.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.02)
    steps = steps_of(scenes, batch)

    def learn(stage: Stage, rng: np.random.Generator) -> dict[str, Tensor]:
        network.train()
        epoch, number = divmod(stage.step, steps)
        order = np.random.default_rng([seed, epoch]).permutation(len(scenes))
        part = [scenes[i] for i in order[number * batch : (number + 1) * batch]]
        trust = min(1.0, epoch / max(1, epochs // 2))
        device = losses.scale.device
        for group in optimiser.param_groups:
            group["betas"] = (beta(stage.step, epochs * steps), 0.999)
        with machine.autocast(device):
            loss = guided(network, examples.batch(part, rng, device), losses, trust)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        return {"loss": loss}

    average = averaged(network, lambda step: min(0.99, (1 + step) / (10 + step)))
    return Stage(
        name, {"network": network}, {"network": optimiser}, learn, {"network": average},
        seed=seed, batch=batch,
    )  # fmt: skip


def steps_of(scenes: Sequence[dataset.Scene], batch: int) -> int:
    """Steps of an epoch."""
    return max(1, len(scenes) // batch)


def fit(
    network: SpeechNetwork,
    scenes: Sequence[dataset.Scene],
    held_back: Sequence[dataset.Scene],
    epochs: int,
    batch: int,
    seed: int,
    rate: float = FRESH[1],
    name: str = "speech",
    folder: Path | None = None,
    device: torch.device | None = None,
    minutes: float | None = None,
    halt_at: int | None = None,
) -> list[float]:
    """Train in place; return the loss on `held_back`, as the network plays on its own, by epoch.

    Parameters
    ----------
    rate
        Of learning, at its highest.
    name, folder
        Of the checkpoint and the log: a training that was cut off goes on from there, to the same
        end. None keeps nothing.
    minutes
        A ceiling.
    halt_at
        Stop at this step, as if cut off.

    Raises
    ------
    FurrowError
        If the loss is no number any more: the last good state stays in the checkpoint.
    """
    device = device or torch.device("cpu")
    torch.manual_seed(seed)
    network.to(device)
    losses = Losses(scenes, device)
    stage = stage_of(network, scenes, losses, epochs, batch, seed, rate, name)
    average = stage.averages["network"].module
    assert isinstance(average, SpeechNetwork)
    steps = steps_of(scenes, batch)

    def report(stage: Stage, row: Row) -> None:
        row["held_back"] = unguided(average, held_back, losses)
        print(f"epoch {stage.step // steps}: loss {row['held_back']:.4f} on scenes held back", flush=True)  # fmt: skip

    budget = Budget(epochs * steps, minutes)
    run_stage(
        stage, folder, budget, COMMAND, schedule=one_cycle, log_every=steps, save_every=0,
        report=report, halt_at=halt_at, diverged="Try another --seed, in another folder.",
    )  # fmt: skip
    network.load_state_dict(average.state_dict())
    network.cpu().eval()
    return [row["held_back"] for row in stage.log]


def one_cycle(step: int, steps: int) -> float:
    """Factor on the learning rates (Smith 2018): a rise to 1 by a cosine, a long fall to nearly 0."""
    return _cycle(step, steps, (_FIRST, 1.0, _LAST))


def beta(step: int, steps: int) -> float:
    """Adam's first beta, which falls while the rate rises."""
    return _cycle(step, steps, (_SLOW, _FAST, _SLOW))


def _cycle(step: int, steps: int, values: tuple[float, float, float]) -> float:
    """A value between three, at the first step, at the peak and at the last, along cosines."""
    peak = _RISE * steps - 1
    first, highest, last = values
    start, end, share = (
        (first, highest, step / peak)
        if step < peak
        else (highest, last, (step - peak) / max(1e-9, steps - 1 - peak))
    )
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def _hold_still(network: SpeechNetwork, scenes: Sequence[dataset.Scene]) -> None:
    """Leave at 0 the weights that speech never moves, such as where the eyes look.

    The others stay as they are: a network that sees its own past is not timid, their spread lies
    within a tenth of the targets'.
    """
    batch = examples.batch(scenes, np.random.default_rng(1), augment=False)
    spread = batch.target[batch.mask.bool()].std(0)
    network.gain.copy_((spread >= 0.005).float())


def _digest(files: Sequence[Path]) -> str:
    """Return one sha256 over the corpus."""
    digest = hashlib.sha256()
    for path in files:
        with np.load(path, allow_pickle=False) as data:
            for name in sorted(data.files):
                digest.update(data[name].tobytes())
    return digest.hexdigest()
