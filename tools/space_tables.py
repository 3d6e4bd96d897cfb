"""Renews the tables of docs/detail-space.md from figures that were measured before.

furrow evaluate space --json out/space.json
python tools/space_tables.py out/space.json
"""

from __future__ import annotations

from furrow.backend.formats.identity import ADJUSTMENTS
from furrow.training.space.evaluate import LEVELS
from tables import main

SAMPLES = {
    "mapping": "**the mapping network**",
    "normal": "a normal distribution of the codes' mean and covariance",
    "halves": "other people by the encoder",
}


def samples(figures: dict[str, float]) -> list[str]:
    """How random maps compare with maps of codes."""
    rows = ["| random maps | Fréchet / floor | precision | recall |", "|---|---|---|---|"]
    for key, title in SAMPLES.items():
        distance = figures[f"space_{key}_frechet"] / figures["space_frechet_floor"]
        both = (figures[f"space_{key}_{name}"] for name in ("precision", "recall"))
        rows.append(
            " | ".join([f"| {title}", f"{distance:.2f}", *(f"{v:.2f}" for v in both)]) + " |"
        )
    return rows


def sliders(figures: dict[str, float]) -> list[str]:
    """What each slider changes at -1 and +1."""
    titles = [name.replace("_", " ") for name in ADJUSTMENTS]
    rows = ["| slider | " + " | ".join(titles) + " | own, deviation |", "|---|" + "---|" * 5]
    for slider, title in zip(ADJUSTMENTS, titles, strict=True):
        for sign, value in (("minus", -1), ("plus", 1)):
            changes = [f"{figures[f'{slider}_{sign}_{name}']:+.2f}" for name in ADJUSTMENTS]
            own = ADJUSTMENTS.index(slider)
            changes[own] = f"**{changes[own]}**"
            spread = f"{figures[f'{slider}_{sign}_deviation']:.2f}"
            rows.append(" | ".join([f"| {title} {value:+d}", *changes, spread]) + " |")
    return rows


def truncated(figures: dict[str, float]) -> list[str]:
    """Depth and spread of truncated random maps."""
    rows = ["| psi | RMS of a map | RMS from the mean of all |", "|---|---|---|"]
    for psi in LEVELS:
        sizes = (figures[f"truncation_{psi:.1f}_{name}_mm"] for name in ("depth", "spread"))
        rows.append(" | ".join([f"| {psi:g}", *(f"{1000 * v:.0f} µm" for v in sizes)]) + " |")
    return rows


def tables(figures: dict[str, float]) -> dict[str, list[str]]:
    """The page's tables."""
    return {
        "samples": samples(figures),
        "sliders": sliders(figures),
        "truncation": truncated(figures),
    }


if __name__ == "__main__":
    raise SystemExit(main("detail-space.md", __doc__, tables))
