"""What `furrow bench` measures inside Blender: the add-on's start, and writing an Action."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import bpy
import numpy as np

from ..backend.expressions import EXPRESSIONS
from ..backend.files import write_whole
from ..backend.weights import Weights
from . import animation, head_object

RUNS = 3
TEN_MINUTES = 600 * 30
"""Frames."""


def main(path: str, start_s: float) -> int:
    """Measure, and write [[name, value, unit], ...] as JSON; `start_s` is what loading took."""
    obj = head_object.create_head(head_object.head().average())
    values = np.random.default_rng(0).random((TEN_MINUTES, len(EXPRESSIONS)), np.float32)
    seconds = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        action = animation.write_action(obj, Weights(values, 30.0), bpy.context.scene)
        seconds.append(time.perf_counter() - begin)
        obj.data.shape_keys.animation_data_clear()
        bpy.data.actions.remove(action)
    measured = [
        ("addon_start_ms", 1000 * start_s, "ms"),
        ("keys_10min_s", statistics.median(seconds), "s"),
    ]
    write_whole(Path(path), json.dumps(measured).encode())
    return 0
