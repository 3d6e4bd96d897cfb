"""The methods of the backend process: maps, speech, status. Models load when they are first needed."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ... import __version__
from ..detail.detail_model import DetailModel, check_resolution, resample
from ..detail.engines import engines
from ..detail.engines.engine_choice import EngineChoice
from ..detail.engines.kinds import AUTO, KINDS
from ..detail.live import LiveMaps
from ..errors import FurrowError
from ..formats.expressions import EXPRESSIONS
from ..formats.files import ASSETS, sha256
from ..formats.identity import Identity, from_request
from ..formats.map_writing import write_maps
from ..formats.maps import RESOLUTIONS
from ..system.idle import when_idle
from ..system.memory import resident_bytes
from .protocol import PROTOCOL
from .server import Request, Server

LANES = {"maps": 1, "files": 2, "bases": 1, "speech": 1, "status": 1}
"""Threads by lane. Two write files: one makes the next map while the other compresses the last."""

WRITERS = max(1, (os.cpu_count() or 1) // 4)
"""Threads that compress the maps of one bake's request; two such requests run at once."""

IDLE_S = 3.0
"""How long nobody asks for anything before engines are measured."""

PACKAGES = ("numpy", *(kind.package for kind in KINDS.values()), "soundfile", "OpenEXR", "pypng")


def serve(
    read: BinaryIO,
    write: BinaryIO,
    engine: str,
    networks: Path | None = None,
    user_folder: Path | None = None,
) -> None:
    """Say ``ready`` and answer requests until the client goes; ends the process."""
    services = Services(engine, networks or engines.DETAIL, user_folder)
    server = Server(read, write, LANES, services.methods())
    services.loading = server.loading
    services.engine.say = lambda text: server.send({"event": "message", "message": text})
    server.send(
        {
            "event": "ready",
            "protocol": PROTOCOL,
            "version": __version__,
            "pid": os.getpid(),
            **services.engine.message(),
        }
    )
    server.warm_up("maps", services.warm_up)
    if services.engine.to_measure():
        when_idle(server.busy, IDLE_S, lambda i: services.engine.measure(i, services.loading))
    server.serve()


class Services:
    """Holds the models of the process.

    Parameters
    ----------
    engine
        One of :data:`.kinds.CHOICES`.
    networks
        Folder of the detail networks.
    user_folder
        Where the speed of engines is remembered; None to remember none.

    Attributes
    ----------
    engine
        Which engine is taken, and why.
    loading
        Makes the context in which models load: the server's, in the process.
    """

    def __init__(
        self,
        engine: str = AUTO,
        networks: Path = engines.DETAIL,
        user_folder: Path | None = None,
    ) -> None:
        self.loading: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
        self._networks = networks
        self._detail: DetailModel | None = None
        self._live: LiveMaps | None = None
        self._speech: Any = None
        self._hashes: dict[tuple[str, int, int], str] = {}
        self._detail_lock = threading.Lock()
        self._speech_lock = threading.Lock()
        self.engine = EngineChoice(engine, networks, user_folder)

    def methods(self) -> dict[str, tuple[str, Any]]:
        """name -> (lane, function), for the server.

        Nothing waits for a minute of speech, and a drag not for the maps of a bake but for one.
        """
        return {
            "map": ("maps", self.map),
            "write_maps": ("files", self.write_maps),
            "wrinkle_basis": ("bases", self.wrinkle_basis),
            "release_memory": ("maps", self.release_memory),
            "speech": ("speech", self.speech),
            "status": ("status", self.status),
        }

    def warm_up(self) -> None:
        """Load the networks and run them once, so that the first drag is as fast as the next."""
        with self._detail_lock:
            model = self._model()
            average = Identity(np.zeros(model.shape_count, np.float32))
            model.map(average, np.zeros(len(EXPRESSIONS), np.float32), model.resolution)

    def map(self, request: Request) -> dict[str, Any]:
        """A displacement map; params and result as in docs/backend.md."""
        map_mm, exact = self._map(request)
        return {"array": map_mm, "exact": exact}

    def write_maps(self, request: Request) -> dict[str, Any]:
        """Displacement maps of one identity as files, one for each expression, and their hashes."""
        identity, relief, resolution = _styles(request.params)
        paths = request.params.get("paths")
        rows = request.params.get("expressions")
        if not isinstance(paths, list) or not isinstance(rows, list) or len(paths) != len(rows):
            raise FurrowError('The request needs as many "paths" as "expressions".')
        paths = [_text(path, "paths") for path in paths]

        def maps() -> Iterator[tuple[str, np.ndarray]]:
            count = 0
            while count < len(rows):
                request.progress(count / len(rows), "Synthesising")
                with self._detail_lock:  # batch by batch, so that a slider waits for one
                    model = self._model()
                    part = slice(count, count + model.engine.batch)
                    expressions = [_floats(row, "expression") for row in rows[part]]
                    ws = np.stack([model.w_plus(identity, e, relief) for e in expressions])
                    seed = identity.detail_seed
                    batch = model.synthesise_batch(ws, seed, resolution, request.interrupt)
                yield from zip(paths[part], batch, strict=True)
                count += len(batch)

        return {"sha256": list(write_maps(maps(), WRITERS))}

    def wrinkle_basis(self, request: Request) -> dict[str, Any]:
        """What a portable head plays; params and result as in docs/backend.md."""
        from ..detail import wrinkle_basis

        identity, relief, resolution = _styles(request.params)
        components = int(_number(request.params, "components", wrinkle_basis.DEFAULT))

        def progress(share: float, text: str) -> None:
            request.interrupt.check()
            request.progress(share, text)

        with self._detail_lock:
            model = self._model()
        source = wrinkle_basis.Source(model, identity, relief, self._detail_lock)
        basis = wrinkle_basis.fit(source, resolution, components, progress=progress)
        return {"array": basis.maps, **basis.message()}

    def speech(self, request: Request) -> dict[str, Any]:
        """Expression weights of a sound file, and the turn of the head."""
        from ..formats import audio
        from ..liveliness import performance
        from ..speech.speech_model import SpeechModel

        path = _text(request.params.get("path"), "path")
        audio.check(path)
        fps = _number(request.params, "fps", 30.0)
        style, life = performance.from_request(request.params)
        with self._speech_lock:
            if self._speech is None:
                request.progress(0.0, "Loading the speech model")
                with self.loading():
                    self._speech = SpeechModel.load()
            model = self._speech
        weights = model.weights(path, fps, style, life, request.progress, request.unwanted)
        head = np.zeros((len(weights.values), 3)) if weights.head is None else weights.head
        array = np.concatenate([weights.values, head], axis=1).astype(np.float32)
        return {"array": array, "fps": float(weights.fps)}

    def status(self, _request: Request) -> dict[str, Any]:
        """Engine, device, what else could run, models by hash, memory, versions."""
        detail = self._detail
        with self.loading():  # asks PyTorch, where there is CUDA
            available = [engine.as_dict() for engine in engines.available()]
        return {
            "version": __version__,
            "protocol": PROTOCOL,
            "pid": os.getpid(),
            **self.engine.message(),
            "loaded": detail is not None,
            "resolution": detail.resolution if detail else None,
            "available": available,
            "models": self._models(),
            "memory_bytes": resident_bytes(),
            "versions": {"python": platform.python_version(), **_versions()},
        }

    def release_memory(self, _request: Request) -> dict[str, Any]:
        """Let go of every model; the next request loads what it needs."""
        before = resident_bytes()
        with self._detail_lock:
            self._detail = self._live = None
        with self._speech_lock:
            self._speech = None
        engines.release()
        return {"before": before, "after": resident_bytes()}

    def _model(self) -> DetailModel:
        if self._detail is None:
            with self.loading():
                self._detail = DetailModel(self.engine.load(), self._networks)
        return self._detail

    def _map(self, request: Request) -> tuple[np.ndarray, bool]:
        """The map that is asked for, and whether it is the exact one."""
        params, head = request.params, request.channel
        identity, relief, resolution = _styles(params)
        expression = _floats(params.get("expression"), "expression")
        check_resolution(resolution)
        live, preview = bool(params.get("live", False)), bool(params.get("preview", False))
        if live and head is None:
            raise FurrowError("A live map needs a channel, which names its head.")
        with self._detail_lock:
            model = self._model()
            w = model.w_plus(identity, expression, relief)
            if not model.engine.has_mixture:
                head = None  # nothing is quicker than an exact map
            if live and head is not None:
                map_mm = self._live_maps(model).map(head, w, resolution)
                if map_mm is not None:
                    return map_mm, False
            seed = identity.detail_seed
            map_mm = model.synthesise(w, seed, model.resolution, preview, request.interrupt)
            if head is not None:
                self._live_maps(model).settle(head, w, map_mm)
        return resample(map_mm, resolution), True

    def _live_maps(self, model: DetailModel) -> LiveMaps:
        if self._live is None:
            self._live = LiveMaps(model.engine)
        return self._live

    def _models(self) -> list[dict[str, Any]]:
        """The networks on disk: folder and file, size, SHA-256 (remembered while unchanged)."""
        models = []
        for folder in (self._networks, ASSETS / "speech"):
            for path in sorted(folder.glob("*")):
                if path.suffix in (".onnx", ".ort", ".safetensors"):
                    facts = path.stat()
                    key = (str(path), facts.st_size, facts.st_mtime_ns)
                    if key not in self._hashes:
                        self._hashes[key] = sha256(path)
                    name = f"{folder.name}/{path.name}"
                    models.append(
                        {"name": name, "bytes": facts.st_size, "sha256": self._hashes[key]}
                    )
        return models


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _styles(params: dict[str, Any]) -> tuple[Identity, Identity | None, int]:
    """Whose map is asked for, whose relief if another's, and its resolution."""
    relief = None if params.get("relief") is None else from_request(params["relief"])
    resolution = int(_number(params, "resolution", RESOLUTIONS[1]))
    return from_request(params.get("identity")), relief, resolution


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise FurrowError(f'The request needs a text "{name}".')
    return value


def _number(params: dict[str, Any], name: str, default: float) -> float:
    value = params.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
        raise FurrowError(f'"{name}" must be a number.')
    return value


def _floats(value: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(value, np.float32).reshape(-1)
    except (TypeError, ValueError):
        raise FurrowError(f"The {what} must be a list of numbers.") from None
