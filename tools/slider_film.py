"""Records a slider that is dragged in a real Blender window: docs/pictures/slider-drag.{mp4,jpg}.

    make extension; python tools/slider_film.py

The extension is installed in the Blender of `make test-gui`, on a virtual screen. A mouse drags an
expression and the age of an old man, and the screen is read while it does. The film plays at the
speed of the drag; every picture bears the second at which it was on the screen.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import av
import numpy as np
from furrow.backend.formats.files import write_whole
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from shots import LARGEST, PICTURES, ROOT, save

sys.path.insert(0, str(ROOT / "tests" / "gui"))
import driver  # the window, its mouse and its screen

SIZE = (960, 720)
"""Pixels of Blender's window."""
FPS = 20
SHEET = (3, 4)
"""Columns and rows."""
STRIP = 24
"""Pixels under each picture, for words."""

STAGE = f"""
from {driver.ADDON}.head import head_object
from {driver.ADDON.removesuffix("addon")}backend.formats.identity import read_identity

bpy.ops.object.select_all(action="SELECT")
bpy.ops.object.delete()
bpy.ops.mesh.furrow_head_add()
head = C.object
head_object.apply_identity(head, head_object.head().read_identity("/share/old.json"))
head.furrow.detail_resolution = "1024"
C.preferences.system.viewport_aa = "OFF"  # half the time, where the processor draws
window = C.window_manager.windows[0]
area = next(a for a in window.screen.areas if a.type == "VIEW_3D")
with C.temp_override(window=window, area=area):
    bpy.ops.screen.screen_full_area(use_hide_panels=True)
"""
VIEW = """
from math import radians
from mathutils import Euler, Vector

area = next(a for a in C.window_manager.windows[0].screen.areas if a.type == "VIEW_3D")
space = area.spaces.active
space.show_region_toolbar = space.show_region_header = space.show_region_tool_header = False
space.show_region_hud = space.show_gizmo = space.overlay.show_overlays = False
space.show_region_ui = True
shading = space.shading
shading.light, shading.studio_light = "MATCAP", "basic_side.exr"
shading.color_type, shading.single_color = "SINGLE", (0.8, 0.68, 0.6)
view = space.region_3d
view.view_perspective, space.lens = "PERSP", 85
view.view_rotation = Euler((radians(90), 0, radians(20))).to_quaternion()
view.view_location, view.view_distance = Vector((0.035, -0.1, 0.195)), 0.23
"""


@dataclass(frozen=True, eq=False)
class Capture:
    """What the window showed, (H, W, 3) uint8, and the second when it was first seen."""

    at: float
    picture: np.ndarray


class Recorder:
    """Keeps every new picture of a part of the screen while the pointer moves."""

    def __init__(self, window: driver.Window, part: list[int]) -> None:
        self._window, self._part = window, part
        self._begin = time.monotonic()
        self.pictures: list[Capture] = []

    def look(self) -> None:
        """Keep the picture of this moment, if it is a new one."""
        at = time.monotonic() - self._begin
        picture = self._window.screen(*self._part)
        if not self.pictures or (picture != self.pictures[-1].picture).any():
            self.pictures.append(Capture(at, picture))

    def rest(self, seconds: float) -> None:
        """Go on while nothing moves."""
        self.move(seconds, lambda _part: None)

    def move(self, seconds: float, step: Callable[[float], None]) -> None:
        """Call `step` with the part of the way, in [0, 1], that the hand has gone at each moment."""
        begin = time.monotonic()
        part = 0.0
        while part < 1:
            part = min(1.0, (time.monotonic() - begin) / seconds)
            step((1 - math.cos(math.pi * part)) / 2)
            self.look()
            time.sleep(1 / FPS)

    def drag(self, start: tuple[int, int], stops: list[tuple[float, int, float]]) -> None:
        """Drag from `start`. A stop is (seconds to it, pixels right of `start`, seconds there)."""
        x, y = start
        with self._window.holding(x, y) as to:
            here = 0
            for seconds, there, pause in stops:

                def step(part: float, a: int = here, b: int = there) -> None:
                    to(round(x + a + (b - a) * part), y)

                self.move(seconds, step)
                self.rest(pause)
                here = there
        self.rest(0.7)


def record() -> list[Capture]:
    """Drag Brow Inner Up, then Age, and return what was seen."""
    shutil.copy2(ROOT / "assets" / "identities" / "old.json", driver.SHARE)
    with driver.Window("--window-geometry", "0", "0", *map(str, SIZE)) as window:
        window.hurry()
        window.run(STAGE)
        time.sleep(1)
        window.run(VIEW)
        window.wait(lambda: window.ask("show_tab('Furrow')"), "the sidebar")
        window.settled()
        x, brow = window.find('key_blocks["browInnerUp"].value')
        _, age = window.find("directions[0].value")
        window.move(x, brow)
        recorder = Recorder(window, window.ask("regions('VIEW_3D', 'WINDOW')"))
        recorder.rest(0.6)
        recorder.drag((x - 50, brow), [(3.5, 120, 0.5), (2.5, 15, 0.3), (2.0, 120, 0.2)])
        recorder.drag((x, age), [(2.5, -100, 0.4), (3.0, 40, 0.3)])
        return recorder.pictures


def at(pictures: list[Capture], second: float) -> Capture:
    """What was on the screen at a second."""
    return [s for s in pictures if s.at <= second or s is pictures[0]][-1]


def stamped(capture: Capture) -> Image.Image:
    """A picture with its second and the machine's description under it."""
    height, width, _ = capture.picture.shape
    page = Image.new("RGB", (width & ~1, (height + STRIP) & ~1), (24, 24, 24))
    page.paste(Image.fromarray(capture.picture), (0, 0))
    letters = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 15)
    pen = ImageDraw.Draw(page)
    pen.text((8, height + 3), f"{capture.at:5.2f} s", (255, 214, 120), letters)
    words = (
        f"real time; {os.cpu_count()} processor cores draw, compute and record; no graphics card"
    )
    pen.text((90, height + 3), words, (200, 200, 200), letters)
    return page


def film(pictures: list[Capture]) -> bytes:
    """Encode as H.264; what is no new picture shows the last one."""
    pages = [np.asarray(stamped(picture)) for picture in pictures]
    ends = [*(picture.at for picture in pictures[1:]), pictures[-1].at + 0.5]
    for crf in range(20, 52, 3):
        file = io.BytesIO()
        with av.open(file, "w", "mp4") as container:
            stream = container.add_stream(
                "libx264", FPS, options={"crf": str(crf), "preset": "slow"}
            )
            stream.height, stream.width, _ = pages[0].shape
            stream.pix_fmt, stream.gop_size = "yuv420p", 10 * FPS  # else a quarter are key frames
            frame = 0
            for page, end in zip(pages, ends, strict=True):
                for _ in range(max(0, math.ceil(end * FPS) - frame)):
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(page, "rgb24")))
                    frame += 1
            container.mux(stream.encode())
        if file.tell() <= LARGEST:
            break
    print(f"{frame} frames, CRF {crf}: {file.tell() // 1000} KB")
    return file.getvalue()


def sheet(pictures: list[Capture]) -> Image.Image:
    """Pictures at equal steps of time, in rows."""
    columns, rows = SHEET
    end = pictures[-1].at
    moments = [at(pictures, end * k / (columns * rows - 1)) for k in range(columns * rows)]
    small = [stamped(s).resize((480, 372), Image.Resampling.LANCZOS) for s in moments]
    page = Image.new("RGB", (columns * 483 - 3, rows * 375 - 3), (24, 24, 24))
    for k, picture in enumerate(small):
        page.paste(picture, (k % columns * 483, k // columns * 375))
    return page


def main() -> int:
    """Record, and write the film and the sheet."""
    try:
        subprocess.run([driver.SCRIPT, "setup"], check=True)
        driver.install()
        pictures = record()
        print(f"{len(pictures)} new pictures in {pictures[-1].at:.1f} s")
        write_whole(PICTURES / "slider-drag.mp4", film(pictures))
        save(sheet(pictures), PICTURES / "slider-drag.jpg")
    except driver.Fault as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
