"""A real Blender window on a virtual screen, with a mouse, keys, and eyes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCRIPT = HERE / "real_blender.sh"
GUI = Path(os.environ.get("FURROW_GUI", ROOT / ".cache" / "gui"))
SHARE = GUI / "share"

ROW = 21
"""Pixels from one row of a panel to the next."""


class Fault(AssertionError):
    """The window did not do what the artist expects."""


def inside(*command: str, timeout: float = 120) -> str:
    """Run a command in the chroot and return what it prints."""
    done = subprocess.run(
        [SCRIPT, "run", *command], capture_output=True, text=True, timeout=timeout
    )
    if done.returncode:
        raise Fault(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


class Window:
    """Blender with its window; a context manager.

    Positions are pixels from the screen's upper left corner.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments

    def __enter__(self) -> Window:
        for name in ("question.json", "answer.json"):
            (SHARE / name).unlink(missing_ok=True)
        (SHARE / "inside.py").write_text((HERE / "inside.py").read_text())
        self._process = subprocess.Popen(
            [SCRIPT, "window", *self._arguments, "--python", "/share/inside.py"],
            start_new_session=True,  # so that all of it can be ended
        )
        self.wait(lambda: self.ask("show_tab('Item')"), "the window", 120)
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            self._question("bpy.ops.wm.quit_blender()")
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)

    def ask(self, expression: str, timeout: float = 60) -> Any:
        """Evaluate a Python expression in the running Blender and return its value."""
        self._question(expression)
        answer = SHARE / "answer.json"
        end = time.monotonic() + timeout
        while not answer.exists():
            if self._process.poll() is not None:
                log = (SHARE / "blender.log").read_text(errors="replace")
                raise Fault(f"Blender ended:\n{log[-4000:]}")
            if time.monotonic() > end:
                raise Fault(f"The window was frozen for {timeout:g} s at: {expression}")
            time.sleep(0.02)
        reply = json.loads(answer.read_text())
        answer.unlink()
        if "error" in reply:
            raise Fault(f"{expression}: {reply['error']}")
        return reply["value"]

    def _question(self, expression: str) -> None:
        partial = SHARE / "question.partial"
        partial.write_text(json.dumps(expression))
        partial.replace(SHARE / "question.json")

    def wait(self, done: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """Wait until `done()` gives something true, and return it."""
        end = time.monotonic() + seconds
        while not (value := done()):
            if time.monotonic() > end:
                raise Fault(f"Waited {seconds:g} s in vain for {what}.")
            time.sleep(0.2)
        return value

    def shot(self, path: Path) -> Path:
        """Take a picture of the screen (PNG)."""
        inside("scrot", "--overwrite", "/share/shot.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((SHARE / "shot.png").read_bytes())
        return path

    def mouse(self, *script: str) -> None:
        """Run xdotool with a list of its commands."""
        inside("xdotool", *" ".join(script).split())
        time.sleep(0.3)

    def move(self, x: int, y: int) -> None:
        """Move the pointer, in two steps: Blender notices what is under a pointer that moves."""
        self.mouse(f"mousemove {x - 3} {y - 2} sleep 0.1 mousemove {x} {y} sleep 0.15")

    def click(self, x: int, y: int, times: int = 1) -> None:
        """Click with the left button."""
        self.move(x, y)
        self.mouse(*["mousedown 1 sleep 0.08 mouseup 1 sleep 0.12"] * times)

    def drag(self, start: tuple[int, int], end: tuple[int, int], steps: int = 30) -> None:
        """Drag with the left button."""
        self.move(*start)
        path = []
        for step in range(1, steps + 1):
            x, y = (round(a + (b - a) * step / steps) for a, b in zip(start, end, strict=True))
            path.append(f"mousemove {x} {y} sleep 0.03")
        self.mouse("mousedown 1 sleep 0.15", *path, "sleep 0.15 mouseup 1")

    def key(self, *keys: str) -> None:
        """Press keys (xdotool's names) one after the other."""
        self.mouse(*(f"key {key} sleep 0.15" for key in keys))

    def type(self, text: str) -> None:
        """Type text."""
        inside("xdotool", "type", "--delay", "60", "--", text)
        time.sleep(0.3)

    def find(self, needle: str, copy: str = "ctrl+shift+c") -> tuple[int, int]:
        """Return where the sidebar shows a property, or a button of an operator (copy="ctrl+c").

        Blender's own shortcut copies the data path, or the command, of what is under the pointer: so
        the panels are read from top to bottom, and scrolled until the needle is there, or the end.
        """
        x, top, width, height = self.ask("regions('VIEW_3D', 'UI')")
        column = x + width * 3 // 5
        self.move(column, top + height // 2)
        self.mouse("click --repeat 60 --delay 5 4")  # to the top
        pages: list[list[str]] = []
        while pages[-1:] != pages[-2:-1] or not pages:
            pages.append([])
            for y in range(top + 30, top + height - 5, ROW // 2):
                self.ask("setattr(C.window_manager, 'clipboard', '')")
                inside(
                    "xdotool", *f"mousemove {column} {y} sleep 0.06 key {copy} sleep 0.04".split()
                )
                pages[-1].append(self.ask("C.window_manager.clipboard"))
                if needle in pages[-1][-1]:
                    return column, y + ROW // 4
            self.mouse("click --repeat 20 --delay 5 5")
        self.shot(ROOT / "out" / "gui" / "not-found.png")
        raise Fault(f"The sidebar does not show {needle}.")
