"""What would make the corpus's figures lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from furrow.backend.formats.expressions import FACESCAPE_PRESETS, vector
from furrow.backend.formats.identity import SKIN, Identity
from furrow.backend.head.bilinear import Head
from furrow.training.corpus import bands, evaluate, lines, measures, orientation
from furrow.training.corpus.chart import Chart, chart
from furrow.training.corpus.compose import Skin

SIZE = 256


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load()


@pytest.fixture(scope="module")
def skin_chart(head: Head) -> Chart:
    return chart(head, SIZE)


@pytest.fixture(scope="module")
def old(head: Head) -> Skin:
    skin = np.full(len(SKIN), 0.5, np.float32)
    skin[SKIN.index("age")] = 0.9
    return Skin(head, Identity(head.average().shape, skin), SIZE)


class Fake:
    """A skin whose maps a test decides: `draw` gives displacement (N,) mm from one strength."""

    def __init__(self, over: Chart, draw) -> None:
        self.chart = over
        self._draw = draw

    def map(self, expression: np.ndarray, relief: bool = True) -> np.ndarray:
        return self.chart.image(self._draw(float(expression.max())).astype(np.float32))


def grooves(at: np.ndarray) -> np.ndarray:
    """Valleys 10 mm apart, 0.3 mm deep, 1.5 mm wide; `at` (N,) mm is the coordinate across them."""
    return -0.3 * np.exp(-((((at + 5) % 10 - 5) / 1.5) ** 2))


def test_lines_at_a_known_angle_to_the_fibres_are_measured_so(skin_chart: Chart) -> None:
    frontalis = next(f for f in orientation.fields(skin_chart) if f.name == "frontalis")
    s, z = skin_chart.face.T
    for degrees in (0.0, 30.0):
        turn = np.radians(degrees)
        image = skin_chart.image(grooves(z * np.cos(turn) + s * np.sin(turn)))
        valley, energy = orientation.valley_direction(image, skin_chart)
        own = frontalis.where & (energy > 0.02 * energy[frontalis.where].max())
        angles = orientation._angles(
            valley[own], frontalis.fibres[own], skin_chart.normal[own], energy[own]
        )
        assert angles.median() == pytest.approx(degrees, abs=5.0)


def test_muscles_of_the_left_mirror_those_of_the_right(skin_chart: Chart) -> None:
    for muscle in orientation.fields(skin_chart):
        left = muscle.where & (skin_chart.face[:, 0] > 0)
        assert 0.4 < left.sum() / muscle.where.sum() < 0.6, muscle.name
        one, other = (
            np.abs(muscle.fibres[side]).mean(0)
            for side in (left, muscle.where & (skin_chart.face[:, 0] < 0))
        )
        np.testing.assert_allclose(one, other, atol=0.1, err_msg=muscle.name)


def test_a_line_that_swims_is_told_from_one_that_deepens(skin_chart: Chart) -> None:
    z = skin_chart.face[:, 1]
    still = lines.ramp(Fake(skin_chart, lambda t: t * grooves(z)), vector({"jawOpen": 1.0}))
    swims = lines.ramp(
        Fake(skin_chart, lambda t: t * grooves(z + 1.5 * (1 - t))),
        vector({"jawOpen": 1.0}),
    )
    assert still.shift_mm < 0.01
    assert swims.shift_mm > 0.3
    assert still.step_ratio == pytest.approx(1.0, abs=0.01)


def test_a_line_that_pops_up_is_found(skin_chart: Chart) -> None:
    z = skin_chart.face[:, 1]
    pops = lines.ramp(
        Fake(skin_chart, lambda t: (t > 0.5) * 0.5 * grooves(z) + t * 0.5 * grooves(z)),
        vector({"jawOpen": 1.0}),
    )
    assert pops.step_ratio > 10
    assert pops.largest_step_um == pytest.approx(150.0, rel=0.1)


def test_lines_of_a_ramp_stay_and_grow_evenly(old: Skin) -> None:
    raised = lines.ramp(old, vector(FACESCAPE_PRESETS["brow-raiser"]))
    assert raised.step_ratio < 4
    assert raised.shift_mm < 0.3


def test_a_map_that_differs_across_the_seam_is_found(head: Head, old: Skin) -> None:
    edges = measures.seam_edges(head)
    assert len(edges) > 5
    smooth = old.map(np.zeros(52, np.float32))
    assert measures.seam_jump(smooth, edges) < 0.001
    slope = np.tile(np.linspace(0, 1, SIZE, dtype=np.float32), (SIZE, 1))
    assert measures.seam_jump(slope, edges) > 0.3


def test_band_table_reads_a_wave_of_known_height(skin_chart: Chart) -> None:
    # A wave of 6 mm and 20 um RMS belongs to the band of 4 to 8 mm, and little of it to others.
    texel = float(np.median(skin_chart.texel_mm))
    wave = 0.02 * np.sqrt(2) * np.sin(2 * np.pi * np.arange(SIZE) * texel / 6.0)
    image = np.tile(wave.astype(np.float32), (SIZE, 1))
    take = bands.BandFilter(skin_chart)
    inner = skin_chart.groups["forehead"] > 0.8
    at = {low: float(np.sqrt(np.mean(take(image, low, 2 * low)[inner] ** 2))) for low in (4, 8)}
    # What a difference of Gaussians passes of a wave: exp(-(low / 6)^2 / 2) - exp(-(high / 6)^2 / 2).
    gain = np.exp(-0.5 * (4 / 6) ** 2) - np.exp(-0.5 * (8 / 6) ** 2)
    assert at[4] == pytest.approx(0.02 * gain, rel=0.1)
    assert at[4] > at[8]


def test_ratios_judge_too_rough_like_too_smooth() -> None:
    cells = {("nose", (1.0, 2.0)): 4.0, ("chin", (1.0, 2.0)): 22.0}
    assert list(bands.band_ratios(cells).values()) == pytest.approx([2.0, 2.0])


def test_every_driver_of_a_family_folds_it(old: Skin) -> None:
    rest = old.furrows.depths(np.zeros(52, np.float32))
    for number, family in enumerate(old.furrows.families):
        own = old.furrows.family == number
        if orientation.MUSCLES[family].pull:
            driven = old.furrows.depths(orientation.driver(family))
            assert np.abs(driven - rest)[own].max() > 0.01, family


def test_pictures_are_written_whole(head: Head, tmp_path: Path) -> None:
    from furrow.training.corpus.muscle_picture import write_muscles

    write_muscles(tmp_path / "muscles.png", head, 128)
    assert (tmp_path / "muscles.png").read_bytes()[:4] == b"\x89PNG"
    assert len(list(tmp_path.iterdir())) == 1


def test_names_that_checks_read_are_there(head: Head) -> None:
    one = evaluate.sample_identity(head, np.random.default_rng(0))
    named = {figure.name for figure in evaluate.orientation_figures(head, [one])}
    assert {"orientation_median_deg", "orientation_mesh_median_deg"} <= named
