"""What the speech network minimises, and what it costs with a batch before it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...backend.formats.expressions import EXPRESSIONS
from ...backend.head.bilinear import Head
from . import dataset, examples
from .network import SpeechNetwork

_PLACE, _VERTEX, _VELOCITY, _CONTACT, _PHONES = 3.0, 0.15, 3.0, 0.8, 0.3
"""Weights of the losses' parts."""

_SPREAD_FROM = 200
"""Scenes, the first ones, whose targets give each weight its scale."""


class Losses:
    """Eq. (7) and (8) of DNPM, velocity, contact, names of phones.

    Eq. (7), the distance of vertices, is a quadratic form of the weights' error, since vertices are
    linear in the weights: with blendshape offsets B (52, 3 V) of the average head it is e B B' e'.
    """

    def __init__(self, scenes: Sequence[dataset.Scene], device: torch.device) -> None:
        head = Head.load()
        offsets = 1000 * head.blendshapes(head.average().shape)
        moving = np.linalg.norm(offsets, axis=-1).max(0) > 0.5  # mm; what expressions move at all
        flat = offsets[:, moving].reshape(len(EXPRESSIONS), -1).astype(np.float64)
        form = (flat @ flat.T / moving.sum()).astype(np.float32)
        targets = np.concatenate(
            [
                examples.target(scene, np.random.default_rng(number))
                for number, scene in enumerate(scenes[:_SPREAD_FROM])
            ]
        )
        scale = 1 / np.maximum(targets.std(0), 0.03).astype(np.float32)
        self.vertices, self.scale = (torch.from_numpy(a).to(device) for a in (form, scale))

    def __call__(self, rows: Tensor, phones: Tensor, batch: examples.Batch) -> Tensor:
        """Return the loss of rows (B, 2 F, 54) and phone logits (B, 2 F, P) for a batch."""
        rows, phones = rows.float(), phones.float()
        weights, logits = rows[..., : len(EXPRESSIONS)], rows[..., len(EXPRESSIONS) :]
        here = batch.mask[..., None]
        emphasis = here * (1 + 2 * batch.contact[..., :1] + batch.contact[..., 1:])
        error = weights - batch.target
        place = functional.smooth_l1_loss(
            weights * self.scale, batch.target * self.scale, reduction="none", beta=0.2
        )
        place = (place * emphasis).sum() / (emphasis.sum() * error.shape[-1])
        vertices = ((error @ self.vertices) * error * here).sum() / here.sum()
        velocity = (error.diff(dim=1) * self.scale).abs() * here[:, 1:]
        velocity = velocity.sum() / (here.sum() * error.shape[-1])
        contact = functional.binary_cross_entropy_with_logits(
            logits, batch.contact, reduction="none", pos_weight=logits.new_full((2,), 2.0)
        )
        contact = (contact * here).sum() / here.sum()
        naming = functional.cross_entropy(
            phones.flatten(0, 1),
            batch.phone.flatten(),
            reduction="none",
            label_smoothing=0.05,
            ignore_index=dataset.UNKNOWN,
        )
        naming = (naming * batch.mask.flatten()).sum() / here.sum()
        return (
            _PLACE * place
            + _VERTEX * vertices
            + _VELOCITY * velocity
            + _CONTACT * contact
            + _PHONES * naming
        )


def guided(network: SpeechNetwork, batch: examples.Batch, losses: Losses, trust: float) -> Tensor:
    """Return the loss of a batch whose past the network is shown.

    A decoder that always sees the true past learns to continue it and forgets to listen; on its own
    it then drifts. So the past that it sees is noisy, now and then absent, and more and more its
    own: `trust` is the share of sequences that see what the network itself made of them
    (scheduled sampling, in parallel: Mihaylova & Martins 2019).
    """
    memory = network.listener(batch.encoded, batch.mel)
    phones = network.name_phones(memory)
    past = examples.before(batch.target)
    if network.config.autoregressive:
        with torch.no_grad():
            rows = network.decoder(memory, batch.style, examples.noisy(past))
            weights = rows[..., : len(EXPRESSIONS)].float().clamp(0, 1)
        own = (torch.rand(len(past)) < trust)[:, None, None].to(past.device)
        past = examples.noisy(torch.where(own, examples.before(weights), past))
    return losses(network.decoder(memory, batch.style, past), phones, batch)


@torch.no_grad()
def unguided(network: SpeechNetwork, scenes: Sequence[dataset.Scene], losses: Losses) -> float:
    """Return the loss on scenes that the network plays on its own, as it will be used."""
    network.eval()
    batch = examples.batch(scenes, np.random.default_rng(1), losses.scale.device, augment=False)
    memory = network.listener(batch.encoded, batch.mel)
    rows = network.play(memory, batch.style)
    return float(losses(rows, network.name_phones(memory), batch))
