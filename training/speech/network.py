"""The network: features of every 24 ms to weights of every 12 ms, by dilated convolutions."""

from __future__ import annotations

import torch
from torch import nn

from ...backend.speech import BANDS, SUBFRAMES

ENCODED = 288
MEL = SUBFRAMES * BANDS
TOUCHES = 2
_DILATIONS = (1, 2, 4, 8, 1, 2)  # 36 frames, 0.9 s, are seen on either side


class SpeechNetwork(nn.Module):
    """Moonshine's features and log-mel energies to weights and touch probabilities.

    Input `encoded` (B, F, 288) and `mel` (B, F, 80); output (B, 2 F, channels + 2): weights >= 0,
    then the probabilities of lips touching lips, and of lip touching teeth. While training it also
    names the phones, which makes it tell apart what only context can.
    """

    gain: torch.Tensor

    def __init__(self, channels: int, phones: int, width: int = 176) -> None:
        super().__init__()
        self.channels = channels
        self.norm = nn.LayerNorm(ENCODED)
        self.from_encoded = nn.Linear(ENCODED, width - 48)
        self.from_mel = nn.Sequential(nn.Linear(MEL, 48), nn.GELU())
        self.blocks = nn.ModuleList(_Block(width, dilation) for dilation in _DILATIONS)
        self.phones = nn.Conv1d(width, SUBFRAMES * phones, 1)
        self.register_buffer("gain", torch.ones(channels))
        self.out = nn.Conv1d(width, SUBFRAMES * (channels + TOUCHES), 3, padding=1)

    def forward(self, encoded: torch.Tensor, mel: torch.Tensor) -> torch.Tensor:
        """Return the rows as they are used."""
        weights, logits, _ = self.split(encoded, mel)
        return torch.cat([(weights * self.gain).clamp(0, 1), torch.sigmoid(logits)], dim=-1)

    def split(self, encoded: torch.Tensor, mel: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return what losses need: weights (B, 2 F, channels) without gain, unclamped; touch logits
        (B, 2 F, 2); phone logits (B, 2 F, phones).
        """
        x = torch.cat([self.from_encoded(self.norm(encoded)), self.from_mel(mel)], dim=-1)
        x = x.transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        rows = _rows(self.out(x))
        return rows[..., : self.channels], rows[..., self.channels :], _rows(self.phones(x))


def _rows(x: torch.Tensor) -> torch.Tensor:
    """Turn (B, 2 C, F) into rows of subframes (B, 2 F, C)."""
    batch, channels, frames = x.shape
    return x.transpose(1, 2).reshape(batch, SUBFRAMES * frames, channels // SUBFRAMES)


class _Block(nn.Module):
    """A residual block: normalised, a dilated convolution of 5 taps, a mixing of channels."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.spread = nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x.transpose(1, 2)).transpose(1, 2)
        y = nn.functional.gelu(self.spread(y))
        return x + self.drop(self.mix(y))
