"""Displacement maps as files: OpenEXR, 16-bit PNG.

A map is (H, W) float32, millimetres outward, row 0 at v = 1. OpenEXR keeps the values as they are
(R = G = B, alpha 1). PNG follows FaceScape: 32768 is zero, and 32768 steps are the scale, written
as the text chunk :data:`SCALE_KEY`; without it the scale is FaceScape's 0.914 mm.
PNG goes through pypng: pure Python of 60 kB that any Blender can load, where Pillow or OpenCV would
add one native wheel for each Python to the zip.
"""

from __future__ import annotations

import io
import itertools
import math
import zlib
from pathlib import Path

import numpy as np

from ..errors import FurrowError
from .files import whole_file

FACESCAPE_SCALE_MM = 0.914
"""Millimetres for 32768 steps of FaceScape's displacement maps."""

SCALE_KEY = "Displacement scale mm"
"""Keyword of the PNG text chunk that holds the millimetres for 32768 steps."""

ZERO = 32768
SUFFIXES = (".exr", ".png")

RESOLUTIONS = (256, 512, 1024)
"""Sizes of map that may be asked for, in texels a side."""


def write_map(path: str | Path, map_mm: np.ndarray, half: bool = True) -> None:
    """Write a map; the suffix decides the format, the file appears only when whole.

    Parameters
    ----------
    path
        ``.exr`` or ``.png``.
    map_mm
        (H, W), millimetres, finite.
    half
        OpenEXR only: 16-bit floats (error at most 0.05 %) rather than 32-bit ones.

    Raises
    ------
    FurrowError
        For another suffix, values that are not finite, another shape, or a folder or disk that
        cannot take the file.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise FurrowError(f"{path}: maps are written as .exr or .png, not as {suffix or 'that'}.")
    map_mm = np.asarray(map_mm)
    if map_mm.ndim != 2 or 0 in map_mm.shape:
        raise FurrowError(f"A map has height and width; this one has the shape {map_mm.shape}.")
    if not np.isfinite(map_mm).all():
        raise FurrowError("The map holds values that are not numbers; it was not written.")
    with whole_file(path) as temporary:
        if suffix == ".exr":
            _write_exr(temporary, map_mm, half)
        else:
            temporary.write_bytes(_png(map_mm))


def read_map(path: str | Path) -> np.ndarray:
    """Read a map: OpenEXR of any channel layout whose colours agree, or a grey 16-bit PNG.

    Returns (H, W) float32 millimetres.

    Raises
    ------
    FurrowError
        If the file is missing, damaged, of another kind, or holds values that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FurrowError(f"There is no map {path}.", "missing_file")
    with _opened(path) as file:
        head = file.read(8)
    if head.startswith(b"\x76\x2f\x31\x01"):
        map_mm = _read_exr(path)
    elif head.startswith(b"\x89PNG"):
        map_mm = _read_png(path)
    else:
        raise FurrowError(f"{path} is no displacement map: neither OpenEXR nor PNG.")
    if not np.isfinite(map_mm).all():
        raise FurrowError(f"{path} holds values that are not numbers.")
    return map_mm


def _opened(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise FurrowError(f"{path} cannot be read: {error.strerror}.", "missing_file") from None


def _write_exr(path: Path, map_mm: np.ndarray, half: bool) -> None:
    import OpenEXR

    if half and np.abs(map_mm).max() > np.finfo(np.float16).max:
        raise FurrowError("The map is deeper than 65 metres; write it with 32-bit floats.")
    values = np.ascontiguousarray(map_mm, np.float16 if half else np.float32)
    channels = {name: values for name in "RGB"} | {"A": np.ones_like(values)}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    try:
        with OpenEXR.File(header, channels) as file:
            file.write(str(path))
    except RuntimeError as error:  # OpenEXR says a full disk this way
        raise OSError(str(error).rstrip(".").rpartition('". ')[2]) from None


def _read_exr(path: Path) -> np.ndarray:
    import OpenEXR

    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: np.array(c.pixels) for name, c in file.channels().items()}
    except (RuntimeError, ValueError, OSError):
        raise FurrowError(f"{path} is a damaged or unsupported OpenEXR file.") from None
    colours = [channels[name] for name in ("R", "G", "B", "Y") if name in channels]
    if not colours:
        raise FurrowError(f"{path} is no displacement map: its channels are {', '.join(channels)}.")
    if any(not np.array_equal(colours[0], other, equal_nan=True) for other in colours[1:]):
        raise FurrowError(f"{path} is no displacement map: its colours differ from one another.")
    return np.asarray(colours[0], np.float32)


def _png(map_mm: np.ndarray) -> bytes:
    """Return the PNG file of a map; the scale is FaceScape's unless the map is deeper than that."""
    import png

    deepest = float(np.abs(map_mm).max())
    scale = max(FACESCAPE_SCALE_MM, deepest * ZERO / (ZERO - 1))
    steps = np.rint(np.asarray(map_mm, np.float64) * (ZERO / scale)) + ZERO
    rows = np.clip(steps, 0, 65535).astype(">u2")
    grey = io.BytesIO()
    height, width = map_mm.shape
    writer = png.Writer(width, height, greyscale=True, bitdepth=16, compression=6)
    writer.write_packed(grey, (row.tobytes() for row in rows))
    grey.seek(0)
    chunks = list(png.Reader(grey).chunks())
    text = SCALE_KEY.encode("latin-1") + b"\0" + repr(scale).encode("latin-1")
    whole = io.BytesIO()
    png.write_chunks(whole, itertools.chain(chunks[:1], [(b"tEXt", text)], chunks[1:]))
    return whole.getvalue()


def _read_png(path: Path) -> np.ndarray:
    import png

    try:
        content = path.read_bytes()
        scale = FACESCAPE_SCALE_MM
        for kind, data in png.Reader(bytes=content).chunks():
            keyword, _, text = bytes(data).partition(b"\0")
            if kind == b"tEXt" and keyword == SCALE_KEY.encode("latin-1"):
                scale = float(text)
        width, height, rows, facts = png.Reader(bytes=content).read()
        if facts["bitdepth"] != 16 or facts["planes"] != 1:
            raise FurrowError(
                f"{path} is no displacement map: it has {facts['planes']} channels of "
                f"{facts['bitdepth']} bits, and maps have one of 16."
            )
        values = np.empty((height, width), np.float32)
        for values_row, row in zip(values, rows, strict=True):
            values_row[:] = row
    except (png.Error, zlib.error, ValueError, OSError, EOFError):
        raise FurrowError(f"{path} is a damaged PNG file.") from None
    if not (math.isfinite(scale) and scale > 0):
        raise FurrowError(f"{path} is a damaged PNG file: its scale is {scale}.")
    return (values - ZERO) * np.float32(scale / ZERO)
