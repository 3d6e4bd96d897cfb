"""Renews the tables of docs/speech.md from figures that were measured before.

furrow evaluate speech --full --json out/speech.json
python tools/speech_tables.py out/speech.json
"""

from __future__ import annotations

from furrow.training.speech.evaluate import name_of
from furrow.training.speech.testsets import SETS
from tables import main

METHODS = {
    "": "**the network**",
    "first_version": "our first version",
    "rhubarb": "Rhubarb Lip Sync",
    "loudness": "loudness to jaw",
    "log_mel_ridge": "log-mel ridge",
    "mean": "mean face",
    "targets": "(the targets themselves)",
}

COLUMNS = {
    "bilabial_closed": ("m b p closed", 1, 100, " %"),
    "bilabial_tight": ("tight", 1, 100, " %"),
    "bilabial_precision": ("with reason", 1, 100, " %"),
    "labiodental_contact": ("f v bite", 1, 100, " %"),
    "vowel_open": ("vowels open", 1, 100, " %"),
    "jaw_height": ("jaw by height", 2, 1, ""),
    "sync_offset_ms": ("late, ms", 0, 1, ""),
    "weight_mae": ("weights", 4, 1, ""),
    "lip_vertex_mean_mm": ("lips, mean mm", 2, 1, ""),
    "lip_vertex_max_mm": ("lips, max mm", 2, 1, ""),
    "jitter_ratio": ("jitter", 2, 1, ""),
}
"""Title, digits, factor and unit of each measure."""

STILL = {"mean": ("jaw_height", "sync_offset_ms", "jitter_ratio")}
"""What cannot be told of a face that does not move."""

ALONE = {
    "silence_movement": "largest weight of the mouth in silence, faint hiss and music, mean of the three",
    "rtf": "seconds of work for each second of sound",
    "stream_delay_ms": "ms by which a streamed frame comes after its sound, at worst",
    "stream_difference_mean": "mean difference of streamed weights from those of the file",
    "stream_difference_max": "the largest",
    "memory_10s_mb": "MB that `furrow speak` holds at most for 10 s of sound",
    "memory_30min_mb": "and for half an hour",
}


def methods(figures: dict[str, float], where: str) -> list[str]:
    """The table of all methods on one set."""
    rows = ["| | " + " | ".join(title for title, *_ in COLUMNS.values()) + " |"]
    rows.append("|---|" + "---|" * len(COLUMNS))
    for method, title in METHODS.items():
        cells = []
        for measure, (_, digits, factor, unit) in COLUMNS.items():
            if measure in STILL.get(method, ()):
                cells.append("")
                continue
            name = name_of(measure, where)
            value = figures[f"{name}_{method}" if method else name]
            cells.append(f"{factor * value:.{digits}f}{unit}")
        rows.append("| " + " | ".join([title, *cells]) + " |")
    return rows


def alone(figures: dict[str, float]) -> list[str]:
    """The table of what only the network is measured by."""
    rows = ["| figure | measured | meaning |", "|---|---|---|"]
    for name, meaning in ALONE.items():
        if name in figures:
            rows.append(f"| `{name}` | {figures[name]:.3g} | {meaning} |")
    return rows


def tables(figures: dict[str, float]) -> dict[str, list[str]]:
    """The page's tables."""
    return {where: methods(figures, where) for where in SETS} | {"alone": alone(figures)}


if __name__ == "__main__":
    raise SystemExit(main("speech.md", __doc__, tables))
