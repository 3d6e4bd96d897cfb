"""Which engine a process takes, and the measurements that decide it next time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ...errors import FurrowError
from ...system.interrupt import Interrupt
from . import engine_speed, engines
from .engine_speed import Speed
from .kinds import AUTO


class EngineChoice:
    """The engine of this process.

    Parameters
    ----------
    kind
        One of :data:`.kinds.CHOICES`.
    networks
        Folder of the detail networks.
    folder
        Where measurements are remembered; None to remember none.

    Attributes
    ----------
    engine
        What was chosen, or None.
    problem
        For people: why there is no engine, or why a preferred one was given up.
    speeds
        What is remembered of the engines here, by kind.
    say
        Called with a line for people when an engine is given up later on.
    """

    def __init__(self, kind: str, networks: Path, folder: Path | None) -> None:
        self._kind, self._networks, self._folder = kind, networks, folder
        self._given_up: list[str] = []
        self.engine: engines.Availability | None = None
        self.problem: str | None = None
        self.speeds: dict[str, Speed] = {}
        self.say: Callable[[str], None] = lambda text: None
        self._key = ""
        if folder is not None:
            files = [networks / name for name in engines.NETWORKS]
            self._key = engine_speed.key(((e.name, e.version) for e in measurable()), files)
            self.speeds = engine_speed.read(folder, self._key)
        try:
            self._choose()
            if kind == AUTO and not self.problem:
                self.problem = next((e.note for e in engines.available() if e.note), None)
        except FurrowError as error:
            self.engine, self.problem = None, str(error)

    def message(self) -> dict[str, Any]:
        """Engine, device, why, milliseconds of an exact map by kind, and the problem, if any."""
        engine = self.engine
        message: dict[str, Any] = {"engine": None, "device": None}
        if engine is not None:
            speeds = {kind: speed.exact_ms for kind, speed in self.speeds.items()}
            message = {"engine": engine.name, "kind": engine.kind, "device": engine.device}
            message |= {"why": engine.why, "exact_ms": speeds}
        return message if self.problem is None else message | {"problem": self.problem}

    def load(self) -> engines.Engine:
        """Load the networks; where "auto" finds that an engine cannot, on the next one.

        Raises
        ------
        FurrowError
            With code ``engine_unavailable`` or ``missing_model``.
        """
        while True:
            if self.engine is None:
                raise FurrowError(self.problem or "No engine.", "engine_unavailable")
            try:
                engines.import_packages(self.engine.kind)
                engine = engines.load(self.engine.kind, self._networks)
            except FurrowError as error:
                self._give_up(self.engine, error)
                self.say(str(self.problem))
            else:
                engine.say = self.say
                return engine

    def _choose(self) -> None:
        """Choose an engine whose package can be imported."""
        self.engine = engines.choose(self._kind, self.speeds)
        while True:
            try:
                return engines.import_packages(self.engine.kind)
            except FurrowError as error:
                self.engine = self._give_up(self.engine, error)

    def _give_up(self, engine: engines.Availability, error: FurrowError) -> engines.Availability:
        """After an error of an engine, take the next; raise the error where there is none."""
        if self._kind != AUTO:
            raise error
        self._given_up.append(engine.kind)
        try:
            following = engines.choose(AUTO, self.speeds, self._given_up)
        except FurrowError:
            raise error from None
        self.problem = f"{error} {following.name} is used instead."
        self.engine = following
        return following

    def to_measure(self) -> list[engines.Availability]:
        """Engines whose speed is not remembered and shall be."""
        if self._folder is None:
            return []
        return [engine for engine in measurable() if engine.kind not in self.speeds]

    def measure(
        self,
        interrupt: Interrupt,
        loading: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        """Measure what is not remembered and remember it; an engine that fails is left out.

        Raises
        ------
        FurrowError
            With code ``cancelled`` if interrupted, or ``write_failed``.
        """
        for availability in self.to_measure():
            interrupt.check()
            try:
                with loading():
                    engines.import_packages(availability.kind)
                    engine = engines.load(availability.kind, self._networks)
                speed = engine_speed.measure(
                    engine, availability.name, availability.version, interrupt
                )
            except FurrowError as error:
                if error.code == "cancelled":
                    raise
                continue  # it says why when it is asked for
            self.speeds[availability.kind] = speed
            assert self._folder is not None
            engine_speed.write(self._folder, self._key, self.speeds)
            del engine
            engines.release()


def measurable() -> list[engines.Availability]:
    """Engines that "auto" may take: PyTorch on the CPU is none."""
    return [
        engine
        for engine in engines.available()
        if engine.reason is None and (engine.kind != "torch" or engine.device != "CPU")
    ]
