"""Maps read from disk: a copy of FaceScape as it is handed out, in miniature, and our own sets."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import FACESCAPE_PRESETS, vector
from furrow.backend.formats.identity import write_identity
from furrow.backend.head.bilinear import Head
from furrow.training.corpus import facescape, train
from PIL import Image

SIZE = 128


def convert(source: Path, output: Path, *arguments: object) -> None:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    options = ["--facescape", source, "--output", output, "--resolution", 64, "--processes", 1]
    train.run(parser.parse_args([str(option) for option in (*options, *arguments)]))


def steps(person: int, expression: int) -> np.ndarray:
    """A map as the 16-bit values of its file: zero, with a ramp and a deep texel that set it apart from others."""
    values = np.full((SIZE, SIZE), 32768, np.uint16)
    values[:, 1] += np.uint16(100 * expression)
    values[person, 20] = 0
    values[::2, 40] += 4000
    return values


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Two people, one in each of the places that archives unpack to; one expression is missing."""
    root = tmp_path / "FaceScape"
    for person, folder in ((2, root / "2"), (101, root / "facescape_trainset_101_200" / "101")):
        (folder / "dpmap").mkdir(parents=True)
        (folder / "models_reg").mkdir()
        for k, name in enumerate(FACESCAPE_PRESETS, 1):
            theirs = f"{k}_{name.replace('-', '_')}"
            (folder / "models_reg" / f"{theirs}.obj").write_text("v 0 0 0\n")
            if (person, theirs) != (101, "3_mouth_stretch"):
                Image.fromarray(steps(person, k)).save(folder / "dpmap" / f"{theirs}.png")
    (root / "publishable_list_v1.txt").write_text("2\n")
    return root


def test_a_copy_of_facescape_reads_as_samples(copy: Path) -> None:
    source = facescape.find(copy)
    assert (source.uv, source.people, source.missing) == ("facescape", ["2", "101"], 1)
    samples = {(s.person, s.expression): s for s in source.samples(64)}
    assert len(samples) == 39
    assert ("101", "mouth-stretch") not in samples
    for (person, name), sample in samples.items():
        k = list(FACESCAPE_PRESETS).index(name) + 1
        np.testing.assert_array_equal(sample.weights, vector(FACESCAPE_PRESETS[name]))
        full = (steps(int(person), k).astype(float) - 32768) * 0.914 / 32768
        mean = full.reshape(64, 2, 64, 2).mean((1, 3))
        np.testing.assert_allclose(sample.map, mean, atol=1e-6)
        assert sample.map.dtype == np.float32
        assert sample.identity is None
    assert "1 expressions are missing, 0 of 2 people have an identity" in source.summary()


def test_an_identity_that_lies_beside_is_read(copy: Path) -> None:
    head = Head.load()
    person = head.random(3)
    write_identity(person, copy / "identity" / "101.json")
    identities = {s.person: s.identity for s in facescape.find(copy).samples(64)}
    assert identities["2"] is None
    assert identities["101"] is not None
    np.testing.assert_allclose(identities["101"].vector, person.vector, atol=1e-5)
    (copy / "identity" / "101.json").write_text("{}")
    with pytest.raises(FurrowError, match=r"101\.json"):
        list(facescape.find(copy).samples(64))


def spoil(copy: Path) -> list[str]:
    """Spoil six maps in as many ways; return their names."""
    maps = copy / "2" / "dpmap"
    half = (maps / "1_neutral.png").read_bytes()
    (maps / "1_neutral.png").write_bytes(half[: len(half) // 2])
    (maps / "2_smile.png").write_bytes(b"no PNG at all")
    Image.fromarray(np.zeros((SIZE, SIZE), np.uint8)).save(maps / "4_anger.png")
    Image.fromarray(np.zeros((SIZE, SIZE, 3), np.uint8)).save(maps / "5_jaw_left.png")
    Image.fromarray(np.zeros((SIZE, SIZE // 2), np.uint16)).save(maps / "6_jaw_right.png")
    Image.fromarray(np.zeros((32, 32), np.uint16)).save(maps / "7_jaw_forward.png")
    return ["1_neutral", "2_smile", "4_anger", "5_jaw_left", "6_jaw_right", "7_jaw_forward"]


def test_maps_that_cannot_be_used_are_all_named_in_one_error(copy: Path, tmp_path: Path) -> None:
    names = spoil(copy)
    good: list = []
    with pytest.raises(FurrowError) as caught:
        good.extend(facescape.find(copy).samples(64))
    assert len(good) == 33
    for name in names:
        assert f"{name}.png" in str(caught.value)
    assert "16 bits" in str(caught.value) and "32 x 32" in str(caught.value)
    with pytest.raises(FurrowError, match="6 maps cannot be used"):
        convert(copy, tmp_path / "set")
    for name in names:
        (copy / "2" / "dpmap" / f"{name}.png").unlink()
    convert(copy, tmp_path / "set")
    assert len(list(facescape.find(tmp_path / "set").samples(64))) == 33


def test_folders_without_maps_say_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "1" / "models_reg").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "1", tmp_path / "nowhere"):
        with pytest.raises(FurrowError, match=r"dpmap/1_neutral\.png to 20_brow_lower\.png"):
            facescape.find(folder)
        with pytest.raises(FurrowError, match="no displacement maps of FaceScape"):
            convert(folder, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_converted_copy_is_a_set_that_reads_the_same(copy: Path, tmp_path: Path) -> None:
    write_identity(Head.load().random(3), copy / "identity" / "2.json")
    convert(copy, tmp_path / "set", "--processes", 2)
    made_by = json.loads((tmp_path / "set" / "set.json").read_text())
    assert made_by["uv"] == "facescape" and made_by["resolution"] == 64
    read = facescape.find(tmp_path / "set")
    assert (read.uv, read.people, read.missing) == ("facescape", ["2", "101"], 0)
    for one, other in zip(facescape.find(copy).samples(64), read.samples(64), strict=True):
        assert (one.person, one.expression) == (other.person, other.expression)
        np.testing.assert_array_equal(one.weights, other.weights)
        np.testing.assert_allclose(one.map, other.map, atol=0.914 / 32768)
        assert (one.identity is None) == (other.identity is None)
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "set" / "dpmap").iterdir()}
    convert(copy, tmp_path / "set")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "set" / "dpmap").iterdir()} == stamps


def test_a_set_of_ours_reads_through_the_same_interface(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    options = ["--set", "test", "--people", "1", "--resolution", "128"]
    options += ["--processes", "1", "--output", str(tmp_path)]
    train.run(parser.parse_args(options))
    (tmp_path / "dpmap" / "0001_mixture-3.png").unlink()
    source = facescape.find(tmp_path)
    assert (source.uv, source.missing) == ("furrow", 1)
    samples = list(source.samples(64))
    assert [s.expression for s in samples] == [f"mixture-{k}" for k in (1, 2, 4, 5)]
    assert all(s.identity is not None and s.map.shape == (64, 64) for s in samples)
    (tmp_path / "set.json").write_text('{"format": "furrow.corpus/1"}')
    with pytest.raises(FurrowError, match="no set of maps"):
        facescape.find(tmp_path)
