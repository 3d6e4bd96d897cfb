"""Directions in W+ for the sliders of detail, found by what they change in generated maps.

Styles act on maps almost linearly (the local and constant images carry most of their energy), so a
step in W+ adds nearly the same image to everybody's map. `responses` measures these images once,
and directions are sought among the ways in which people differ under one expression.

skin_age and asymmetry add an image that moves their attribute and holds the others. A deeper
furrow needs another image for each person: furrow_depth moves W+ away from the code of the flat
map, in proportion to its distance, which deepens the very lines that are there. pore_strength
moves along the gradient of the relief's strength, less what draws lines.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from ...backend.detail.engines.torch_networks import W_SIZE, Encoder, Synthesis
from ...backend.formats.files import whole_file
from ...backend.formats.identity import ADJUSTMENTS, SKIN
from ...backend.formats.tensors import damaged, read_tensors
from ...backend.head.bilinear import Head
from .attributes import FAST, Attributes
from .codes import draw_people, drawn_lines, principal_axes, responses

GOALS = {"skin_age": 0.4, "pore_strength": math.log(1.5), "asymmetry": 0.4}
"""What +1 aims at: 24 years, logarithms of ratios of RMS. Holding the other attributes and keeping
to how people differ leaves a part of it: 18 years, and for asymmetry 0.16, two standard deviations
of people and expressions."""

GAIN = "furrow_depth_gain"
"""Name of the gain's tensor in the file."""

DEPTH_GAIN = 0.4
"""Furrows become 0.6 to 1.4 times as deep."""

HOLD = {"skin_age": (1.0, 0.2, 1.0), "asymmetry": (0.3, 0.3, 1.0)}
"""How much changes of skin_age, furrow_depth and asymmetry count, by what is sought: age deepens
furrows by nature."""

UNUSUAL = 0.02
"""Weight of the mean square of a direction in standard deviations of people."""

AXES = 64
"""Axes of how people differ, those that show most, among which directions are sought."""

CANDIDATES = 500
"""Principal axes in W+ among whose combinations are those that show."""

TRIED = 300
"""Codes on whose lines directions are tried while they are sought."""

PROBES = 16
"""Random sums over maps whose gradients span what draws lines in the relief's styles."""


@dataclass(frozen=True)
class Directions:
    """W+ moves by value x (vector + gain w) for each slider.

    Attributes
    ----------
    vectors
        {name of the slider: (num_ws, 512)}.
    depth_gain
        (num_ws,), the gain of furrow_depth; the others have none.
    """

    vectors: dict[str, Tensor]
    depth_gain: Tensor

    def apply(self, w: Tensor, name: str, value: float) -> Tensor:
        """Move codes w (N, num_ws, 512) by one slider."""
        step = self.vectors[name]
        if name == "furrow_depth":
            step = step + self.depth_gain[:, None] * w
        return w + value * step

    def write(self, path: Path) -> None:
        """Write ``directions.safetensors``, in half precision."""
        tensors = {name: vector.half().contiguous() for name, vector in self.vectors.items()}
        tensors[GAIN] = self.depth_gain.half()
        with whole_file(path) as temporary:
            save_file(tensors, temporary)


PORE_CODES = slice(440, 444)
"""Whose whole maps say what changes pores."""


def read_directions(path: Path, num_ws: int) -> Directions:
    """Read ``directions.safetensors`` of a generator with `num_ws` styles; raises FurrowError."""
    names = (*ADJUSTMENTS, GAIN)
    tensors = {name: torch.from_numpy(v) for name, v in read_tensors(path, names).items()}
    if any(len(tensor) != num_ws for tensor in tensors.values()):
        raise damaged(path, f"it is of another generator, which has not {num_ws} styles")
    gain = tensors.pop(GAIN)
    return Directions(tensors, gain)


class Search:
    """Finds directions for one encoder and generator.

    Parameters
    ----------
    count
        Codes of fresh people from which age is learned; a part of them serves for the rest.
    seed
        Of these people.
    """

    def __init__(
        self, encoder: Encoder, synthesis: Synthesis, head: Head, count: int, seed: int
    ) -> None:
        self.encoder, self.synthesis = encoder, synthesis
        identity, expression = draw_people(head, count, seed)
        with torch.no_grad():
            self.w = encoder(identity, expression)
            # The same expressions on the people next in the row.
            other = encoder(identity.roll(1, 0), expression)
        age = identity[:, identity.shape[1] - len(SKIN) + SKIN.index("age")]
        self.attributes = Attributes(synthesis, head, self.w, age)
        self.differences = (other - self.w).flatten(1) / math.sqrt(2)
        self.random = np.random.default_rng(seed)

    def find(self) -> Directions:
        """Find all four."""
        differing, images = self.visible_axes(self.differences, AXES)
        vectors = {name: self.steer(name, differing, images) for name in HOLD}
        vectors["pore_strength"] = self.pores()
        vectors["furrow_depth"], gain = self.deepen()
        return Directions({name: vectors[name] for name in ADJUSTMENTS}, gain)

    @torch.no_grad()
    def visible_axes(self, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The axes (count, D) of rows (N, D) that maps show most, and their responses.

        Each is one standard deviation long. What varies most in W+ need not show at all.
        """
        axes, _ = principal_axes(rows, CANDIDATES)
        size = self.attributes.resolution
        w_avg: Tensor = self.encoder.w_avg
        images = responses(self.synthesis, w_avg, axes, size) * self.attributes.mask
        flat = images.flatten(1)
        turn = torch.linalg.eigh((flat @ flat.T).double())[1].flip(1)[:, :count].float().T
        return turn @ axes, (turn @ flat).view(-1, 1, size, size)

    def steer(self, name: str, axes: Tensor, images: Tensor, steps: int = 400) -> Tensor:
        """Find the direction (num_ws, 512) that moves one attribute by its goal and holds the others.

        Steps of either sign are tried on random people, so that the direction works both ways;
        being unlike people costs too.
        """
        attributes, column = self.attributes, FAST.index(ADJUSTMENTS.index(name))
        with torch.no_grad():
            lines = drawn_lines(self.synthesis, self.w[:TRIED], attributes.resolution)
            lines = lines * attributes.mask
            before = attributes.of_lines(lines)
        amounts = torch.zeros(len(axes), requires_grad=True)
        optimiser = torch.optim.Adam([amounts], lr=0.05)
        weights = torch.tensor(HOLD[name])
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
            rows = torch.from_numpy(self.random.integers(len(lines), size=16))
            value = torch.tensor([1.0, -1.0, 0.5, -0.5]).repeat(4)[:, None]
            added = (amounts @ images.flatten(1)).view(images[:1].shape)
            change = (
                attributes.of_lines(lines[rows] + value[..., None, None] * added) - before[rows]
            )
            goal = torch.zeros_like(change)
            goal[:, column] = GOALS[name] * value[:, 0]
            wrong = ((change - goal).square() * weights).sum(1).mean() / GOALS[name] ** 2
            loss = wrong + UNUSUAL * amounts.square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return (amounts.detach() @ axes).unflatten(0, (-1, W_SIZE))

    @torch.no_grad()
    def deepen(self) -> tuple[Tensor, Tensor]:
        """Find vector (num_ws, 512) and gain (num_ws,) that deepen every line of every map.

        W+ moves away from the code whose map is flat. The styles that decide the relief's strength
        may stay: of three choices, the one that changes depth most evenly and pores least.
        """
        w_avg: Tensor = self.encoder.w_avg
        axes, added = self.visible_axes((self.w - w_avg).flatten(1), 2 * AXES)
        images = added.flatten(1)
        mean = self.attributes.lines(w_avg[None]).flatten()
        gram = images @ images.T
        gram += 1e-4 * gram.trace() / len(gram) * torch.eye(len(gram))
        to_flat = -torch.linalg.solve(gram, images @ mean) @ axes
        flat = w_avg + to_flat.unflatten(0, w_avg.shape)
        choices = []
        for last in (0, 1, 5):
            gain = torch.full((len(w_avg),), DEPTH_GAIN)
            gain[len(gain) - last :] = 0.0
            vector = -gain[:, None] * flat
            choices.append((self._unevenness(vector, gain), last, vector, gain))
        _, _, vector, gain = min(choices, key=lambda entry: entry[:2])
        return vector, gain

    def _unevenness(self, vector: Tensor, gain: Tensor) -> float:
        """How far a step of furrow_depth is from deepening the same lines, pores untouched."""
        w = self.w[400:412]
        moved = w + vector + gain[:, None] * w
        lines, deeper = self.attributes.lines(w), self.attributes.lines(moved)
        wrong = (deeper - (1 + DEPTH_GAIN) * lines).square().sum() / lines.square().sum()
        pores = [self.attributes.pores(part[:4]) for part in (w, moved)]
        return float(wrong.sqrt() + (pores[1] - pores[0]).abs().mean())

    def pores(self) -> Tensor:
        """Find the direction (num_ws, 512) of the relief's strength that draws no lines.

        The least unusual change that raises the strength to first order and leaves random sums
        over the map as they are. Unusual for people; or, where they hardly differ in pores, long,
        in the last styles. Of these, the one that changes the lines least.
        """
        rows = torch.cat([self.pore_gradient[None], self._probes()])
        candidates = [self.differences.T @ (self.differences @ rows.T) / len(self.differences)]
        for count in (1, 5):
            last = torch.zeros_like(rows)
            last[:, -count * W_SIZE :] = rows[:, -count * W_SIZE :]
            candidates.append(last.T)
        choices = []
        for spread in candidates:
            gram = (rows @ spread).double()
            scale = gram.diagonal().clamp(min=1e-30).rsqrt()
            gram = scale[:, None] * gram * scale
            gram += 1e-6 * torch.eye(len(gram), dtype=torch.float64)
            unit = torch.zeros(len(gram), dtype=torch.float64)
            unit[0] = scale[0]
            direction = spread @ (scale * torch.linalg.solve(gram, unit)).float()
            direction = (GOALS["pore_strength"] * direction).unflatten(0, (-1, W_SIZE))
            choices.append(self._scaled_pores(direction))
        return min(choices, key=lambda entry: entry[0])[1]

    @functools.cached_property
    def pore_gradient(self) -> Tensor:
        """Mean gradient (D,) of pore_strength by W+."""
        gradients = []
        for w in self.w[PORE_CODES].split(1):
            w = w.clone().requires_grad_(True)
            gradients.append(torch.autograd.grad(self.attributes.pores(w).sum(), w)[0].flatten())
        return torch.stack(gradients).mean(0)

    @property
    def relief_gradient(self) -> Tensor:
        """Gradient (D,) by W+ of the relief's RMS in millimetres."""
        with torch.no_grad():
            strength = [self.attributes.pores(w) for w in self.w[PORE_CODES].split(1)]
        return torch.cat(strength).exp().mean() * self.pore_gradient

    def _probes(self) -> Tensor:
        """Gradients (PROBES, D) by W+ of random sums over maps without relief."""
        generator = torch.Generator().manual_seed(0)
        codes, probes = self.w[PORE_CODES], []
        for w in codes.split(1):
            w = w.clone().requires_grad_(True)
            lines = self.synthesis(w, self.attributes.no_noise) * self.attributes.full_mask
            for _ in range(PROBES // len(codes)):
                weights = torch.randn(lines.shape, generator=generator)
                (probe,) = torch.autograd.grad((lines * weights).sum(), w, retain_graph=True)
                probes.append(probe.flatten())
        return torch.stack(probes)

    @torch.no_grad()
    def _scaled_pores(self, direction: Tensor) -> tuple[float, Tensor]:
        """How much a direction of pores changes lines for what it changes pores, and it to scale."""
        attributes, w = self.attributes, self.w[444:447]
        pores = [
            torch.cat([attributes.pores(p) for p in (w + s * direction).split(1)]) for s in (1, -1)
        ]
        change = float((pores[0] - pores[1]).mean()) / 2
        factor = min(4.0, GOALS["pore_strength"] / max(change, 1e-3))
        direction = factor * direction
        lines, moved = attributes.lines(w), attributes.lines(w + direction)
        disturbed = float(((moved - lines).square().sum() / lines.square().sum()).sqrt())
        return disturbed + abs(factor * change / GOALS["pore_strength"] - 1.0), direction


def effects(
    directions: Directions, attributes: Attributes, w: Tensor, slow: int
) -> dict[str, dict[float, tuple[Tensor, Tensor]]]:
    """What each slider changes, by slider and value: mean and deviation over codes, (4,) each.

    Parameters
    ----------
    w
        (N, num_ws, 512) codes that no direction was found on.
    slow
        How many of them pores are measured on, which takes whole maps.
    """
    before = attributes.measure(w, slow)
    table: dict[str, dict[float, tuple[Tensor, Tensor]]] = {}
    pores = ADJUSTMENTS.index("pore_strength")
    for name in ADJUSTMENTS:
        table[name] = {}
        for value in (-1.0, 1.0):
            after = attributes.measure(directions.apply(w, name, value), slow)
            lines, relief = (b - a for a, b in zip(before, after, strict=True))
            mean, deviation = torch.zeros(4), torch.zeros(4)
            mean[FAST], deviation[FAST] = lines.mean(0), lines.std(0)
            mean[pores], deviation[pores] = relief.mean(), relief.std()
            table[name][value] = mean, deviation
    return table
