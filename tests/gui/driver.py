"""A real Blender window on a virtual screen, with a mouse, keys, and eyes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCRIPT = HERE / "real_blender.sh"
GUI = Path(os.environ.get("FURROW_GUI", ROOT / ".cache" / "gui"))
SHARE = GUI / "share"
FRAMEBUFFER = SHARE / "Xvfb_screen0"

HEAD = "next(o for o in D.objects if getattr(o, 'furrow', None) and o.furrow.id)"
"""The head of the scene, in questions to Blender."""

ADDON = "bl_ext.user_default.furrow.addon"

STATE = f"__import__('{ADDON}.detail.live_mode', fromlist=['x']).state_text({HEAD})"
"""What the panel says about the map."""

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


def install(zip_path: Path | None = None) -> None:
    """Install the extension (default: the newest in dist) as a new user does, without a network."""
    built = [zip_path] if zip_path else list((ROOT / "dist").glob("*.zip"))
    if not built:
        raise Fault("There is no extension in dist: run make extension first.")
    for name in ("user", "home"):
        shutil.rmtree(SHARE / name, ignore_errors=True)
        (SHARE / name).mkdir(parents=True)
    shutil.copy2(max(built, key=lambda path: path.stat().st_mtime), SHARE / "furrow.zip")
    command = ("extension", "install-file", "-r", "user_default", "--enable", "/share/furrow.zip")
    inside("blender", "--command", *command)


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
            self._question("bpy.ops.wm.quit_blender()", False)
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)

    def hurry(self) -> None:
        """Have the machine's other work wait for the window, as it does for that of a desktop."""
        Path(f"/proc/{self._process.pid}/autogroup").write_text("-10")

    def ask(self, expression: str, timeout: float = 60) -> Any:
        """Evaluate a Python expression in the running Blender and return its value."""
        return self._answer(expression, False, timeout)

    def run(self, statements: str, timeout: float = 60) -> Any:
        """Execute Python statements in the running Blender and return what they leave in `answer`."""
        return self._answer(statements, True, timeout)

    def _answer(self, text: str, statements: bool, timeout: float) -> Any:
        self._question(text, statements)
        answer = SHARE / "answer.json"
        end = time.monotonic() + timeout
        while not answer.exists():
            if self._process.poll() is not None:
                log = (SHARE / "blender.log").read_text(errors="replace")
                raise Fault(f"Blender ended:\n{log[-4000:]}")
            if time.monotonic() > end:
                raise Fault(f"The window was frozen for {timeout:g} s at: {text}")
            time.sleep(0.02)
        reply = json.loads(answer.read_text())
        answer.unlink()
        if "error" in reply:
            raise Fault(f"{text}: {reply['error']}")
        return reply["value"]

    def _question(self, text: str, statements: bool) -> None:
        partial = SHARE / "question.partial"
        partial.write_text(json.dumps({"text": text, "statements": statements}))
        partial.replace(SHARE / "question.json")

    def wait(self, done: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """Wait until `done()` gives something true, and return it."""
        end = time.monotonic() + seconds
        while not (value := done()):
            if time.monotonic() > end:
                raise Fault(f"Waited {seconds:g} s in vain for {what}.")
            time.sleep(0.2)
        return value

    def settled(self) -> None:
        """Wait until the detail on the screen is that of the sliders."""
        self.wait(lambda: self.ask(STATE) == "Up to date", "the map of the sliders", 90)
        time.sleep(0.5)

    def screen(self, left: int = 0, top: int = 0, width: int = -1, height: int = -1) -> np.ndarray:
        """Return what a part of the screen shows now, pointer included: (H, W, 3) uint8, top row first.

        Read from the memory of the virtual screen, an X window dump, in a few milliseconds.
        """
        header = np.fromfile(FRAMEBUFFER, ">u4", 25).astype(int)
        size, rows, columns, stride, colours = header[[0, 5, 4, 12, 19]]
        whole = np.memmap(FRAMEBUFFER, np.uint8, "r", size + 12 * colours, (rows, stride))
        bottom, right = (
            top + height if height >= 0 else rows,
            left + width if width >= 0 else columns,
        )
        part = whole[top:bottom, 4 * left : 4 * right]
        picture = part.copy()
        while (part != picture).any():  # it was just being drawn
            picture = part.copy()
        return picture.reshape(bottom - top, -1, 4)[..., 2::-1]

    def shot(self, path: Path) -> np.ndarray:
        """Write a picture of the screen (PNG) and return it as :meth:`screen` does."""
        picture = self.screen()
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
        return picture

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

    @contextlib.contextmanager
    def holding(self, x: int, y: int) -> Iterator[Callable[[int, int], None]]:
        """Hold the left button down from (x, y) on; yields a function that moves the pointer."""
        self.move(x, y)
        with subprocess.Popen(
            [SCRIPT, "run", "xdotool", "-"], stdin=subprocess.PIPE, text=True
        ) as xdotool:
            assert xdotool.stdin is not None
            commands = xdotool.stdin

            def say(command: str) -> None:
                print(command, file=commands, flush=True)

            say("mousedown 1")
            time.sleep(0.2)
            try:
                yield lambda x, y: say(f"mousemove {x} {y}")
            finally:
                say("mouseup 1")

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
