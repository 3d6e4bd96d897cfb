"""`furrow train dnpm` from the corpus to networks that play, at the smallest size."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch
from furrow.backend.detail.detail_model import DetailModel
from furrow.backend.detail.engines import engines
from furrow.backend.errors import FurrowError
from furrow.backend.head.bilinear import Head
from furrow.training.dnpm import train

SMALLEST = {
    "resolution": 256,
    "basis_images": [0, 0, 3, 2, 0],
    "hidden": [16, 16, 16, 16, 16],
    "people": 3,
    "expressions": 2,
    "bases_people": 3,
    "fine_people": 2,
    "fine_expressions": 2,
    "coarse_people": 2,
    "relief_people": 2,
    "encoder": {"steps": 3, "batch": 4},
    "relief": {"steps": 2, "batch": 2},
    "mapping": {"steps": 3, "batch": 8},
    "mapping_people": 500,
    "direction_people": 460,
    "test_people": 1,
}


def run(folder: Path, *options: str, **changes: object) -> None:
    config = folder / "config.json"
    config.write_text(json.dumps(SMALLEST | changes))
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    paths = ["--config", str(config), "--data", str(folder / "data"), "-o", str(folder / "run")]
    train.run(parser.parse_args([*paths, "--device", "cpu", "--threads", "1", *options]))


def test_one_command_draws_learns_exports_and_measures_and_does_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    try:
        run(tmp_path)
        folder = tmp_path / "run"
        for stage in ("encoder", "relief", "mapping"):
            rows = (folder / f"{stage}.csv").read_text().splitlines()
            assert len(rows) == 1 + SMALLEST[stage]["steps"]
        figures = json.loads((folder / "figures.json").read_text())["figures"]
        assert [figure["name"] for figure in figures] == ["energy_explained"]
        assert (folder / "curves.png").stat().st_size > 1000

        model = DetailModel(engines.load("ort", folder / "networks"), folder / "networks")
        person, weights = Head.load().random(1), np.zeros(52, np.float32)
        relief = model.map(person, weights, 256)
        assert relief.shape == (256, 256) and relief.std() > 0
        assert model.space.random(1).shape == model.w_plus(person, weights).shape

        files = [*folder.glob("*.pt"), *folder.glob("*.csv")]
        before = {file: file.read_bytes() for file in files}
        networks = (folder / "networks" / "encoder.onnx").read_bytes()
        run(tmp_path)
        assert {file: file.read_bytes() for file in files} == before
        assert (folder / "networks" / "encoder.onnx").read_bytes() == networks
        with pytest.raises(FurrowError, match=r"encoder\.batch was 4 and is 8\. Choose another"):
            run(tmp_path, encoder={"steps": 3, "batch": 8})
    finally:
        torch.set_num_threads(threads)
