"""The maps that training reads: drawn ones, and sets on disk with everything that can be wrong with them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import FACESCAPE_PRESETS, vector
from furrow.backend.formats.identity import write_identity
from furrow.backend.formats.maps import FACESCAPE_SCALE_MM, write_map
from furrow.backend.head.bilinear import Head
from furrow.training.corpus import facescape, sets
from furrow.training.maps import data
from furrow.training.maps.sets import from_set
from PIL import Image

SIZE = 512
PEOPLE = {"0001": ("neutral", "smile", "anger"), "0002": ("neutral", "smile")}
PNG_STEP_MM = FACESCAPE_SCALE_MM / 32768


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load()


def broad(person: str, expression: str) -> np.ndarray:
    """Waves of about 40 mm."""
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE * 2 * np.pi
    turn = int(person) + 0.1 * len(expression)
    return (0.2 * np.sin(7 * columns + turn) * np.sin(8 * rows)).astype(np.float32)


def pores(person: str) -> np.ndarray:
    """A grain of 1.2 mm, the same in all maps of a person."""
    grain = (-1.0) ** np.add.outer(np.arange(SIZE), np.arange(SIZE))
    return (0.01 * int(person) * grain).astype(np.float32)


@pytest.fixture(scope="module")
def original(head: Head, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of two people with three and two maps; in the first one of each a groove is cut."""
    folder = tmp_path_factory.mktemp("sets") / "set"
    sets.claim(folder, sets.record("encoder", len(PEOPLE), SIZE, 0))
    for person, names in PEOPLE.items():
        write_identity(head.random(int(person)), folder / "identity" / f"{person}.json")
        weights = {name: vector(FACESCAPE_PRESETS[name]) for name in names}
        sets.write_expressions(folder, person, weights)
        for name in names:
            image = broad(person, name) + pores(person)
            if name == "neutral":
                image[SIZE // 2] -= 0.2
            write_map(sets.map_path(folder, person, name), image)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    return shutil.copytree(original, tmp_path / "set")


def test_a_set_on_disk_reads_as_a_drawn_one(head: Head, original: Path, tmp_path: Path) -> None:
    maps = from_set(original, tmp_path / "cache", SIZE, relief=True)
    drawn = data.draw(tmp_path / "drawn", head, 64, 2, 2, seed=3, relief=True, workers=1)
    for field in dataclasses.fields(maps):
        ours, theirs = getattr(maps, field.name), getattr(drawn, field.name)
        assert type(ours) is type(theirs), field.name
        if isinstance(ours, np.ndarray):
            assert (ours.dtype, ours.ndim) == (theirs.dtype, theirs.ndim), field.name
    assert maps.map.shape == (5, SIZE, SIZE) and maps.relief.shape == (2, SIZE, SIZE)
    assert maps.person.tolist() == [0, 0, 0, 1, 1]
    assert (maps.people, maps.first(1), maps.first(2)) == (2, 3, 5)
    inner = (slice(2, -2), slice(2, -2))
    rows = [(person, name) for person, names in PEOPLE.items() for name in names]
    for row, (person, name) in enumerate(rows):
        np.testing.assert_allclose(maps.identity[row], head.random(int(person)).vector, atol=1e-6)
        np.testing.assert_array_equal(maps.expression[row], vector(FACESCAPE_PRESETS[name]))
        if name != "neutral":  # what is left beside the waves is far less than the pores were
            wrong = np.abs(maps.map[row] - broad(person, name))[inner].max()
            assert wrong < 0.3 * np.abs(pores(person)).max()
    # Pores are kept of a map without the groove, and looked up by person.
    found = maps.relief_of(np.array([1, 4]))
    for image, person in zip(found, ("0001", "0002"), strict=True):
        np.testing.assert_allclose(image[inner], pores(person)[inner], atol=4e-3)
    assert maps.mask.max() == 1.0 and 0.2 < maps.mask.mean() < 1.0


def test_maps_are_area_means_and_relief_may_be_left_out(original: Path, tmp_path: Path) -> None:
    maps = from_set(original, tmp_path / "cache", 128)
    expected = broad("0002", "smile").reshape(128, 4, 128, 4).mean((1, 3))
    np.testing.assert_allclose(maps.map[4], expected, atol=2e-3)
    with pytest.raises(FurrowError, match="without relief"):
        maps.relief_of(np.array([0]))
    again = data.read(tmp_path / "cache")
    assert again.digest == maps.digest
    np.testing.assert_array_equal(again.person, maps.person)


def test_reading_goes_on_where_it_stopped_and_happens_once(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = from_set(original, tmp_path / "whole", 64, relief=True)
    reads: list[str] = []
    read_png = facescape.read_png

    def counted(path: Path, resolution: int) -> np.ndarray:
        if len(reads) == 4:
            raise KeyboardInterrupt
        reads.append(path.name)
        return read_png(path, resolution)

    monkeypatch.setattr(facescape, "read_png", counted)
    with pytest.raises(KeyboardInterrupt):
        from_set(original, tmp_path / "cache", 64, relief=True)
    with pytest.raises(FurrowError, match="no whole set"):
        data.read(tmp_path / "cache")
    reads.clear()
    maps = from_set(original, tmp_path / "cache", 64, relief=True)
    assert reads == ["0002_neutral.png", "0002_smile.png"]
    assert maps.digest == whole.digest
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == sorted(
        p.name for p in (tmp_path / "whole").iterdir()
    )
    from_set(original, tmp_path / "cache", 64, relief=True)
    assert len(reads) == 2
    # A file that was written since is read again; what it holds decides the set's name.
    monkeypatch.setattr(facescape, "read_png", read_png)
    changed = shutil.copytree(original, tmp_path / "set")
    (changed / "dpmap" / "0001_smile.png").touch()
    assert from_set(changed, tmp_path / "cache", 64, relief=True).digest == whole.digest
    shutil.copy(changed / "dpmap" / "0001_neutral.png", changed / "dpmap" / "0001_smile.png")
    assert from_set(changed, tmp_path / "cache", 64, relief=True).digest != whole.digest


def spoil_map(folder: Path, how: str) -> None:
    path = folder / "dpmap" / "0001_smile.png"
    if how == "damaged":
        path.write_bytes(path.read_bytes()[:2000])
    elif how == "8-bit":
        Image.fromarray(np.full((SIZE, SIZE), 128, np.uint8)).save(path)
    elif how == "wrong size":
        write_map(path, np.zeros((96, 96), np.float32))
    else:
        from PIL.PngImagePlugin import PngInfo

        text = PngInfo()
        text.add_text("Displacement scale mm", "nan")
        Image.fromarray(np.full((SIZE, SIZE), 32768, np.uint16)).save(path, pnginfo=text)


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("damaged", "0001_smile.png"),
        ("8-bit", r"0001_smile.png is not a grey PNG of 16 bits"),
        ("wrong size", r"0001_smile.png has 96 x 96 texels"),
        ("scale that is no number", r"0001_smile.png has a scale of nan"),
    ],
)
def test_bad_maps_are_named_and_the_good_ones_are_kept(
    folder: Path, tmp_path: Path, how: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = (folder / "dpmap" / "0001_smile.png").read_bytes()
    spoil_map(folder, how)
    with pytest.raises(FurrowError, match=f"1 maps cannot be used.*{wanted}.*Get them again"):
        from_set(folder, tmp_path / "cache", 64)
    with pytest.raises(FurrowError, match="no whole set"):
        data.read(tmp_path / "cache")
    (folder / "dpmap" / "0001_smile.png").write_bytes(good)
    read = facescape.read_png
    seen: list[str] = []
    monkeypatch.setattr(facescape, "read_png", lambda p, r: seen.append(p.name) or read(p, r))
    assert len(from_set(folder, tmp_path / "cache", 64).map) == 5
    assert {name[:4] for name in seen} == {"0001"}


def rewrite(folder: Path, **change: object) -> None:
    """Change fields of the first person's identity."""
    path = folder / "identity" / "0001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def weigh(folder: Path, value: float) -> None:
    weights = np.full((3, 52), value, np.float32)
    np.savez(folder / "expression" / "0001.npz", names=PEOPLE["0001"], weights=weights)


@pytest.mark.parametrize(
    ("spoil", "wanted"),
    [
        (lambda f: (f / "identity" / "0002.json").unlink(), r"identity/0002\.json are missing"),
        (
            lambda f: (f / "expression" / "0001.npz").unlink(),
            r"0001_anger\.png, .*0001_smile\.png have no expression",
        ),
        (lambda f: rewrite(f, shape=[0.0] * 7), r"0001\.json cannot be used.*another head model"),
        (lambda f: rewrite(f, skin=[float("nan")] * 16), r"0001\.json.*not numbers.*train corpus"),
        (lambda f: weigh(f, np.inf), r"0001\.npz is damaged"),
        (lambda f: weigh(f, 1.5), r"0001\.npz cannot be used.*between 0 and 1"),
        (lambda f: shutil.rmtree(f / "dpmap"), "a set without maps"),
        (lambda f: (f / "set.json").write_text("{"), "is no set of maps"),
        (lambda f: shutil.rmtree(f), "holds no displacement maps"),
    ],
)
def test_what_lacks_or_spoils_a_pair_is_named_before_maps_are_read(
    folder: Path, tmp_path: Path, spoil, wanted: str
) -> None:
    spoil(folder)
    with pytest.raises(FurrowError, match=wanted):
        from_set(folder, tmp_path / "cache", 64)
    assert not (tmp_path / "cache").exists()


def test_a_full_disk_is_told_before_anything_is_read(
    original: Path, head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(total=1 << 40, used=1 << 40, free=5000)
    monkeypatch.setattr(data.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(FurrowError, match=r"cannot take .* GB of maps: No space left"):
        from_set(original, tmp_path / "cache", 64)
    with pytest.raises(FurrowError, match=r"cannot take .* GB of maps: No space left"):
        data.draw(tmp_path / "drawn", head, 64, 2, 2, seed=0, workers=1)
    assert not any((tmp_path / name / "partial-map.npy").exists() for name in ("cache", "drawn"))


def test_facescape_with_identities_can_be_learned_from(head: Head, tmp_path: Path) -> None:
    source = tmp_path / "FaceScape"
    steps = np.full((128, 128), 32768, np.uint16)
    steps[32:96, 32:96] += 4000
    (source / "7" / "dpmap").mkdir(parents=True)
    for name in ("1_neutral", "2_smile"):
        Image.fromarray(steps).save(source / "7" / "dpmap" / f"{name}.png")
    with pytest.raises(FurrowError, match=r"identity/7\.json are missing"):
        from_set(source, tmp_path / "cache", 64)
    write_identity(head.random(7), source / "identity" / "7.json")
    maps = from_set(source, tmp_path / "cache", 64)
    assert maps.map[1, 32, 32] == pytest.approx(4000 * PNG_STEP_MM, rel=1e-3)
    # The chart is theirs: the mask is where their maps are not flat.
    assert maps.mask[32, 32] == 1.0 and maps.mask[5, 5] == 0.0


def test_a_smaller_set_holds_the_first_people_of_a_larger_one(head: Head, tmp_path: Path) -> None:
    many = data.draw(tmp_path / "many", head, 128, 3, 2, seed=5, workers=2)
    few = data.draw(tmp_path / "few", head, 64, 2, 1, seed=5, relief=True, workers=1)
    assert np.array_equal(few.identity, many.identity[[0, 2]])
    assert np.array_equal(few.expression, many.expression[[0, 2]])
    assert not np.array_equal(many.expression[0], many.expression[1])
    assert few.relief.shape == (2, 64, 64)
    again = data.draw(tmp_path / "few", head, 64, 2, 1, seed=5, relief=True, workers=1)
    assert again.digest == few.digest
