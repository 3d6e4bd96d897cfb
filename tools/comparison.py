"""Draws docs/pictures/comparison-*.jpg, and renews the table of docs/detail-comparison.md.

Twelve test cases side by side: truth, the networks, a baseline; for each a close-up in Cycles with
true displacement under side light, and the shaded map. Nobody picks the cases: they are the first
map of every fifth test person. Nobody picks the views: of three parts of the face, a close-up shows
the one where the truth is folded most.

    python tools/comparison.py                                all four sheets
    python tools/comparison.py --cases 3 --output /tmp/look   the first three cases, no table
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from furrow.backend.detail.detail_model import resample
from furrow.backend.detail.engines.torch_networks import load
from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import EXPRESSIONS
from furrow.backend.formats.files import ASSETS, write_whole
from furrow.backend.formats.identity import SKIN, Identity
from furrow.backend.head.bilinear import Head
from furrow.training.corpus.chart import Chart, chart
from furrow.training.corpus.pictures import front
from furrow.training.encoder.baselines import baseline_maps
from furrow.training.maps.data import Maps, draw
from furrow.training.maps.testset import TEST_SEED
from furrow.training.networks.metrics import psnr_db
from PIL import Image
from scipy import ndimage
from shots import PICTURES, RESOLUTION, ROOT, Shot, aim, render, save, shaded_map, sheet
from tqdm import tqdm

PAGE = ROOT / "docs" / "detail-comparison.md"
BEGIN, END = "<!-- cases: written by tools/comparison.py -->", "<!-- end of cases -->"

PEOPLE, EXPRESSIONS_EACH = 60, 4
"""Of the test set, as `furrow evaluate encoder` draws it."""

EVERY = 5
"""Of the test people; the first of the maps of each."""

PER_SHEET = 3
BASELINE = "vertices_1.7K_skin"
"""Nearest to the truth on these cases, by PSNR, of ridge regression and the encoders of meshes."""

COLUMNS = ("truth", "ours", "baseline")

SIZE = (300, 300)
SPAN = 0.1
"""Metres that a close-up spans: a pixel is about as wide as a texel of a map at 1024."""

VIEWS = {
    "forehead": ("brow_mid_left", "brow_mid_right", "forehead"),
    "eyes": ("eye_outer_left", "eye_outer_right", "nose_bridge"),
    "mouth": ("mouth_corner_left", "mouth_corner_right", "nose_base", "chin"),
}
"""Landmarks whose middle is in the middle of a close-up."""

FOLDS_MM = 16.0
"""Longer waves are no folds."""

BELOW_CHIN_MM = 12.0
"""So far down a shaded map is shown: below is the neck, which no close-up shows."""


@dataclass(frozen=True, eq=False)
class Case:
    """One test case.

    Attributes
    ----------
    person
        Number in the test set.
    identity, weights
        (a, b); weights above zero, the strongest first.
    view
        The part of the face that the close-up shows.
    maps
        By column, (1024, 1024) mm as seen: truth and ours with relief.
    psnr
        In dB, of ours and of the baseline, without relief.
    """

    person: int
    identity: Identity
    weights: dict[str, float]
    view: str
    maps: dict[str, np.ndarray]
    psnr: dict[str, float]

    @property
    def who(self) -> str:
        """Person and age."""
        years = 20 + 60 * self.identity.skin[SKIN.index("age")]
        return f"test person {self.person}, about {years:.0f} years"

    @property
    def expression(self) -> str:
        """The strongest weights."""
        if not self.weights:
            return "neutral"
        strongest = [f"{name} {value:.2f}" for name, value in list(self.weights.items())[:3]]
        more = len(self.weights) - len(strongest)
        return ", ".join(strongest) + (f" and {more} weaker" if more > 0 else "")

    def shot(self, head: Head, column: str) -> Shot:
        """The close-up of a column."""
        target = aim(head, self.identity, VIEWS[self.view])
        return Shot(self.identity, self.maps[column], self.weights, target, SPAN, SIZE)


def ours(folder: Path, maps: Maps, rows: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Maps of the networks for rows of a set, (1024, 1024) mm: without and with relief."""
    encoder, synthesis = load(folder)
    size, pairs = synthesis.config.resolution, []
    for row in tqdm(rows, "Networks", unit="map", disable=None):
        noise = np.random.RandomState(int(maps.person[row])).standard_normal((1, 1, size, size))
        with torch.inference_mode():
            a, b = (torch.from_numpy(v[row : row + 1]) for v in (maps.identity, maps.expression))
            w = encoder(a, b)
            inputs = torch.zeros(noise.shape), torch.from_numpy(noise.astype(np.float32))
            plain, full = (synthesis(w, n)[0, 0].numpy() for n in inputs)
        pairs.append((resample(plain, RESOLUTION), resample(full, RESOLUTION)))
    return pairs


def most_folded(truth: np.ndarray, head: Head, skin: Chart) -> str:
    """The name of the view in which a map (R, R) in mm without relief has the highest mean energy."""
    sigma = FOLDS_MM / (2 * np.pi) / float(np.median(skin.texel_mm))
    folds = (truth - ndimage.gaussian_filter(truth, sigma)).ravel()[skin.texels]
    energy = {}
    for name, landmarks in VIEWS.items():
        middle = np.array(aim(head, head.average(), landmarks)) * 1000
        off = np.abs(skin.position - middle)[:, [0, 2]].max(1)
        visible = (off < SPAN * 500) & (skin.normal[:, 1] < -0.3) & (skin.weight > 0.5)
        energy[name] = float(np.square(folds[visible]).mean())
    return max(energy, key=energy.__getitem__)


def cases(head: Head, data: Path, networks: Path, baseline: str, count: int) -> list[Case]:
    """Return the first cases, their maps made."""
    test = draw(
        data / f"test{RESOLUTION}", head, RESOLUTION, PEOPLE, EXPRESSIONS_EACH, TEST_SEED, True
    )
    rows = [test.first(person) for person in range(0, test.people, EVERY)][:count]
    pairs = ours(networks, test, rows)
    others = baseline_maps(baseline, data, np.array(rows))
    mask = torch.from_numpy(test.mask)[None, None]
    skin, selection = chart(head, RESOLUTION), []
    for row, (plain, full), other in zip(rows, pairs, others, strict=True):
        truth = np.asarray(test.map[row], np.float32)
        without = {"ours": plain, "baseline": resample(np.asarray(other), RESOLUTION)}
        psnr = {
            name: psnr_db(
                torch.from_numpy(image)[None, None], torch.from_numpy(truth)[None, None], mask
            )
            for name, image in without.items()
        }
        a, b = test.identity[row], test.expression[row]
        person = int(test.person[row])
        maps = {"truth": truth + test.relief_of(np.array([row]))[0], "ours": full}
        selection.append(
            Case(
                person,
                Identity(a[: -len(SKIN)], a[-len(SKIN) :], person, f"Test person {person}"),
                {EXPRESSIONS[k]: float(b[k]) for k in np.argsort(-b) if b[k] > 0},
                most_folded(truth, head, skin),
                maps | {"baseline": without["baseline"]},
                psnr,
            )
        )
    return selection


def without_neck(image: np.ndarray, skin: Chart) -> Image.Image:
    """The shaded map of a face, from the hairline to below the chin."""
    rows, _ = front(skin)
    height = skin.image(skin.face[:, 1])[rows, skin.resolution // 2]
    visible = np.flatnonzero(height > skin.marks["chin"][1] - BELOW_CHIN_MM)[-1] + 1
    picture = shaded_map(image, skin, SIZE[0])
    return picture.crop((0, 0, picture.width, round(picture.height * visible / len(height))))


def draw_sheets(head: Head, selection: Sequence[Case], baseline: str, out: Path) -> None:
    """Render the close-ups and write the sheets."""
    shots = [case.shot(head, column) for case in selection for column in COLUMNS]
    pictures, skin = iter(render(shots)), chart(head, RESOLUTION)
    titles = ("truth: the corpus", "ours: the networks", f"baseline: {baseline}, without relief")
    pages = []
    for case in selection:
        near = [next(pictures) for _ in COLUMNS]
        whole = [without_neck(case.maps[column], skin) for column in COLUMNS]
        caption = f"{case.who[0].upper()}{case.who[1:]}: {case.expression}"
        pages.append(sheet([near, whole], titles, caption))
    for start in range(0, len(pages), PER_SHEET):
        part = pages[start : start + PER_SHEET]
        page = Image.new("L", (part[0].width, sum(p.height + 6 for p in part) - 6), 24)
        top = 0
        for picture in part:
            page.paste(picture, (0, top))
            top += picture.height + 6
        save(page, out / f"comparison-{start // PER_SHEET + 1}.jpg")


def write_table(selection: Sequence[Case], baseline: str) -> None:
    """Renew the part of the page between the markers.

    Raises
    ------
    FurrowError
        If the page has no markers.
    """
    text = PAGE.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise FurrowError(
            f"{PAGE} lacks the lines {BEGIN} and {END}; put them where the table goes."
        )
    rows = [f"| who | expression | close-up | ours, dB | {baseline}, dB |", "|---|---|---|---|---|"]
    rows += [
        f"| {case.who} | {case.expression} | {case.view} | {case.psnr['ours']:.1f} "
        f"| {case.psnr['baseline']:.1f} |"
        for case in selection
    ]
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    write_whole(PAGE, "\n".join((before + BEGIN, "", *rows, "", END + after)).encode())


def main() -> int:
    """Draw what was asked for; the status is 1 if it cannot be drawn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    total = PEOPLE // EVERY
    parser.add_argument("--cases", type=int, default=total, choices=range(1, total + 1), metavar="N", help="only the first N; the page's table stays as it is")  # fmt: skip
    parser.add_argument("--baseline", default=BASELINE, metavar="NAME", help=f"of `furrow evaluate encoder` (default: {BASELINE})")  # fmt: skip
    parser.add_argument("--data", type=Path, default=ROOT / "out" / "detail-data", metavar="DIR", help="the sets of `furrow train dnpm` and of `furrow evaluate encoder`")  # fmt: skip
    parser.add_argument("--networks", type=Path, default=ASSETS / "detail", metavar="DIR", help="default: those that ship")  # fmt: skip
    parser.add_argument("--output", type=Path, default=PICTURES, metavar="DIR", help="where the sheets go (default: docs/pictures)")  # fmt: skip
    arguments = parser.parse_args()
    try:
        head = Head.load()
        selection = cases(
            head, arguments.data, arguments.networks, arguments.baseline, arguments.cases
        )
        draw_sheets(head, selection, arguments.baseline, arguments.output.resolve())
        if arguments.cases == total and arguments.output == PICTURES:
            write_table(selection, arguments.baseline)
    except FurrowError as error:
        print(f"comparison: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
