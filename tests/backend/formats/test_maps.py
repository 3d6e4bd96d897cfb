"""Displacement maps on disk: they come back as they were, and what is wrong is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from furrow.backend.errors import FurrowError
from furrow.backend.formats.maps import read_map, write_map

MAP = np.random.default_rng(0).normal(0, 0.1, (64, 96)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [("m.exr", {}, 2.5e-4), ("m.exr", {"half": False}, 0.0), ("m.png", {}, 1.5e-5)],
)
def test_comes_back(tmp_path, name, options, error):
    write_map(tmp_path / name, MAP, **options)
    back = read_map(tmp_path / name)
    assert back.dtype == np.float32 and back.shape == MAP.shape
    assert np.abs(back - MAP).max() <= error
    assert os.listdir(tmp_path) == [name]


def test_exr_is_grey_and_opaque(tmp_path):
    OpenEXR = pytest.importorskip("OpenEXR")
    write_map(tmp_path / "m.exr", MAP)
    pixels = OpenEXR.File(str(tmp_path / "m.exr")).channels()["RGBA"].pixels
    assert pixels.dtype == np.float16
    assert (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    assert (pixels[..., 3] == 1).all()


def test_png_deeper_than_facescape_keeps_its_scale(tmp_path):
    write_map(tmp_path / "deep.png", MAP * 30)
    assert np.abs(read_map(tmp_path / "deep.png") - MAP * 30).max() < 2e-4


def test_png_of_facescape_has_its_scale(tmp_path):
    image = pytest.importorskip("PIL.Image")
    values = np.array([[0, 32768, 65535, 49152]], np.uint16)
    image.fromarray(values).save(tmp_path / "1_2.png")
    expected = [[-0.914, 0.0, 0.914 * 32767 / 32768, 0.457]]
    assert np.allclose(read_map(tmp_path / "1_2.png"), expected, atol=1e-6)


def test_png_is_read_by_others(tmp_path):
    image = pytest.importorskip("PIL.Image")
    write_map(tmp_path / "m.png", MAP)
    with image.open(tmp_path / "m.png") as png:
        assert float(png.text["Displacement scale mm"]) == 0.914
        values = np.asarray(png).astype(float)
    assert np.abs((values - 32768) / 32768 * 0.914 - MAP).max() < 1.5e-5


@pytest.mark.parametrize("suffix", [".exr", ".png"])
def test_what_is_no_map_is_not_written(tmp_path, suffix):
    for wrong, text in (
        (np.where(MAP > 0, np.nan, MAP), "not numbers"),
        (MAP[None], "height and width"),
        (MAP[:0], "height and width"),
    ):
        with pytest.raises(FurrowError, match=text):
            write_map(tmp_path / f"m{suffix}", wrong)
    assert not os.listdir(tmp_path)
    with pytest.raises(FurrowError, match="32-bit"):
        write_map(tmp_path / "m.exr", MAP * 1e7)
    with pytest.raises(FurrowError, match="not as"):
        write_map(tmp_path / "m.tif", MAP)


@pytest.mark.parametrize("suffix", [".exr", ".png"])
@pytest.mark.parametrize("missing", [50_000, 1])
def test_full_disk_leaves_nothing(tmp_path, suffix, missing):
    """A limit on the size of files stands for the full disk; even one byte too few is noticed."""
    big = np.random.default_rng(1).normal(0, 0.1, (256, 256)).astype(np.float32)
    whole = tmp_path / f"whole{suffix}"
    write_map(whole, big)
    code = (
        "import resource, sys, numpy as np\n"
        "from furrow.backend.errors import FurrowError\n"
        "from furrow.backend.formats.maps import write_map\n"
        f"limit = {whole.stat().st_size - missing}\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "big = np.random.default_rng(1).normal(0, 0.1, (256, 256)).astype(np.float32)\n"
        "try: write_map(sys.argv[1], big)\n"
        "except FurrowError as error: print(error.code, error)\n"
    )
    target = tmp_path / "out" / f"m{suffix}"
    process = subprocess.run(
        [sys.executable, "-c", code, str(target)], capture_output=True, text=True, timeout=60
    )
    assert process.stdout.startswith(f"write_failed {target} cannot be written: "), process
    assert process.stdout.count("\n") == 1
    assert not os.listdir(target.parent)


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FurrowError) as failure:
        write_map(tmp_path / "file" / "m.exr", MAP)
    assert failure.value.code == "write_failed"


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(FurrowError, match="There is no map") as failure:
        read_map(tmp_path / "no.exr")
    assert failure.value.code == "missing_file"
    (tmp_path / "text.exr").write_text("hello")
    with pytest.raises(FurrowError, match="neither OpenEXR nor PNG"):
        read_map(tmp_path / "text.exr")
    for name in ("m.exr", "m.png"):
        write_map(tmp_path / name, MAP)
        content = (tmp_path / name).read_bytes()
        for size in (12, len(content) // 2):
            Path(tmp_path / name).write_bytes(content[:size])
            with pytest.raises(FurrowError, match="damaged"):
                read_map(tmp_path / name)


def test_colour_pictures_are_no_maps(tmp_path):
    image = pytest.importorskip("PIL.Image")
    OpenEXR = pytest.importorskip("OpenEXR")
    image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    with pytest.raises(FurrowError, match="3 channels of 8 bits"):
        read_map(tmp_path / "photo.png")
    channels = {name: np.full((8, 8), i, np.float32) for i, name in enumerate("RGB")}
    with OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION}, channels) as file:
        file.write(str(tmp_path / "photo.exr"))
    with pytest.raises(FurrowError, match="colours differ"):
        read_map(tmp_path / "photo.exr")
    nan = {name: np.full((8, 8), np.nan, np.float32) for name in "RGB"}
    with OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION}, nan) as file:
        file.write(str(tmp_path / "nan.exr"))
    with pytest.raises(FurrowError, match="not numbers"):
        read_map(tmp_path / "nan.exr")
