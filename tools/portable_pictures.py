"""Draws docs/pictures/portable.jpg, a live head beside the portable one, and times a frame of both.

    python tools/portable_pictures.py
    python tools/portable_pictures.py --output /tmp/look --samples 8

Person and expressions are fixed: the random person 11, the spoken frame whose jaw opens widest, a pose,
and a mixture of a third of all shapes at once, the first that a basis is judged by.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bpy
import furrow
import numpy as np
from furrow.addon.bake import stage
from furrow.addon.detail import detail_modes, live_mode, portable_mode
from furrow.addon.head import head_object
from furrow.backend.detail import wrinkle_basis, wrinkle_samples
from furrow.backend.detail.detail_model import DetailModel
from furrow.backend.detail.engines import engines
from furrow.backend.formats.expressions import EXPRESSIONS, FACESCAPE_PRESETS, INDEX, vector
from furrow.backend.formats.files import ASSETS
from furrow.backend.speech.speech_model import SpeechModel
from PIL import Image, ImageChops
from shots import PICTURES, save, sheet

PERSON = 11
RESOLUTION = 1024
SIZE = (400, 460)
LEVELS = 3

DIFFERENCE = 8
"""By which the difference of two pictures is multiplied."""

TIMED = 40
"""Frames."""


def expressions() -> dict[str, np.ndarray]:
    """What is shown, by title."""
    spoken = SpeechModel.load().weights(ASSETS / "demo" / "hello.wav", 30.0).values
    widest = spoken[:, INDEX["jawOpen"]].argmax()
    return {
        "speech": spoken[widest].astype(np.float32),
        "pose": vector(FACESCAPE_PRESETS["smile"] | {"browInnerUp": 0.8, "browOuterUpLeft": 0.8}),
        "strong mixture": wrinkle_samples.held_out(1)["strong"][0],
    }


def pictures(
    head: bpy.types.Object, model: DetailModel, samples: int, folder: Path
) -> list[list[Image.Image]]:
    """A row for each expression: live, portable, what differs."""
    scene = bpy.context.scene
    assert scene is not None
    stage.build(scene, head, margin=0.95)
    stage.render_settings(scene, samples)
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    head.furrow.detail_render_levels = LEVELS
    identity = head_object.identity_of(head)
    rows = []
    for title, weights in expressions().items():
        set_weights(head, weights)
        head.furrow.detail_mode = "PORTABLE"
        portable = render(folder / f"{title} portable.png")
        detail_modes.switch(head, "LIVE")
        live_mode.show_map(head, model.map(identity, weights, RESOLUTION))
        live = render(folder / f"{title} live.png")
        off = ImageChops.difference(live, portable).point(lambda v: min(255, DIFFERENCE * v))
        rows.append([live, portable, off])
    return rows


def render(path: Path) -> Image.Image:
    """The scene in grey."""
    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    return Image.open(path).convert("L")


def set_weights(head: bpy.types.Object, weights: np.ndarray) -> None:
    head_object.set_expression(head, dict(zip(EXPRESSIONS, weights.tolist(), strict=True)))


def frame_times(head: bpy.types.Object, level: int) -> tuple[int, float, float]:
    """Vertices, and median milliseconds of an evaluated frame: portable, and without any detail."""
    head.furrow.detail_mode, head.furrow.detail_viewport_levels = "PORTABLE", level
    blocks = head.data.shape_keys.key_blocks

    def median_ms() -> float:
        times_ms = []
        for frame in range(TIMED):
            blocks["jawOpen"].value = 0.5 + 0.5 * np.sin(0.7 * frame)
            begin = time.perf_counter()
            evaluated(head)
            times_ms.append(1000 * (time.perf_counter() - begin))
        return statistics.median(times_ms[5:])

    head.furrow.detail_enabled = True
    portable = median_ms()
    head.furrow.detail_enabled = False
    plain = median_ms()
    head.furrow.detail_enabled = True
    return len(evaluated(head).vertices), portable, plain


def evaluated(head: bpy.types.Object) -> bpy.types.Mesh:
    """The head's mesh as the viewport shows it now."""
    mesh = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    assert isinstance(mesh, bpy.types.Mesh)
    return mesh


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=PICTURES)
    parser.add_argument("--samples", type=int, default=48)
    args = parser.parse_args(arguments)
    model = DetailModel(engines.load("ort"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    person = head_object.head().random(PERSON)
    head = head_object.create_head(person, "Head", bpy.context.scene.collection)
    detail_modes.attach(head)
    basis = wrinkle_basis.fit(wrinkle_basis.Source(model, person), RESOLUTION)
    detail_modes.make_portable(head, {"array": basis.maps, **basis.message()})
    print(portable_mode.state_text(head))
    for level in (1, 2):
        print(
            "{} vertices: {:.0f} ms a frame, {:.0f} ms without detail".format(
                *frame_times(head, level)
            )
        )
    with tempfile.TemporaryDirectory() as folder:
        rows = pictures(head, model, args.samples, Path(folder))
    titles = ("live: the exact map", "portable: 16 components", f"difference, times {DIFFERENCE}")
    caption = ", ".join(expressions()) + "; true displacement in Cycles"
    save(sheet(rows, titles, caption), args.output / "portable.jpg")
    return 0


def registered(function: Callable[[], int]) -> int:
    """Run with the add-on registered; bpy 4.5 never exits while it is."""
    furrow.register()
    try:
        return function()
    finally:
        furrow.unregister()


if __name__ == "__main__":
    sys.exit(registered(main))
