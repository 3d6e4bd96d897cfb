"""The encoder's stage: it learns the styles of the local bases, and of relief, by regression.

No image is made: the styles' numbers are worth the variance of the maps that they stand for. The
style of the last block decides relief, which follows the skin coefficients alone: it learns to
hold them, standardised, in its first numbers.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backend.detail.engines.torch_layers import W_SIZE, LocalBasis
from ...backend.detail.engines.torch_networks import Encoder
from ...backend.formats.identity import SKIN
from ..spine import machine
from ..spine.schedule import averaged
from ..spine.stage import Stage
from .samples import Samples
from .setup import StageOptions

SKIN_DEVIATION = 12**-0.5
"""Of a number even in [0, 1], as most skin coefficients are."""

LARGEST_FACTOR = 2.5
"""Of :func:`restore_amplitude`: what is hardly predicted at all shall not become a loud mistake."""

RELIEF_WORTH = 0.02
"""Of the relief's style beside the maps' whole variance, 1: it is easy and shall not crowd them."""


def relief_style(identity: Tensor) -> Tensor:
    """Style (N, 512) of the last block for identities (N, K + 16)."""
    skin = (identity[:, -len(SKIN) :] - 0.5) / SKIN_DEVIATION
    return F.pad(skin, (0, W_SIZE - len(SKIN)))


def predict(encoder: Encoder, identity: Tensor, expression: Tensor, styles: list[int]) -> Tensor:
    """Only some styles (N, len(styles), 512), w_avg added: most heads need not be computed."""
    features = encoder.features(identity, expression)
    predictions = []
    for index in styles:
        group, head, rows = _rows(encoder, index)
        style = F.linear(features[group], head.weight[rows], head.bias[rows])
        predictions.append(style + encoder.w_avg[index])
    return torch.stack(predictions, 1)


def regression(
    encoder: Encoder,
    samples: Samples,
    variance: Tensor,
    styles: list[int],
    options: StageOptions,
    weight_decay: float,
    bfloat16: bool = True,
    seed: int = 0,
) -> Stage:
    """The stage, where the encoder lies.

    Parameters
    ----------
    samples
        What to learn from.
    variance
        (2, 512), what each number of the two bases' styles is worth.
    styles
        Indices of the two bases' styles and of the relief's.
    """
    where = encoder.w_avg.device
    optimiser = torch.optim.AdamW(
        encoder.parameters(), options.rate, (0.9, 0.99), weight_decay=weight_decay, fused=True
    )
    worth = (variance / variance.sum()).to(where)
    identity, expression = samples.inputs()
    targets = torch.from_numpy(samples.styles)

    def learn(stage: Stage, rng: np.random.Generator) -> dict[str, Tensor]:
        rows = torch.from_numpy(rng.integers(len(identity), size=stage.batch))
        a, b, target = (v[rows].to(where) for v in (identity, expression, targets))
        with machine.autocast(where, bfloat16):
            predictions = predict(encoder, a, b, styles).float()
        target = target.float()
        # Samples drawn for the coarse style alone say nothing of the fine one.
        valid = target.isfinite()
        errors = torch.where(valid, predictions[:, :2] - target.nan_to_num(0.0), 0.0)
        squares = (errors.square() * worth).sum((0, 2))
        folds = (squares / valid[..., 0].sum(0).clamp(min=1)).sum()
        relief = predictions[:, 2] - relief_style(a)
        loss = folds + RELIEF_WORTH * relief[:, : len(SKIN)].square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"folds": folds, "loss": loss}

    networks, averages = {"encoder": encoder}, {"encoder": averaged(encoder)}
    optimisers = {"encoder": optimiser}
    return Stage("encoder", networks, optimisers, learn, averages, seed=seed, batch=options.batch)


@torch.no_grad()
def restore_amplitude(
    encoder: Encoder,
    bases: tuple[LocalBasis, LocalBasis],
    samples: Samples,
    styles: list[int],
    strength: float,
    gains: tuple[float, float] = (1.0, 1.0),
) -> None:
    """Give the bases' coefficients the spread that truth has, on people whom the encoder never saw.

    Regression shrinks what it does not know for certain: lines of new people come out faint. Every
    coefficient of every patch is scaled by its true deviation over the predicted one, to the power
    `strength`: 0 leaves the least error, 1 the true spread. What a basis leaves out of the maps is
    missing from their energy; `gains` of the coarse and the fine basis make up for it. Changes
    loadings and means.
    """
    predictions = predict(encoder, *samples.inputs(), styles[:2])
    targets = torch.from_numpy(samples.styles).float()
    for number, (basis, gain) in enumerate(zip(bases, gains, strict=True)):
        predicted, true = (basis.coefficients(w[:, number]) for w in (predictions, targets))
        ratio = true.std(0) / predicted.std(0).clamp(min=1e-6)
        factor = ratio.clamp(1.0, LARGEST_FACTOR) ** strength
        factor[true.std(0) < 1e-4] = 1.0  # patches off the skin
        factor *= gain
        mean = predicted.mean(0)
        basis.loadings.mul_(factor[:, None])
        basis.mean.copy_(mean + factor * (basis.mean - mean))


@torch.no_grad()
def spread_styles(encoder: Encoder, samples: Samples, styles: list[int]) -> None:
    """Give the other styles the bases' styles too: the coarse one up to its layer, then the fine one.

    StyleGAN2's mapping feeds all layers alike; so do these, and the convolutions of all blocks
    know what the image shows. Heads of the same layer of the encoder are copied; those of an
    earlier layer are solved for, by least squares.
    """
    identity, expression = samples.inputs()
    features = encoder.features(identity, expression)
    predictions = predict(encoder, identity, expression, styles)
    coarse, fine, last = styles
    for index in range(last):
        if index in styles:
            continue
        source = coarse if index < coarse else fine
        group, head, rows = _rows(encoder, index)
        source_group, source_head, source_rows = _rows(encoder, source)
        if group == source_group:
            head.weight[rows] = source_head.weight[source_rows]
            head.bias[rows] = source_head.bias[source_rows]
        else:
            x = F.pad(features[group], (0, 1), value=1.0)
            gram = x.T @ x + 1e-2 * len(x) * torch.eye(x.shape[1])
            solution = torch.linalg.solve(gram, x.T @ predictions[:, styles.index(source)])
            head.weight[rows], head.bias[rows] = solution[:-1].T, solution[-1]


def _rows(encoder: Encoder, index: int) -> tuple[int, nn.Linear, slice]:
    """Which layer's head makes a style, the head, and its rows."""
    ends = np.cumsum([count for count in encoder.config.split if count])
    group = int(np.searchsorted(ends, index, side="right"))
    within = index - (0 if group == 0 else int(ends[group - 1]))
    head = encoder.heads[group]
    assert isinstance(head, nn.Linear), "heads of five widths are needed"
    return group, head, slice(within * W_SIZE, (within + 1) * W_SIZE)
