"""`furrow doctor`: looks whether everything that Furrow needs is there and works."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from .. import __version__
from ..backend.detail.engines import engine_speed, engines
from ..backend.detail.engines.engine_choice import measurable
from ..backend.detail.engines.engine_speed import Speed
from ..backend.detail.engines.network_files import DIRECTIONS, MAPPING
from ..backend.errors import FurrowError
from ..backend.formats.files import ASSETS, sha256, write_whole
from ..backend.process import protocol
from ..backend.system import processor
from . import blender, flags

PACKAGES = (
    "numpy",
    "onnxruntime",
    "soundfile",
    "soxr",
    "OpenEXR",
    "pypng",
    "safetensors",
    "psutil",
    "tqdm",
)
MODELS = (
    "head.npz",
    *(f"detail/{name}" for name in engines.NETWORKS),
    "speech/listener.onnx",
    "speech/decoder.onnx",
    "speech/moonshine_encoder.ort",
)
OPTIONAL_MODELS = (f"detail/{DIRECTIONS}", f"detail/{MAPPING}")
"""What detail adjustments and random people need, and nothing else does."""

FREE_BYTES = 1_000_000_000
"""A minute of maps at 1024 takes about half of it."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: whether it is good, whether Furrow needs it, and what there is."""

    name: str
    good: bool
    needed: bool
    finding: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    flags.add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Examine, print and write the checks; raises FurrowError if something needed is missing."""
    checks = examine()
    print(report(checks))
    if arguments.json:
        write(arguments.json, checks)
    if any(check.needed and not check.good for check in checks):
        raise FurrowError("something that Furrow needs is missing.", "missing_model")
    return 0


def examine() -> list[Check]:
    """Look at everything; never raises for what is missing. Measures the engines: some seconds."""
    speeds, problems = _engine_speeds()
    return [
        _check("Furrow", True, _furrow),
        _check("processor", True, _processor),
        *(_check(package, True, _version_of(package)) for package in PACKAGES),
        *(_engine(engine, speeds, problems) for engine in engines.available()),
        _check("engine taken", True, lambda: _engine_choice(speeds, problems)),
        *(_check(f"assets/{name}", True, _digest_of(name)) for name in MODELS),
        *(_check(f"assets/{name}", False, _digest_of(name)) for name in OPTIONAL_MODELS),
        _check("a map", True, _map),
        _check("sound", True, _sound),
        _check("shared memory", True, _shared_memory),
        _check("this folder", False, _folder),
        _check("Blender", False, _blender),
    ]


def report(checks: list[Check]) -> str:
    """Return the checks as lines for a terminal."""
    width = max(len(check.name) for check in checks)
    marks = {True: "ok", False: "missing"}
    return "\n".join(
        f"{marks[c.good] if c.good or c.needed else 'none':<8} {c.name:<{width}}  {c.finding}"
        for c in checks
    )


def write(path: Path, checks: list[Check]) -> None:
    """Write the checks as JSON: ``{"good", "checks": [{"name", "good", "needed", "found"}]}``."""
    data = {
        "good": all(check.good for check in checks if check.needed),
        "checks": [
            {"name": c.name, "good": c.good, "needed": c.needed, "found": c.finding} for c in checks
        ],
    }
    write_whole(path, json.dumps(data, indent=1).encode() + b"\n")


def _check(name: str, needed: bool, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, needed, look())
    except FurrowError as error:
        return Check(name, False, needed, str(error))
    except Exception as error:  # a broken installation may raise anything
        return Check(name, False, needed, f"{type(error).__name__}: {error}".replace("\n", " "))


def _furrow() -> str:
    return f"{__version__}, Python {platform.python_version()} ({sys.executable}), {platform.platform()}"


def _processor() -> str:
    avx2 = ", without AVX2" if processor.lacks_avx2() else ""
    return f"{processor.name()}, {processor.physical_cores() or os.cpu_count()} cores{avx2}"


def _version_of(package: str) -> Callable[[], str]:
    def look() -> str:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            raise FurrowError('not installed; pip install "furrow[runtime]"') from None

    return look


def _engine_speeds() -> tuple[dict[str, Speed], dict[str, str]]:
    """Speed of each engine that may be taken, by kind; and why the others could not be measured."""
    speeds, problems = {}, {}
    for availability in measurable():
        try:
            engines.import_packages(availability.kind)
            engine = engines.load(availability.kind)
            speeds[availability.kind] = engine_speed.measure(
                engine, availability.name, availability.version
            )
        except FurrowError as error:
            problems[availability.kind] = str(error)
    return speeds, problems


def _engine(
    engine: engines.Availability, speeds: dict[str, Speed], problems: dict[str, str]
) -> Check:
    problem = engine.reason or problems.get(engine.kind)
    text = problem or f"{engine.version} on {engine.device}"
    if engine.kind in speeds:
        text += f", {speeds[engine.kind].exact_ms:.0f} ms an exact map"
    if engine.note:
        text += f"; {engine.note}"
    # ONNX Runtime is what ships, and its package is checked above; the others are optional.
    return Check(f"engine {engine.name}", problem is None, False, text)


def _engine_choice(speeds: dict[str, Speed], problems: dict[str, str]) -> str:
    """Which engine "auto" takes, and why."""
    engine = engines.choose("auto", speeds, problems)
    return f"{engine.name}: {engine.why}"


def _digest_of(name: str) -> Callable[[], str]:
    def look() -> str:
        path = ASSETS / name
        if not path.is_file():
            remedy = (
                "python -m furrow.backend.speech.moonshine fetches it"
                if path.suffix == ".ort"
                else "install Furrow again"
            )
            raise FurrowError(f"not there; {remedy}")
        return f"{path.stat().st_size / 1e6:.1f} MB, sha256 {sha256(path)}"

    return look


def _map() -> str:
    """Make one map with the engine that would be chosen."""
    import numpy as np

    from ..backend.detail.detail_model import DetailModel
    from ..backend.formats.expressions import EXPRESSIONS
    from ..backend.formats.identity import Identity

    model = DetailModel(engines.load())
    person = Identity(np.zeros(model.shape_count, np.float32))
    start = time.perf_counter()
    model.map(person, np.zeros(len(EXPRESSIONS), np.float32), model.resolution)
    seconds = time.perf_counter() - start
    return f"{model.resolution} pixels a side in {1000 * seconds:.0f} ms by {model.engine.name}"


def _sound() -> str:
    import soundfile

    return f"libsndfile {soundfile.__libsndfile_version__}"


def _shared_memory() -> str:
    """Pass a map of 512 pixels a side the way the backend process does."""
    import numpy as np

    map_mm = np.linspace(-1, 1, 512 * 512, dtype=np.float32).reshape(512, 512)
    arrays = protocol.SharedArrays()
    try:
        copy = protocol.receive(arrays.send(map_mm))
    finally:
        arrays.close()
    if not np.array_equal(copy, map_mm):
        raise FurrowError("what one process writes another does not see")
    return "works"


def _folder() -> str:
    folder = Path.cwd()
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(os.urandom(1 << 16))
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise FurrowError(f"{folder} has only {free / 1e6:.0f} MB free")
    return f"{folder} is writable, {free / 1e9:.0f} GB free"


def _blender() -> str:
    program = blender.find()[0]
    if program == sys.executable:
        return f"bpy {metadata.version('bpy')} in this Python"
    process = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60)
    return f"{process.stdout.splitlines()[0]} ({program})"
