"""The built zip, installed into three Blenders, does the whole job there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import extension
import numpy as np
import pytest
from furrow.backend.detail import detail_model
from furrow.backend.detail.engines import engines
from furrow.backend.formats import expressions, identity, maps
from furrow.backend.speech import speech_model

SCRIPT = Path(__file__).with_name("whole_job.py")
TIMEOUT_S = 240

Job = Callable[..., str]


def pythons(root: Path) -> dict[str, Path]:
    """The Pythons that have a bpy: this one, and those of the other environments."""
    return {
        "4.2": root / ".venv-bpy42" / "bin" / "python",  # the oldest that the manifest promises
        "4.5": Path(sys.executable),
        "5.0": root / ".venv-bpy50" / "bin" / "python",
    }


@pytest.fixture(scope="module", params=["4.2", "4.5", "5.0"])
def job(request: pytest.FixtureRequest, root: Path, tmp_path_factory) -> Job:
    """Run the script in one of the Blenders, each time as the same new user."""
    python = pythons(root)[request.param]
    assert python.exists(), "make test sets the other Blenders up"
    user = tmp_path_factory.mktemp("user")

    def run(*arguments: object, user: Path = user) -> str:
        # FURROW_PYTHON would have the backend run elsewhere than in Blender's own Python.
        environment = {k: v for k, v in os.environ.items() if k != "FURROW_PYTHON"}
        environment["BLENDER_USER_RESOURCES"] = str(user)
        done = subprocess.run(
            [str(python), "-P", str(SCRIPT), *map(str, arguments)],
            env=environment, capture_output=True, text=True, timeout=TIMEOUT_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture(scope="module")
def made(job: Job, extension_zip: Path, root: Path, tmp_path_factory) -> Path:
    """The folder in which the whole job was done."""
    folder = tmp_path_factory.mktemp("job")
    job("make", extension_zip, root / "assets" / "demo" / "hello.wav", folder)
    return folder


@pytest.fixture(scope="module")
def measured(made: Path) -> dict[str, np.ndarray]:
    """What Blender measured on the way."""
    with np.load(made / "measured.npz") as arrays:
        return dict(arrays)


def sampled(map_mm: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear values of a map (H, W) at uv (N, 2), texel centres at + 0.5, edges held."""
    height, width = map_mm.shape
    column = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    row = np.clip((1 - uv[:, 1]) * height - 0.5, 0, height - 1)
    left = np.minimum(column.astype(int), width - 2)
    top = np.minimum(row.astype(int), height - 2)
    x, y = column - left, row - top
    upper = map_mm[top, left] * (1 - x) + map_mm[top, left + 1] * x
    lower = map_mm[top + 1, left] * (1 - x) + map_mm[top + 1, left + 1] * x
    return upper * (1 - y) + lower * y


def assert_displaced_by(
    map_mm: np.ndarray, moved_mm: np.ndarray, measured: dict[str, np.ndarray]
) -> None:
    inner = ~measured["seam"] & (measured["skin"] > 0.99)
    assert inner.sum() > 5000
    expected = sampled(map_mm, measured["uv"])[inner]
    error = np.abs(moved_mm[inner] - expected)
    assert np.abs(expected).max() > 0.1  # else nothing is tested
    assert np.median(error) < 0.001
    assert np.quantile(error, 0.999) < 0.02


def test_age_slider_moves_the_skin(measured) -> None:
    assert 1.0 < measured["age_mm"].max() < 30.0


def test_map_in_blender_is_the_networks(made: Path, measured) -> None:
    model = detail_model.DetailModel(engines.load("ort"))
    person = identity.read_identity(made / "identity.json")
    weights = json.loads((made / "expression.json").read_text())
    map_mm = model.map(person, expressions.vector(weights), measured["map_mm"].shape[0])
    np.testing.assert_allclose(measured["map_mm"], map_mm, atol=1e-4)


def test_vertices_move_along_their_normals_by_the_map(measured) -> None:
    moved = 1000 * (measured["displaced"] - measured["plain"])
    along = (moved * measured["normals"]).sum(1)
    assert np.abs(moved - along[:, None] * measured["normals"]).max() < 0.01
    assert_displaced_by(measured["map_mm"], along, measured)
    assert np.abs(along[measured["skin"] == 0]).max() < 1e-3  # teeth and eyes keep their shape


def test_speech_plays_back_as_52_curves(root: Path, measured) -> None:
    assert sorted(measured["curves"]) == sorted(
        f'key_blocks["{name}"].value' for name in expressions.EXPRESSIONS
    )
    hello = root / "assets" / "demo" / "hello.wav"
    expected = speech_model.SpeechModel.load().weights(hello, float(measured["fps"])).values
    frames = min(len(expected), len(measured["played"]))
    assert frames > 0.9 * len(expected)
    np.testing.assert_allclose(measured["played"][:frames], expected[:frames], atol=1e-3)


def test_bake_opens_and_plays_without_the_addon(job: Job, made: Path, tmp_path: Path) -> None:
    job("reopen", made, user=tmp_path)  # a user who never installed anything
    with np.load(made / "reopened.npz") as arrays:
        reopened = dict(arrays)
    for frame, moved_mm in enumerate(reopened["moved_mm"], start=1):
        map_mm = maps.read_map(made / "bake" / "detail" / f"{frame:04d}.exr")
        assert_displaced_by(map_mm, moved_mm, reopened)
    assert np.ptp(reopened["values"], axis=0).max() > 0.01  # the face moves


def test_addon_leaves_nothing_behind(job: Job, extension_zip: Path, tmp_path: Path) -> None:
    job("uninstall", extension_zip, user=tmp_path)


def test_zip_holds_what_it_should_and_nothing_else(extension_zip: Path) -> None:
    assert extension_zip.stat().st_size < 150e6
    names = zipfile.ZipFile(extension_zip).namelist()
    roots = {name.split("/")[0] for name in names}
    assert roots == {
        "__init__.py", "blender_manifest.toml", "LICENSE", "LICENCES.md",
        "addon", "backend", "commands", "assets", "wheels",
    }  # fmt: skip
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    for tag in ("cp311-cp311", "cp313-cp313", "cp314-cp314"):
        packages = {Path(n).name.split("-")[0].lower() for n in names if tag in n}
        assert {"onnxruntime", "openexr", "cffi"} <= packages
    universal = {Path(n).name.split("-")[0].lower() for n in names if "-abi3-" in n}
    assert {"psutil", "safetensors"} <= universal


def test_extension_needs_no_network_to_build_twice(extension_zip: Path, root: Path) -> None:
    # The wheels were gathered for the first zip; a changed pin must be noticed all the same.
    stamp = (root / "wheels" / ".stamp").read_text()
    assert all(requirement in stamp for requirement in extension.requirements().values())
    assert extension.fault_of(extension_zip) is None
