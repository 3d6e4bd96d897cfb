"""Renews the tables of docs/detail-evaluation.md from figures that were measured before.

furrow evaluate encoder --full --json out/encoder.json
furrow evaluate dnpm --full --json out/dnpm.json
python tools/evaluation_tables.py out/encoder.json out/dnpm.json
"""

from __future__ import annotations

from furrow.training.encoder.evaluate import UNITS
from furrow.training.encoder.scores import REGIONS
from furrow.training.networks.metrics import BANDS_MM
from tables import main

METHODS = {
    "": "**the networks**",
    "ridge": "ridge regression",
    "nearest": "nearest training map",
    "vertices_1.7K_skin": "1.7K vertices, and skin",
    "vertices_5K_skin": "5K vertices, and skin",
    "image_to_image": "image to image",
    "vertices_1.7K": "1.7K vertices alone",
    "vertices_5K": "5K vertices alone",
    "expression": "mean of the expression",
    "mean": "mean map",
}


def methods(figures: dict[str, float]) -> list[str]:
    """The table of all methods."""
    rows = [
        "| method | PSNR | SSIM | LPIPS | bands | LPIPS, whole | bands, whole |",
        "|---|---|---|---|---|---|---|",
    ]
    order = (
        "psnr_db",
        "ssim",
        "lpips",
        "band_error_plain_db",
        "lpips_whole",
        "band_error_worst_db",
    )
    for key, title in METHODS.items():
        values = {name: figures[f"{name}_{key}" if key else name] for name in UNITS}
        digits = {
            name: 1 if name.startswith("band") else 2 if name == "psnr_db" else 3 for name in order
        }
        rows.append(
            "| " + " | ".join([title, *(f"{values[n]:.{digits[n]}f}" for n in order)]) + " |"
        )
    return rows


def bands(figures: dict[str, float]) -> list[str]:
    """The networks' energy over the corpus' by region and band."""
    titles = [f"{low:g} to {high:g} mm" for low, high in BANDS_MM]
    rows = ["| region | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    for region in REGIONS:
        names = [f"band_{region}_{low:g}_{high:g}_mm_db" for low, high in BANDS_MM]
        if names[0] in figures:
            rows.append(f"| {region} | " + " | ".join(f"{figures[n]:+.1f}" for n in names) + " |")
    return rows


LISTED = {
    "lines": (
        ("line_fixity_corr", "line_fixity_corpus_corr", "one person, 0.6 and full strength"),
        ("line_identity_corr", "line_identity_corpus_corr", "two people, the same expression"),
        ("line_truth_corr", "", "networks and corpus, the same person"),
        ("line_stranger_corr", "", "networks and corpus, another person"),
    ),
    "samples": (
        ("frechet_vgg", "frechet_vgg_floor", "Fréchet distance, random z"),
        ("frechet_vgg_encoder", "frechet_vgg_floor", "Fréchet distance, fresh people by the encoder"),
        ("precision", "precision_floor", "precision, random z"),
        ("precision_encoder", "precision_floor", "precision, fresh people by the encoder"),
        ("recall", "recall_floor", "recall, random z"),
        ("recall_encoder", "recall_floor", "recall, fresh people by the encoder"),
        ("nearest_ratio", "", "distance to the nearest training map, over that between people"),
        ("path_step_ratio", "path_step_ratio_blend", "largest over mean step on a way through W+"),
        ("inversion_psnr_db", "", "PSNR in dB of unseen maps found again in W+"),
        ("energy_explained", "", "share of unseen maps' energy that encoder and generator explain"),
    ),
}  # fmt: skip


def listed(part: str, figures: dict[str, float]) -> list[str]:
    """A table of single figures, each with what it is to be compared with."""
    rows = ["| figure | measured | corpus or other | meaning |", "|---|---|---|---|"]
    for name, other, meaning in LISTED[part]:
        if name in figures:
            beside = f"{figures[other]:.3g}" if other else ""
            rows.append(f"| `{name}` | {figures[name]:.3g} | {beside} | {meaning} |")
    return rows


def tables(figures: dict[str, float]) -> dict[str, list[str]]:
    """The page's tables, of those evaluations whose figures are there."""
    contents: dict[str, list[str]] = {}
    if "psnr_db" in figures:
        contents |= {"methods": methods(figures), "bands": bands(figures)}
        contents["lines"] = listed("lines", figures)
    if "frechet_vgg" in figures:
        contents["samples"] = listed("samples", figures)
    return contents


if __name__ == "__main__":
    raise SystemExit(main("detail-evaluation.md", __doc__, tables))
