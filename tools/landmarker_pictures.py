"""Pictures of heads whose weights are known, to learn what the face landmarker makes of them.

A plain script for a Python with bpy: ``python tools/landmarker_pictures.py FOLDER``. Writes
``poses.npz`` with ``weights`` (people, poses, 52), the first of each person 0, and one PNG a pose,
``PERSON-POSE.png``; pictures that are there are kept.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import bpy
import furrow
import numpy as np
from furrow.addon.bake import stage
from furrow.addon.head import head_object
from furrow.backend.formats.expressions import EXPRESSIONS, INDEX
from furrow.backend.liveliness.performance import EMOTIONS, HABITS, Style
from furrow.training.speech import visemes

SIZE = (256, 294)
_SELDOM = [
    name for name in EXPRESSIONS if name.startswith(("jaw", "mouth", "cheek", "nose", "brow"))
]


def pose(rng: np.random.Generator) -> np.ndarray:
    """Return weights float32 (52,) of a mouth between two sounds, in a random style, and some others."""
    first, second = (visemes.pose(str(rng.choice(visemes.PHONES))) for _ in range(2))
    share = rng.uniform(0, 1)
    mouth = (share * first + (1 - share) * second) * rng.uniform(0.7, 1.15)
    kind = rng.random()
    met = np.array([[kind < 0.12, 0.12 <= kind < 0.2]], np.float32) * rng.choice([0.5, 1.0])
    style = Style(
        emotion=str(rng.choice(EMOTIONS)),
        intensity=float(rng.uniform(0, 1.2)),
        articulation=float(rng.uniform(0.5, 1.5)),
        speaker=tuple(float(x) for x in np.clip(rng.normal(0, 0.45, len(HABITS)), -1, 1)),
    )
    weights = visemes.styled(mouth[None], np.array([rng.uniform(0.3, 1)]), met, 0.012, style)[0]
    if not met.any():  # lips that met must stay so
        for name in rng.choice(_SELDOM, 2):
            weights[INDEX[name]] += rng.uniform(0, 0.4) * (rng.random() < 0.5)
    shut = rng.uniform(0, 1) * (rng.random() < 0.25)
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        weights[INDEX[name]] = shut
    return np.clip(weights, 0, 1).astype(np.float32)


def main(folder: Path, people: int, poses: int, seed: int) -> None:
    """Render what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    weights = np.stack([[pose(rng) for _ in range(poses)] for _ in range(people)])
    weights[:, 0] = 0
    yaw = rng.uniform(-25, 25, (people, 1)) + rng.uniform(-5, 5, (people, poses))
    np.savez(folder / "poses.npz", weights=weights)
    furrow.register()
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    assert scene is not None
    obj = head_object.create_head()
    obj.furrow.detail_viewport_levels = obj.furrow.detail_render_levels = 0
    for person in range(people):
        head_object.apply_identity(obj, head_object.head().random(1000 * seed + person))
        for number in range(poses):
            path = folder / f"{person:02d}-{number:02d}.png"
            if path.is_file():
                continue
            row = weights[person, number]
            head_object.set_expression(obj, dict(zip(EXPRESSIONS, row.tolist(), strict=True)))
            stage.build(scene, obj, yaw=float(yaw[person, number]), margin=1.15)
            stage.render_settings(scene, 1)
            scene.cycles.max_bounces = scene.cycles.diffuse_bounces = (
                scene.cycles.glossy_bounces
            ) = 1
            scene.render.resolution_x, scene.render.resolution_y = SIZE
            scene.render.threads_mode, scene.render.threads = "FIXED", 1
            scene.render.filepath = str(folder / "partial.png")
            bpy.ops.render.render(write_still=True)
            (folder / "partial.png").replace(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--people", type=int, default=14)
    parser.add_argument("--poses", type=int, default=18)
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
    sys.stdout.flush()
    os._exit(0)  # bpy never exits while Furrow is registered
