"""The encoder's stage: it learns the styles of the local bases, and of relief, by regression.

No image is made: the styles' numbers are worth the variance of the maps that they stand for. The
style of the last block decides relief, which follows the skin coefficients alone: it learns to
hold them, standardised, in its first numbers.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...backend.identity import SKIN
from ...backend.torch_layers import W_SIZE
from ...backend.torch_networks import Encoder
from .codes import Codes
from .loop import Stage

SKIN_DEVIATION = 12**-0.5
"""Of a number even in [0, 1], as most skin coefficients are."""

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
    styles = []
    for index in wanted:
        group = int(np.searchsorted(ends, index, side="right"))
        within = index - (0 if group == 0 else int(ends[group - 1]))
        head = encoder.heads[group]
        rows = slice(within * W_SIZE, (within + 1) * W_SIZE)
        style = F.linear(features[group], head.weight[rows], head.bias[rows])  # type: ignore[index]
        styles.append(style + encoder.w_avg[index])  # type: ignore[index]
    return torch.stack(styles, 1)


def regression(
    encoder: Encoder,
    codes: Codes,
    variance: Tensor,
    wanted: list[int],
    batch: int,
    rate: float,
    weight_decay: float,
) -> Stage:
    """The stage.

    Parameters
    ----------
    codes
        Samples to learn from.
    variance
        (2, 512), what each number of the two styles is worth.
    wanted
        Indices of the two bases' styles and of the relief's.
    """
    optimiser = torch.optim.AdamW(
        encoder.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True
    )
    worth = variance / variance.sum()
    identity, expression = (torch.from_numpy(v) for v in (codes.identity, codes.expression))
    targets = torch.from_numpy(codes.styles)

    def step(rng: np.random.Generator) -> dict[str, float]:
        rows = torch.from_numpy(rng.integers(len(identity), size=batch))
        made = predict(encoder, identity[rows], expression[rows], wanted)
        folds = ((made[:, :2] - targets[rows].float()).square() * worth).sum((1, 2)).mean()
        relief = made[:, 2] - relief_style(identity[rows])
        loss = folds + RELIEF_WORTH * relief[:, : len(SKIN)].square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"folds": folds.item(), "loss": loss.item()}

    return Stage("encoder", encoder, {"encoder": optimiser}, step)
