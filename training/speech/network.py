"""The speech network, after FaceFormer: speech features to ARKit weights, one frame after another.

- `Listener`: Moonshine's features and log-mel energies to what the decoder attends to, by dilated
  convolutions that hear 1.4 s of the past and two frames (48 ms) of the future.
- `Decoder`: causal self-attention over its own past motion, biased towards the near past, with a
  periodic positional encoding; cross-attention to the speech, aligned in time; a style that scales
  and shifts what each layer sees (FaceFormer, Fan et al. 2022; DNPM, section on speech).

Without `autoregressive` the decoder does not see what it gave before: the same network, and what it
loses or gains by its own past can be measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...backend.formats.expressions import EXPRESSIONS
from ...backend.liveliness.performance import STYLE_SIZE
from ...backend.speech.features import MEL, SUBFRAMES

CONTACTS = 2
"""Lips to lips, lower lip to teeth."""
ROW = len(EXPRESSIONS) + CONTACTS
"""Numbers in a row of the output."""
_DILATIONS = ((1, 1), (2, 0), (4, 0), (8, 0), (1, 1))  # frames; taps that lie in the future
PAST = sum(d * (4 - ahead) for d, ahead in _DILATIONS)
"""Frames of the past that the listener hears."""
FUTURE = sum(d * ahead for d, ahead in _DILATIONS)
"""... and of the future."""


@dataclass(frozen=True)
class Config:
    """Sizes of the network, in frames of 24 ms where they are times.

    `encoded` is the encoder's width; `span` frames of its past are attended to, `near` frames of speech; `period` is that of the
    positional encoding (1 s, as FaceFormer's).
    """

    encoded: int = 288
    width: int = 160
    heads: int = 4
    layers: int = 1
    span: int = 64
    near: int = 8
    period: int = 42
    autoregressive: bool = True


class Listener(nn.Module):
    """Speech features (B, F, encoded) and (B, F, 80) to what the decoder attends to, (B, F, width)."""

    def __init__(self, encoded: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(encoded)
        self.from_encoded = nn.Linear(encoded, width - 48)
        self.from_mel = nn.Sequential(nn.Linear(MEL, 48), nn.GELU())
        self.blocks = nn.ModuleList(_Convolution(width, d, ahead) for d, ahead in _DILATIONS)

    def forward(self, encoded: Tensor, mel: Tensor) -> Tensor:
        """Return the memory; its first PAST and last FUTURE frames hear zeros beyond the ends."""
        x = torch.cat([self.from_encoded(self.norm(encoded)), self.from_mel(mel)], dim=-1)
        for block in self.blocks:
            x = block(x)
        return x


class _Convolution(nn.Module):
    """A residual block: normalised, a dilated convolution of 5 taps, a mixing of channels."""

    def __init__(self, width: int, dilation: int, ahead: int) -> None:
        super().__init__()
        self.pad = (dilation * (4 - ahead), dilation * ahead)
        self.norm = nn.LayerNorm(width)
        self.spread = nn.Conv1d(width, width, 5, dilation=dilation)
        self.mix = nn.Linear(width, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.pad(self.norm(x).transpose(1, 2), self.pad)
        y = functional.gelu(self.spread(y)).transpose(1, 2)
        return x + self.drop(self.mix(y))


class _Attention(nn.Module):
    """Attention of each frame to keys and values made from a sequence, under an additive bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.keys_values = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def remember(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values (B, heads, F, width / heads) of frames (B, F, width)."""
        keys, values = self.keys_values(x).chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        scores = self._split(self.query(x)) @ keys.transpose(-1, -2)
        shares = torch.softmax(scores / math.sqrt(keys.shape[-1]) + bias, dim=-1)
        return self.out((shares @ values).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class _Layer(nn.Module):
    """Self-attention, aligned cross-attention, feed-forward, each styled and residual."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width
        self.itself = _Attention(width, config.heads)
        self.speech = _Attention(width, config.heads)
        self.forward_in = nn.Linear(width, 2 * width)
        self.forward_out = nn.Linear(2 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.style = nn.Linear(64, 4 * width)
        self.drop = nn.Dropout(0.1)

    def looking_back(self, x: Tensor) -> Tensor:
        return self.norms[0](x)

    def attend(self, x: Tensor, past: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
        return x + self.drop(self.itself(self.looking_back(x), *past, bias))

    def listen(
        self, x: Tensor, memory: tuple[Tensor, Tensor], bias: Tensor, style: Tensor
    ) -> Tensor:
        """Return x after cross-attention and feed-forward, both under the style (B, 64)."""
        scale, shift, gain, offset = self.style(style)[:, None].chunk(4, dim=-1)
        x = x + self.drop(self.speech(self.norms[1](x) * (1 + scale) + shift, *memory, bias))
        y = self.norms[2](x) * (1 + gain) + offset
        return x + self.drop(self.forward_out(functional.gelu(self.forward_in(y))))


class Decoder(nn.Module):
    """Memory of the speech and a style to rows of weights and contacts, two for each frame."""

    positions: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.from_previous = nn.Linear(SUBFRAMES * len(EXPRESSIONS), width)
        self.style = nn.Sequential(nn.Linear(STYLE_SIZE, 64), nn.GELU(), nn.Linear(64, 64))
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.last = nn.LayerNorm(width)
        self.last_style = nn.Linear(64, 2 * width)
        self.out = nn.Linear(width, SUBFRAMES * ROW)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("positions", _periodic(config.period, width), persistent=False)

    def forward(self, memory: Tensor, style: Tensor, previous: Tensor) -> Tensor:
        """Return rows (B, 2 F, ROW) for a whole sequence: weights, then logits of contact.

        Parameters
        ----------
        memory
            (B, F, width).
        style
            (B, STYLE_SIZE).
        previous
            (B, F, 2 x 52): for each frame the weights of the frame before it.
        """
        frames = memory.shape[1]
        itself, speech = (bias.to(memory) for bias in self.biases(frames))
        at = torch.arange(frames, device=memory.device) % self.config.period
        x = memory + self.positions[at]
        if self.config.autoregressive:
            x = x + self.from_previous(previous)
        mood = self.style(style)
        for layer in self.all_layers():
            x = layer.attend(x, layer.itself.remember(layer.looking_back(x)), itself)
            x = layer.listen(x, layer.speech.remember(memory), speech, mood)
        return self.rows(x, mood)

    def all_layers(self) -> list[_Layer]:
        return [layer for layer in self.layers if isinstance(layer, _Layer)]

    def rows(self, x: Tensor, mood: Tensor) -> Tensor:
        scale, shift = self.last_style(mood)[:, None].chunk(2, dim=-1)
        values = self.out(self.last(x) * (1 + scale) + shift)
        return values.unflatten(-1, (SUBFRAMES, ROW)).flatten(1, 2)

    def biases(self, frames: int) -> tuple[Tensor, Tensor]:
        """Return the biases of self-attention (heads, F, F) and of aligned cross-attention (F, F).

        Each head's bias falls with the number of periods of a quarter second that lie between; what
        is out of reach gets -1e4, which vanishes in half precision too.
        """
        at = torch.arange(frames)
        distance = at[:, None] - at
        far = (distance < 0) | (distance >= self.config.span)
        slopes = torch.tensor([4.0 ** -(h + 1) for h in range(self.config.heads)])
        itself = -slopes[:, None, None] * distance.div(
            self.config.period // 4, rounding_mode="floor"
        )
        apart = (distance < 0) | (distance > self.config.near)
        speech = torch.zeros(frames, frames).masked_fill(apart, -1e4)
        return itself.masked_fill(far, -1e4), speech


class SpeechNetwork(nn.Module):
    """Listener and decoder; while training it also names the phones, so that it tells them apart."""

    gain: Tensor

    def __init__(self, config: Config, phones: int) -> None:
        super().__init__()
        self.config = config
        self.listener = Listener(config.encoded, config.width)
        self.decoder = Decoder(config)
        self.phones = nn.Linear(config.width, SUBFRAMES * phones)
        self.register_buffer("gain", torch.ones(len(EXPRESSIONS)))

    def name_phones(self, memory: Tensor) -> Tensor:
        """Return logits (B, 2 F, phones)."""
        return self.phones(memory).unflatten(-1, (SUBFRAMES, -1)).flatten(1, 2)

    @torch.no_grad()
    def play(self, memory: Tensor, style: Tensor) -> Tensor:
        """Return rows (B, 2 F, ROW) as the network says them on its own, frame after frame."""
        if not self.config.autoregressive:
            return self.decoder(memory, style, memory.new_zeros(()))
        step = Step(self).to(memory.device)
        state = step.begin(len(memory))
        rows = []
        for k in range(memory.shape[1]):
            near = step.near_window(memory, k)
            row, state = step.advance(near, style, state, k)
            rows.append(row)
        return torch.cat(rows, dim=1)


class Step(nn.Module):
    """One frame of the decoder with a cache of keys and values: what the runtime runs.

    The cache holds the `span` - 1 frames before this one, oldest first; frames that never were are
    kept out by `mask`.
    """

    bias: Tensor

    def __init__(self, network: SpeechNetwork) -> None:
        super().__init__()
        self.decoder = network.decoder
        self.config = network.config
        bias, _ = self.decoder.biases(self.config.span)
        self.register_buffer("bias", bias[:, -1:, :], persistent=False)

    def forward(
        self,
        near: Tensor,
        near_mask: Tensor,
        style: Tensor,
        previous: Tensor,
        phase: Tensor,
        mask: Tensor,
        keys: Tensor,
        values: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return this frame's rows (B, 2, ROW), and keys and values with this frame in them.

        Parameters
        ----------
        near
            Memory of this frame and the `near` before it, (B, near + 1, width).
        near_mask, mask
            0 where a frame is there, -1e4 where none was, (near + 1,) and (span,).
        style
            (B, STYLE_SIZE).
        previous
            The weights of the frame before, (B, 2 x 52).
        phase
            int64 (1,): this frame's number modulo `period`.
        keys, values
            (layers, B, heads, span - 1, width / heads).
        """
        x = near[:, -1:] + self.decoder.positions[phase]
        if self.config.autoregressive:
            x = x + self.decoder.from_previous(previous)[:, None]
        mood = self.decoder.style(style)
        kept_keys, kept_values = [], []
        for number, layer in enumerate(self.decoder.all_layers()):
            key, value = layer.itself.remember(layer.looking_back(x))
            key = torch.cat([keys[number], key], dim=2)
            value = torch.cat([values[number], value], dim=2)
            kept_keys.append(key[:, :, 1:])
            kept_values.append(value[:, :, 1:])
            x = layer.attend(x, (key, value), self.bias + mask)
            x = layer.listen(x, layer.speech.remember(near), near_mask, mood)
        return self.decoder.rows(x, mood), torch.stack(kept_keys), torch.stack(kept_values)

    def begin(self, batch: int) -> list[Tensor]:
        """Return the state before the first frame: previous weights, keys, values."""
        config = self.config
        size = (config.layers, batch, config.heads, config.span - 1, config.width // config.heads)
        shapes = ((batch, SUBFRAMES * len(EXPRESSIONS)), size, size)
        return [torch.zeros(shape, device=self.bias.device) for shape in shapes]

    def near_window(self, memory: Tensor, k: int) -> Tensor:
        """Return the memory of frame k and the `near` before it, zeros where there is none."""
        window = memory[:, max(0, k - self.config.near) : k + 1]
        return functional.pad(window, (0, 0, self.config.near + 1 - window.shape[1], 0))

    def masks(self, k: int) -> tuple[Tensor, Tensor]:
        """Return the masks of frame k: what lies before the first frame is out of reach."""
        config = self.config
        there = torch.arange(-config.near, 1, device=self.bias.device) + k
        past = torch.arange(1 - config.span, 1, device=self.bias.device) + k
        return (there < 0) * -1e4, (past < 0) * -1e4

    def advance(
        self, near: Tensor, style: Tensor, state: list[Tensor], k: int
    ) -> tuple[Tensor, list[Tensor]]:
        """Return frame k's rows (B, 2, ROW) and the state after it."""
        previous, keys, values = state
        near_mask, mask = self.masks(k)
        phase = torch.tensor([k % self.config.period])
        rows, keys, values = self(near, near_mask, style, previous, phase, mask, keys, values)
        said = rows[..., : len(EXPRESSIONS)].clamp(0, 1).flatten(1)
        return rows, [said, keys, values]


def _periodic(period: int, width: int) -> Tensor:
    """Return FaceFormer's periodic positional encoding (period, width): sines of the place in a period."""
    at = torch.arange(period)[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = torch.zeros(period, width)
    table[:, 0::2] = torch.sin(at * rate)
    table[:, 1::2] = torch.cos(at * rate)
    return table
