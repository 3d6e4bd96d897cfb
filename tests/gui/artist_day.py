"""An artist's first day with Furrow, in a real Blender window: `make test-gui`.

Installs the zip offline, adds a head from the menu, drags sliders, imports a WAV, scrubs, undoes,
all by mouse and keys, and looks at vertices and at the picture on the screen. Leaves its pictures in
out/gui. Ends with one line that counts what passed.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
from driver import ADDON, HEAD, ROOT, SCRIPT, SHARE, STATE, Fault, Window, inside, install

PICTURES = ROOT / "out" / "gui"
GUIDE = ROOT / "docs" / "pictures"
GUIDE_PICTURES = {
    "2-brows-up": "window",
    "3-older": "window-older",
    "4-file-browser": "window-files",
    "5-frame-45": "window-speech",
}
SPEECH = ROOT / "assets" / "demo" / "hello.wav"

FIRST_FILE = 37
"""Pixels from the top of the file browser's list to the middle of its first row."""

KEYS = f"{HEAD}.data.shape_keys.key_blocks"
ACTION = f"({HEAD}.data.shape_keys.animation_data and {HEAD}.data.shape_keys.animation_data.action)"
DEPTH = f"{HEAD}.furrow.furrow_depth"
ENERGY = f"sum(p * p for p in {HEAD}.furrow.live_texture.image.pixels[:][::4])"
"""Of the map that the head shows."""
LIVE = f"__import__('{ADDON}.detail.live_updates', fromlist=['x'])"
IN_STEP = f"{LIVE}.is_current({HEAD}) and not {LIVE}.head_state.of({HEAD}).image_map.exact"
"""Whether the map is the live one of the sliders."""
SAVE_MAP = f"""
import numpy
pixels = {HEAD}.furrow.live_texture.image.pixels
values = numpy.empty(len(pixels), numpy.float32)
pixels.foreach_get(values)
numpy.save("/share/map.npy", values[::4])
"""
VIEW = (
    "next(a for a in C.window_manager.windows[0].screen.areas if a.type == 'VIEW_3D').spaces.active"
)
VERTICES = (
    f"sum(abs(v.co.x) + 3 * abs(v.co.y) + 7 * abs(v.co.z) for v in {HEAD}.evaluated_get("
    "C.evaluated_depsgraph_get()).data.vertices)"
)
"""A number that changes when any vertex of the evaluated head moves."""


class Day:
    """The steps, in the order of a day. Each raises Fault, or leaves the next what it needs."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.ask = window.ask

    def picture(self, name: str) -> np.ndarray:
        """Take a picture and return the middle of the 3D view, (H, W, 3) in [0, 255]."""
        screen = self.window.shot(PICTURES / f"{name}.png")
        x, y, width, height = self.ask("regions('VIEW_3D', 'WINDOW')")
        sidebar = self.ask("regions('VIEW_3D', 'UI')")[2]
        return screen[y + 60 : y + height - 30, x + 60 : x + width - sidebar - 60].astype(float)

    def skin_has_colour(self) -> bool:
        """Whether the head is drawn with its materials; grey until their shaders are compiled."""
        middle = self.picture("2-shaded")[200:-200, 400:-200]
        return bool((middle[..., 0] - middle[..., 2]).mean() > 15)

    def settled_picture(self, name: str) -> np.ndarray:
        """Take a picture that stays the same for a second and a half."""
        last = self.picture(name)
        while True:
            time.sleep(1.5)
            now = self.picture(name)
            if (now == last).all():
                return now
            last = now

    def map_mm(self) -> np.ndarray:
        """The map that the head shows, (R * R,)."""
        self.window.run(SAVE_MAP)
        return np.load(SHARE / "map.npy")

    def hover(self) -> None:
        """Put the pointer over the 3D view, beside the head."""
        x, y, width, height = self.ask("regions('VIEW_3D', 'WINDOW')")
        self.window.move(x + width // 4, y + height * 4 // 5)

    def add_head_from_the_menu(self) -> None:
        """Delete the cube; Add > Mesh > Furrow Head, found by typing; look at it."""
        assert self.ask("'bl_ext.user_default.furrow' in C.preferences.addons")
        self.hover()
        self.window.key("x", "Return")
        self.window.wait(lambda: not self.ask("'Cube' in D.objects"), "the cube to go")
        self.window.key("shift+a")
        time.sleep(1)
        self.window.type("furrow")
        time.sleep(1)
        self.window.shot(PICTURES / "0-menu.png")
        self.window.key("Return")
        found = "any(getattr(o, 'furrow', None) and o.furrow.id for o in D.objects)"
        self.window.wait(lambda: self.ask(found), "the head", 30)
        self.ask("show_tab('Furrow')")
        self.window.key("KP_1", "KP_Decimal", *["KP_Add"] * 2)  # front, selected, closer
        self.window.settled()
        picture = self.picture("1-head")
        if picture.std() < 5:
            raise Fault("The view shows no head.")

    def drag_an_expression(self) -> None:
        """Drag browInnerUp: vertices and picture follow, and wrinkles come."""
        before, plain = self.picture("2-before"), self.ask(VERTICES)
        x, y = self.window.find('key_blocks["browInnerUp"].value')
        self.window.drag((x, y), (x + 150, y))  # past the end of the slider: to 1
        value = self.ask(f"{KEYS}['browInnerUp'].value")
        if value < 0.5:
            raise Fault(f"The drag left browInnerUp at {value}.")
        self.window.settled()
        after = self.picture("2-brows-up")
        if self.ask(VERTICES) == plain:
            raise Fault("No vertex moved.")
        changed = (np.abs(after - before).max(2) > 12).mean()
        if not 0.001 < changed < 0.5:
            raise Fault(f"{100 * changed:.2f} % of the picture changed.")

    def undo_the_drag(self) -> None:
        """Ctrl-Z takes slider, vertices and wrinkles back; Ctrl-Shift-Z brings them again."""
        self.hover()
        self.window.key("ctrl+z")
        if self.ask(f"{KEYS}['browInnerUp'].value") != 0:
            raise Fault("Undo left the slider where it was.")
        self.window.settled()
        self.window.key("ctrl+shift+z")
        if self.ask(f"{KEYS}['browInnerUp'].value") < 0.5:
            raise Fault("Redo did not bring the slider back.")
        self.window.settled()

    def see_it_live(self) -> None:
        """Hold an expression's slider: the live map is that of its value, and the exact one is near."""
        plain = self.map_mm()
        x, y = self.window.find('key_blocks["browOuterUpLeft"].value')
        held: list[np.ndarray] = []
        with self.window.holding(x, y) as to:
            self.ask(f"setattr({LIVE}, 'REST_SECONDS', 3600)")  # no exact map on the way
            for place in (30, 65):
                for there in range(place - 16, place, 4):
                    to(x + there, y)
                    time.sleep(0.05)
                self.window.wait(lambda: self.ask(IN_STEP), "the live map", 10)
                self.picture(f"2-held-{len(held)}")
                held.append(self.map_mm())
            said = self.ask(STATE)
        self.ask(f"setattr({LIVE}, 'REST_SECONDS', 0.15)")
        if said != "Updating ...":
            raise Fault(f"With the button held the panel says {said}.")
        self.window.settled()
        exact = self.map_mm()
        ways = [float((other - exact).std()) for other in (plain, *held)]
        if not (ways[0] > 1.2 * ways[1] and ways[1] > 2 * ways[2]):
            raise Fault(f"From the exact map the maps of before and of the drag are {ways} mm RMS.")
        self.hover()
        self.window.key("ctrl+z")
        self.window.settled()

    def see_it_shaded(self) -> None:
        """Material Preview with the Shaded viewport: folds are seen though no vertex is displaced."""
        self.ask("setattr(C.scene.eevee, 'taa_samples', 1)")  # the processor draws
        self.ask(f"setattr({HEAD}.furrow, 'detail_viewport', 'SHADED')")
        self.ask(f"setattr({VIEW}.shading, 'type', 'MATERIAL')")
        self.window.wait(self.skin_has_colour, "the shaders", 90)
        folds = self.settled_picture("2-shaded")
        self.ask(f"setattr({HEAD}.furrow, 'detail_strength', 0)")
        smooth = self.settled_picture("2-shaded-smooth")
        for name, value in (("detail_strength", 1), ("detail_viewport", "DISPLACED")):
            self.ask(f"setattr({HEAD}.furrow, {name!r}, {value!r})")
        self.ask(f"setattr({VIEW}.shading, 'type', 'SOLID')")
        changed = (np.abs(folds - smooth).max(2) > 6).mean()
        if not 0.002 < changed < 0.3:
            raise Fault(f"Folds change {100 * changed:.2f} % of the shaded picture.")
        self.window.settled()

    def become_older(self) -> None:
        """Drag the Age slider: another neutral, other wrinkles; undo it."""
        before = self.ask(VERTICES)
        x, y = self.window.find("directions[0].value")
        self.window.drag((x, y), (x + 70, y))
        self.window.settled()
        self.picture("3-older")
        if self.ask(VERTICES) == before:
            raise Fault("No vertex moved.")
        self.hover()
        self.window.key("ctrl+z")
        self.window.settled()
        if abs(self.ask(VERTICES) - before) > 1e-3:
            raise Fault("Undo left the face older.")

    def deepen_the_furrows(self) -> None:
        """Drag Furrow Depth in the Detail panel: the folds deepen; undo it."""
        before, plain = self.ask(ENERGY), self.ask(DEPTH)
        x, y = self.window.find("furrow.furrow_depth")
        self.window.drag((x, y), (x + 150, y))  # past the end of the slider: to 1
        if self.ask(DEPTH) <= plain:
            raise Fault(f"The drag left Furrow Depth at {self.ask(DEPTH)}.")
        self.window.settled()
        self.picture("3-deeper")
        if self.ask(ENERGY) < 1.2 * before:
            raise Fault(f"The map's energy went from {before:.0f} to {self.ask(ENERGY):.0f} mm².")
        self.hover()
        self.window.key("ctrl+z")
        self.window.settled()
        if self.ask(DEPTH) != plain:
            raise Fault("Undo left the furrows deeper.")

    def import_speech(self) -> None:
        """Import a WAV through the file browser: an Action, a sound strip, a timeline that fits."""
        x, y = self.window.find("bpy.ops.furrow.speech_import", copy="ctrl+c")
        self.window.click(x, y)
        self.window.wait(
            lambda: self.ask(
                "any(a.type == 'FILE_BROWSER' for a in C.window_manager.windows[0].screen.areas)"
            ),
            "the file browser",
        )
        time.sleep(1)
        self.window.shot(PICTURES / "4-file-browser.png")
        x, y, *_ = self.ask("regions('FILE_BROWSER', 'WINDOW')")
        self.window.click(x + 60, y + FIRST_FILE)
        name = (
            "next(a for a in C.window_manager.windows[0].screen.areas if a.type == 'FILE_BROWSER')"
        )
        if self.ask(f"{name}.spaces.active.params.filename") != SPEECH.name:
            raise Fault("The click did not choose the recording.")
        self.window.key("Return")
        self.window.wait(lambda: self.ask(f"bool({ACTION})"), "the Action", 120)
        if self.ask(f"len({ACTION}.fcurves)") < 52:
            raise Fault("There are fewer than 52 curves.")

    def scrub(self) -> None:
        """Drag along the timeline: the mouth moves, and the wrinkles follow."""
        x, y, width, _ = self.ask("regions('DOPESHEET_EDITOR', 'WINDOW')")
        seen = []
        for part in (0.1, 0.2, 0.3):
            self.window.drag((x + width // 20, y + 10), (x + int(part * width), y + 10), steps=12)
            self.window.settled()
            seen.append(self.ask(f"({KEYS}['jawOpen'].value, C.scene.frame_current)"))
            self.picture(f"5-frame-{seen[-1][1]}")
        if len({frame for _, frame in seen}) < 3:
            raise Fault(f"Scrubbing went to the frames {seen}.")
        if len({round(jaw, 3) for jaw, _ in seen}) < 2:
            raise Fault(f"The jaw did not move: {seen}.")

    def save(self) -> None:
        """Save the shot: nothing is asked, nothing is lost."""
        self.ask("bpy.ops.wm.save_as_mainfile(filepath='/share/shot.blend')")

    def undo_the_speech(self) -> None:
        """Ctrl-Z until the Action is gone: the head stays, the window lives."""
        self.hover()
        for _ in range(12):
            if not self.ask(f"bool({ACTION})"):
                return
            self.window.key("ctrl+z")
        raise Fault("Undo does not take the speech back.")


STEPS: tuple[Callable[[Day], None], ...] = (
    Day.add_head_from_the_menu,
    Day.drag_an_expression,
    Day.undo_the_drag,
    Day.see_it_live,
    Day.see_it_shaded,
    Day.become_older,
    Day.deepen_the_furrows,
    Day.import_speech,
    Day.scrub,
    Day.save,
    Day.undo_the_speech,
)


def bake_without_window() -> None:
    """On the farm: blender -b shot.blend --command furrow bake."""
    shutil.rmtree(SHARE / "bake", ignore_errors=True)
    options = ("-o", "/share/bake", "--frames", "40-42", "--resolution", "256")
    said = inside("blender", "-b", "/share/shot.blend", "--command", "furrow", "bake", *options)
    maps = sorted(path.name for path in (SHARE / "bake" / "detail").glob("*.exr"))
    if maps != ["0040.exr", "0041.exr", "0042.exr"]:
        raise Fault(f"The bake left {maps}:\n{said}")


def keep_for_guide() -> None:
    """Put the chosen pictures into docs/pictures, with a palette: a third of the size."""
    from PIL import Image

    for name, kept in GUIDE_PICTURES.items():
        picture = (
            Image.open(PICTURES / f"{name}.png")
            .convert("RGB")
            .quantize(192, dither=Image.Dither.NONE)
        )
        picture.save(GUIDE / f"{kept}.png", optimize=True)


def tried(what: str | None, step: Callable[[], None]) -> bool:
    """Run a step and say how it went."""
    try:
        step()
    except Exception:
        traceback.print_exc()
        return False
    print(f"ok  {what}", flush=True)
    return True


def main() -> int:
    """Run the day; 0 if every step passed, or if this machine cannot show a window."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zip", type=Path, help="the extension (default: the newest in dist)")
    parser.add_argument("--guide", action="store_true", help="renew the guide's pictures")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the window is closed on the way out
    possible = subprocess.run([SCRIPT, "possible"], capture_output=True, text=True)
    if possible.returncode:
        print(f"The artist's day needs a real window; this machine {possible.stdout.strip()}.")
        return 0
    begin = time.monotonic()
    subprocess.run([SCRIPT, "setup"], check=True)
    shutil.rmtree(PICTURES, ignore_errors=True)
    install(arguments.zip)
    shutil.copy2(SPEECH, SHARE / "home")
    passed = 0
    with Window() as window:
        day = Day(window)
        for step in STEPS:
            if not tried(step.__doc__, functools.partial(step, day)):
                window.shot(PICTURES / "fault.png")
                break
            passed += 1
    passed += passed == len(STEPS) and tried(bake_without_window.__doc__, bake_without_window)
    count = len(STEPS) + 1
    if arguments.guide and passed == count:
        keep_for_guide()
    print(f"{count} steps in {time.monotonic() - begin:.0f} s; pictures in {PICTURES}")
    failed = count - passed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
