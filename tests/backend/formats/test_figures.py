"""Figures on disk: complete, and never a number that is none."""

from __future__ import annotations

import json

import numpy as np
import pytest
from furrow.backend.errors import FurrowError
from furrow.backend.formats.figures import Figure, table, write


def test_written_with_machine_commit_and_seed(tmp_path):
    figures = [Figure("fit_mean_mm", np.float32(0.25), "mm"), Figure("rtf", 0.1, "1")]
    write(tmp_path / "f.json", figures, seed=7)
    data = json.loads((tmp_path / "f.json").read_text())
    assert set(data) == {"machine", "commit", "seed", "figures"} and data["seed"] == 7
    assert data["figures"][0] == {"name": "fit_mean_mm", "value": 0.25, "unit": "mm"}
    assert "cores" in data["machine"] and data["commit"]
    assert table(figures).splitlines()[0].split() == ["fit_mean_mm", "0.25", "mm"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_number_is_no_figure(tmp_path, value):
    with pytest.raises(FurrowError, match="psnr_db"):
        write(tmp_path / "f.json", [Figure("psnr_db", value, "dB")], seed=0)
    assert not list(tmp_path.iterdir())
