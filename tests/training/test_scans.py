"""The scans' files: what is missing, foreign or damaged is said; what is there is read alike."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("igl")

from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import EXPRESSIONS, INDEX
from furrow.training.head import scans
from furrow.training.head.scans import FACE_COUNT, MODES, VERTEX_COUNT, read_scans

PARTS = sorted({p for n in EXPRESSIONS if n != "tongueOut" for p in scans._parts(n)})


def _arrays() -> dict[str, np.ndarray]:
    """Arrays of the right shapes, nearly all zero."""
    faces = np.zeros((FACE_COUNT, 4), np.int32)
    faces[:, 1:3] = (1, 2)
    faces[:, 3] = -1
    expression = np.zeros((len(PARTS), VERTEX_COUNT, 3), np.float32)
    expression[:, 7] = np.arange(len(PARTS))[:, None] + 1.0
    return {
        "neutral": np.zeros((VERTEX_COUNT, 3), np.float32),
        "faces": faces,
        "identity": np.zeros((MODES, VERTEX_COUNT, 3), np.float32),
        "expression": expression,
        "expression_names": np.array(PARTS),
    }


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return _arrays()


def _file(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def test_shapes_get_arkits_names_axes_and_metres(tmp_path, arrays):
    model = read_scans(_file(tmp_path / "model.npz", arrays))
    value = {name: 0.01 * (i + 1.0) for i, name in enumerate(PARTS)}
    moved = model.units[:, 7]
    # x to the person's left, up and forward become x, z and -y.
    np.testing.assert_allclose(
        moved[INDEX["jawOpen"]], value["jawOpen"] * np.array([1.0, -1.0, 1.0]), rtol=1e-6
    )
    both = value["browInnerUp_L"] + value["browInnerUp_R"]
    assert moved[INDEX["browInnerUp"], 0] == pytest.approx(both)
    assert moved[INDEX["mouthSmileLeft"], 0] == pytest.approx(value["mouthSmile_L"])
    assert moved[INDEX["mouthLeft"], 0] == pytest.approx(value["mouthLeft"])
    assert moved[INDEX["mouthClose"], 0] == pytest.approx(0.77 * value["mouthClose"])
    assert not moved[INDEX["tongueOut"]].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expression_names": np.array([f"x{i}" for i in range(len(PARTS))])}, "lacks the shape"),
        ({"neutral": np.zeros((100, 3), np.float32)}, "neutral has the shape"),
        ({"identity": np.full((MODES, VERTEX_COUNT, 3), np.nan, np.float32)}, "no numbers"),
        ({"faces": np.full((FACE_COUNT, 4), VERTEX_COUNT, np.int32)}, "do not exist"),
    ],
)
def test_another_model_is_one_clear_line(tmp_path, arrays, change, message):
    with pytest.raises(FurrowError, match=message):
        read_scans(_file(tmp_path / "model.npz", arrays | change))


def test_what_is_no_model_names_the_remedy(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    for path in (tmp_path / "none.npz", tmp_path / "text.npz", tmp_path):
        with pytest.raises(FurrowError, match="--ict"):
            read_scans(path)


def test_a_clone_is_read_as_the_one_file(tmp_path, monkeypatch):
    """A small clone of the public repository's layout, 1-based faces and all."""
    monkeypatch.setattr(scans, "VERTEX_COUNT", 4)
    monkeypatch.setattr(scans, "FACE_COUNT", 2)
    monkeypatch.setattr(scans, "MODES", 2)
    folder = tmp_path / "FaceXModel"
    folder.mkdir()

    def obj(name: str, x: float) -> None:
        lines = [f"v {x + k} {k} 0.5" for k in range(4)]
        lines += ["vt 0 0", "f 1/1 2/1 3/1 4/1", "f 1/1 3/1 4/1"]
        (folder / f"{name}.obj").write_text("\n".join(lines))

    obj("generic_neutral_mesh", 0.0)
    for i, name in enumerate((*PARTS, "identity000", "identity001")):
        obj(name, float(i + 1))
    model = read_scans(tmp_path)
    assert model.faces.tolist() == [[0, 1, 2, 3], [0, 2, 3, -1]]
    assert model.units[INDEX["jawOpen"], 0, 0] == pytest.approx(0.01 * (PARTS.index("jawOpen") + 1))
    assert model.identity.shape == (2, 4, 3)
    (folder / "jawOpen.obj").unlink()
    with pytest.raises(FurrowError, match=r"jawOpen\.obj"):
        read_scans(tmp_path)
