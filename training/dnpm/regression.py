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
from .loop import Stage
from .samples import Samples

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


def predict(encoder: Encoder, identity: Tensor, expression: Tensor, wanted: list[int]) -> Tensor:
    """Only the wanted styles (N, len(wanted), 512), w_avg added: most heads need not be computed."""
    features = encoder.features(identity, expression)
    ends = np.cumsum([count for count in encoder.config.split if count])
    made = []
    for index in wanted:
        head, rows = _rows(encoder, ends, index)
        group = int(np.searchsorted(ends, index, side="right"))
        style = F.linear(features[group], head.weight[rows], head.bias[rows])
        made.append(style + encoder.w_avg[index])  # type: ignore[index]
    return torch.stack(made, 1)


def regression(
    encoder: Encoder,
    samples: Samples,
    variance: Tensor,
    wanted: list[int],
    batch: int,
    rate: float,
    weight_decay: float,
    bfloat16: bool = True,
) -> Stage:
    """The stage.

    Parameters
    ----------
    samples
        What to learn from.
    variance
        (2, 512), what each number of the two styles is worth.
    wanted
        Indices of the two bases' styles and of the relief's.
    """
    optimiser = torch.optim.AdamW(
        encoder.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True
    )
    worth = variance / variance.sum()
    identity, expression = (torch.from_numpy(v) for v in (samples.identity, samples.expression))
    targets = torch.from_numpy(samples.styles)

    def step(rng: np.random.Generator) -> dict[str, float]:
        rows = torch.from_numpy(rng.integers(len(identity), size=batch))
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            made = predict(encoder, identity[rows], expression[rows], wanted).float()
        target = targets[rows].float()
        # Samples drawn for the coarse style alone say nothing of the fine one.
        known = target.isfinite()
        wrong = torch.where(known, made[:, :2] - target.nan_to_num(0.0), 0.0).square() * worth
        folds = (wrong.sum((0, 2)) / known[..., 0].sum(0).clamp(min=1)).sum()
        relief = made[:, 2] - relief_style(identity[rows])
        loss = folds + RELIEF_WORTH * relief[:, : len(SKIN)].square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"folds": folds.item(), "loss": loss.item()}

    return Stage("encoder", encoder, {"encoder": optimiser}, step)


@torch.no_grad()
def restore_amplitude(
    encoder: Encoder,
    bases: tuple[LocalBasis, LocalBasis],
    samples: Samples,
    wanted: list[int],
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
    identity, expression = (torch.from_numpy(v) for v in (samples.identity, samples.expression))
    made = predict(encoder, identity, expression, wanted[:2])
    known = torch.from_numpy(samples.styles).float()
    for number, (basis, gain) in enumerate(zip(bases, gains, strict=True)):
        predicted, true = (basis.coefficients(styles[:, number]) for styles in (made, known))
        ratio = true.std(0) / predicted.std(0).clamp(min=1e-6)
        factor = ratio.clamp(1.0, LARGEST_FACTOR) ** strength
        factor[true.std(0) < 1e-4] = 1.0  # patches off the skin
        factor *= gain
        mean = predicted.mean(0)
        basis.loadings.mul_(factor[:, None])
        basis.mean.copy_(mean + factor * (basis.mean - mean))


@torch.no_grad()
def spread_styles(encoder: Encoder, samples: Samples, wanted: list[int]) -> None:
    """Give the other styles the bases' styles too: the coarse one up to its layer, then the fine one.

    StyleGAN2's mapping feeds all layers alike; so do these, and the convolutions of all blocks
    know what the image shows. Heads of the same layer of the encoder are copied; those of an
    earlier layer are solved for, by least squares.
    """
    identity, expression = (torch.from_numpy(v) for v in (samples.identity, samples.expression))
    features = encoder.features(identity, expression)
    made = predict(encoder, identity, expression, wanted)
    ends = np.cumsum([count for count in encoder.config.split if count])
    coarse, fine, last = wanted
    for index in range(last):
        if index in wanted:
            continue
        source = coarse if index < coarse else fine
        head, rows = _rows(encoder, ends, index)
        group, known = (int(np.searchsorted(ends, i, side="right")) for i in (index, source))
        if group == known:
            same, its = _rows(encoder, ends, source)
            head.weight[rows], head.bias[rows] = same.weight[its], same.bias[its]
        else:
            x = F.pad(features[group], (0, 1), value=1.0)
            gram = x.T @ x + 1e-2 * len(x) * torch.eye(x.shape[1])
            solved = torch.linalg.solve(gram, x.T @ made[:, wanted.index(source)])
            head.weight[rows], head.bias[rows] = solved[:-1].T, solved[-1]


def _rows(encoder: Encoder, ends: np.ndarray, index: int) -> tuple[nn.Linear, slice]:
    """The head that makes a style, and its rows."""
    group = int(np.searchsorted(ends, index, side="right"))
    within = index - (0 if group == 0 else int(ends[group - 1]))
    head = encoder.heads[group]
    assert isinstance(head, nn.Linear), "heads of five widths are needed"
    return head, slice(within * W_SIZE, (within + 1) * W_SIZE)
