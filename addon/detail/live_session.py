"""What concerns every head of this Blender session: renders, pauses, and the hand on the sliders."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import bpy


@dataclass
class LiveSession:
    """The state of the live loop.

    Attributes
    ----------
    rendering
        Whether a render reads the images: meanwhile nobody writes any, or asks for maps to write.
    pauses
        How many callers want no live maps, as while a bake moves through the frames.
    polled_by_hand
        Whether somebody calls :func:`.live_updates.poll` where Blender's timers do not run.
    last_change
        When anything changed last, in seconds of `time.monotonic`.
    """

    rendering: bool = False
    pauses: int = 0
    polled_by_hand: bool = False
    last_change: float = 0.0

    def is_live(self) -> bool:
        """Whether heads follow the sliders now; without a window, renders ask for exact maps themselves."""
        polled = self.polled_by_hand or not bpy.app.background
        return polled and not self.rendering and not self.pauses

    def rested(self) -> float:
        """Seconds since the last change."""
        return time.monotonic() - self.last_change

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """No live requests inside."""
        self.pauses += 1
        try:
            yield
        finally:
            self.pauses -= 1

    @contextlib.contextmanager
    def by_hand(self) -> Iterator[None]:
        """Without a window: heads follow inside, and the caller runs poll() as the timer would."""
        before, self.polled_by_hand = self.polled_by_hand, True
        try:
            yield
        finally:
            self.polled_by_hand = before


session = LiveSession()
