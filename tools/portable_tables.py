"""Renews the table of docs/portable.md from figures that were measured before.

furrow evaluate portable --json out/portable.json
python tools/portable_tables.py out/portable.json
"""

from __future__ import annotations

from furrow.backend.detail.wrinkle_basis import COMPONENTS
from tables import main

METHODS = {
    "still": "no change with the expression",
    "live": "**live**: linear part and the rest of neutral",
    **{f"k{count}_linear": f"{count} components, linear" for count in COMPONENTS},
    **{f"k{count}": f"{count} components, correctives" for count in COMPONENTS},
}

KINDS = ("speech", "posed", "strong")


def errors(figures: dict[str, float]) -> list[str]:
    """How far each method is from the exact maps."""
    heads = " | ".join(f"{kind}: RMS | 99 % | largest | LPIPS" for kind in KINDS)
    rows = [f"| | {heads} |", "|---|" + "---|" * 4 * len(KINDS)]
    for method, title in METHODS.items():
        cells = []
        for kind in KINDS:
            name = f"portable_{kind}_{method}"
            cells += [f"{figures[f'{name}_{what}_um']:.1f}" for what in ("rms", "p99")]
            cells += [f"{figures[f'{name}_largest_um']:.0f}", f"{figures[f'{name}_lpips']:.5f}"]
        title = f"**{title}**" if method == "k16" else title
        rows.append(" | ".join([f"| {title}", *cells]) + " |")
    return rows


if __name__ == "__main__":
    raise SystemExit(main("portable.md", __doc__, lambda figures: {"errors": errors(figures)}))
