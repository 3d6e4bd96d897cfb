"""Where the furrows of forehead, glabella, eyes and nose lie. Face coordinates, millimetres."""

from __future__ import annotations

from typing import Any

import numpy as np

from .chart import Chart, smoothstep
from .furrows import Stroke
from .habit import Habit

FOREHEAD = ("forehead_depth", "forehead_spacing", "forehead_bow", "asymmetry")
GLABELLA = ("glabella_depth", "glabella_layout", "asymmetry")
CROWS = ("crows_feet_depth", "crows_feet_spread", "asymmetry")
UNDER_EYE = ("under_eye_depth", "thickness", "asymmetry")
NOSE = ("thickness", "glabella_layout", "asymmetry")

Marks = dict[str, np.ndarray]


def upper(chart: Chart, habit: Habit) -> list[Stroke]:
    """Return the furrows of the upper face."""
    strokes = _forehead(chart.marks, habit) + _glabella(chart.marks, habit)
    for side in (-1, 1):
        strokes += _crows_feet(chart.marks, habit, side)
        strokes += _upper_lid(chart.marks, habit, side)
        strokes += _under_eye(chart.marks, habit, side)
        strokes += _bunny(chart.marks, habit, side)
    return strokes


def wander(s: np.ndarray, waves: np.ndarray, slow_mm: float, fast_mm: float) -> np.ndarray:
    """Return a line's wobble in mm over arc length s: a slow one, and a fast one, phases by waves (4,)."""
    turn = np.pi * waves
    slow = np.sin(s / 11.0 + turn[0]) + 0.6 * np.sin(s / 6.1 + turn[1])
    fast = np.sin(s / 2.6 + turn[2]) + 0.7 * np.sin(s / 1.7 + turn[3])
    return slow_mm * slow + fast_mm * fast


def uneven(t: np.ndarray, waves: np.ndarray, amount: float) -> np.ndarray:
    """Return a strength of mean 1 along a line, t in [0, 1], that swells and ebbs; waves (2,)."""
    turn = np.pi * waves
    return 1.0 + amount * (0.6 * np.sin(9.0 * t + turn[0]) + 0.4 * np.sin(17.0 * t + turn[1]))


def _forehead(marks: Marks, habit: Habit) -> list[Stroke]:
    brow = (marks["brow_inner"][1] + marks["brow_mid"][1]) / 2
    top = marks["hairline"][1] - brow
    spacing = habit.scaled("forehead_spacing", 6.8, 9.8)
    depth = 0.7 * (0.75 + 0.45 * habit.age) * habit.scaled("forehead_depth", 0.5, 1.5)
    shift, tilt = habit.waves("forehead", FOREHEAD, 2)
    strokes: list[Stroke] = []
    for k in range(7):
        level, size, reach, middle, sway, order = habit.waves(f"forehead {k}", FOREHEAD, 6)
        height = 8.0 + spacing * (k + 0.5 * shift) + 2.1 * level
        # The window lets lines fade in and out at hairline and brow as the spacing changes.
        window = float(smoothstep(top + 2, top - 12, height) * smoothstep(1.0, 9.0, height))
        if window < 0.02:
            continue
        major = depth * window * (0.8 + 0.5 * size)
        half = 45.0 - 11.0 * (height / top) ** 2
        parts = habit.waves(f"forehead breaks {k}", FOREHEAD, 12).reshape(3, 4)
        # Three overlapping segments: a break at either side of the middle, wide or all but closed.
        gaps = np.array([-13.0, 13.0]) + 9.0 * np.array([middle + sway, middle - sway]) / 2
        left, right = half + 9.0 * reach, half + 9.0 * order
        ends = [(-right, gaps[0] + 4.5), (gaps[0] - 4.5, gaps[1] + 4.5), (gaps[1] - 4.5, left)]
        for j, (low, high) in enumerate(ends):
            s = np.linspace(low, high, 48)
            z = brow + height + _brow_bow(s, height, habit, tilt)
            offset = 0.95 * parts[j, 0] * (1.0 if j == 1 else 1.15)
            # Ends turn away from their neighbour, so that overlapping segments do not run as twins.
            curl = 0.9 * parts[j, 1] * ((s - s.mean()) / (0.5 * (high - low))) ** 3
            z = z + offset + curl + wander(s, habit.waves(f"f{k}{j}", FOREHEAD, 4), 0.5, 0.11)
            strength = (1.0 + 0.28 * parts[j, 2]) * uneven(np.linspace(0, 1, 48), parts[j, 2:], 0.3)
            strokes.append(
                Stroke(
                    "forehead",
                    np.stack([s, z], 1),
                    depth=major,
                    width=0.62 * (1 + 0.35 * habit.age) * habit.coarse,
                    reach=0.3 * spacing,
                    threshold=0.12 + 0.05 * order,
                    rest=0.42 * habit.permanence,
                    taper=(0.42, 0.3) if j == 0 else (0.3, 0.42) if j == 2 else (0.26, 0.26),
                    strength=strength,
                )
            )
        strokes += _forehead_minor(k, height, brow, major, spacing, tilt, habit)
    return strokes


def _brow_bow(s: np.ndarray, height: float, habit: Habit, tilt: float) -> np.ndarray:
    """Return how a forehead line departs from the horizontal: it follows the brows below, the skull above."""
    near = np.exp(-height / 26.0)
    bow = habit.scaled("forehead_bow", -1.0, 1.0)
    wings = 2.6 * near * (np.exp(-(((np.abs(s) - 27) / 15) ** 2)) - 0.4)
    dip = (0.6 + 1.9 * bow) * (1.0 - np.exp(-((s / 24.0) ** 2)))
    fall = -3.2 * (np.abs(s) / 46.0) ** 3
    return wings + dip + fall + tilt * (0.3 + 0.7 * habit["asymmetry"]) * s / 26.0


def _forehead_minor(
    k: int, height: float, brow: float, major: float, spacing: float, tilt: float, habit: Habit
) -> list[Stroke]:
    """Return short fine lines between two forehead lines."""
    strokes = []
    values = habit.waves(f"forehead minor {k}", FOREHEAD, 12).reshape(3, 4)
    for j, (where, level, size, length) in enumerate(values):
        centre = (-26.0, 0.0, 26.0)[j] + 10.0 * where
        s = np.linspace(-1, 1, 24) * (9.0 + 4.0 * length) + centre
        z = brow + height + spacing * (0.5 + 0.16 * level) + _brow_bow(s, height + 4, habit, tilt)
        z = z + wander(s, values.ravel()[j : j + 4], 0.4, 0.1)
        strokes.append(
            Stroke(
                "forehead",
                np.stack([s, z], 1),
                depth=major * (0.2 + 0.16 * size),
                width=0.45 * habit.coarse,
                reach=0.17 * spacing,
                threshold=0.3,
                rest=0.3 * habit.permanence,
                taper=(0.4, 0.4),
            )
        )
    return strokes


def _glabella(marks: Marks, habit: Habit) -> list[Stroke]:
    """Return the vertical lines between the brows, and the horizontal one at the root of the nose."""
    root = marks["nose_root"][1]
    brow = marks["brow_inner"][1]
    inner = max(float(marks["brow_inner"][0]), 8.0)
    depth = habit.scaled("glabella_depth", 0.75, 1.6) * (0.8 + 0.3 * habit.age)
    layout = habit["glabella_layout"]
    single, lean, spread, sink = habit.waves("glabella", GLABELLA, 4)
    pair = 4.4 + 3.0 * layout + 1.6 * spread
    # One middle line, two, or three: the weights change smoothly with the layout coefficient.
    plans = [
        ("middle", 1.8 * single, 0.0, float(smoothstep(0.45, 0.05, layout)) * 0.9),
        ("left", pair, 1.0, float(smoothstep(0.0, 0.35, layout))),
        ("right", -pair, 1.0, float(smoothstep(0.0, 0.35, layout))),
        ("outer left", pair + 5.8, 2.4, 0.14 + 0.3 * float(smoothstep(0.5, 1.0, layout))),
        ("outer right", -pair - 5.8, 2.4, 0.14 + 0.3 * float(smoothstep(0.5, 1.0, layout))),
    ]
    strokes = []
    for name, s0, slant, share in plans:
        side = 0 if name == "middle" else (1 if s0 > 0 else -1)
        up, down, size, turn, *rest = habit.sided(f"glabella {name[:5]}", GLABELLA, 8, side)
        outer = name.startswith("outer")
        low = (root + 4.0 if outer else root - 1.0) + 2.0 * down
        high = brow + (11.0 if outer else 14.5) + 7.5 * up + 2.0 * sink
        t = np.linspace(0, 1, 32)
        z = low + (high - low) * t
        # The 11s run along the brows' inner ends, then part: outwards by habit, never a straight comb.
        drift = side * slant * (0.5 + lean + 0.5 * turn) * t * 2.2
        bend = (side or 1) * (1.9 * turn * np.sin(np.pi * t) + 1.2 * np.exp(-t / 0.16) * -1)
        s = s0 + drift + bend + wander(z, np.array(rest), 0.28, 0.07)
        s = np.where(outer, s + side * (inner - 8.0) * 0.3, s)
        strokes.append(
            Stroke(
                "glabella",
                np.stack([s, z], 1),
                depth=depth * share * (0.85 + 0.5 * size),
                width=(0.45 if outer else 0.72) * habit.coarse,
                reach=(1.5 if outer else 2.5) * (0.9 + 0.2 * habit["thickness"]),
                threshold=0.14 if not outer else 0.28,
                rest=0.14 * habit.permanence,
                taper=(0.34, 0.5),
                strength=uneven(t, np.array(rest[:2]), 0.18),
            )
        )
    for side in (-1, 1):
        # Corrugator heaps the brows' inner ends up beside the lines: a broad fold, leaning outwards.
        z = np.linspace(root + 3.0, brow + 15.0, 24)
        s = np.full(24, side * (pair - 0.8)) + side * 1.5 * lean * np.linspace(0, 1, 24)
        strokes.append(
            Stroke(
                "glabella",
                np.stack([s, z], 1),
                depth=0.5 * depth,
                width=1.0,
                reach=4.4,
                threshold=0.12,
                rest=0.06 * habit.permanence,
                taper=(0.45, 0.5),
                # Going up, the left hand is the middle of the face on its left side.
                lean=-0.5 * side,
                trough=True,
            )
        )
    for k in range(3):
        level, size, slope, arch, *rest = habit.waves(f"procerus {k}", GLABELLA, 8)
        s = np.linspace(-1, 1, 28) * (9.5 - 1.8 * k + 2.0 * slope)
        z = root + 1.0 - 4.2 * k + 1.6 * level - (0.03 + 0.012 * arch) * s * s + 0.06 * slope * s
        strokes.append(
            Stroke(
                "procerus",
                np.stack([s, z + wander(s, np.array(rest), 0.2, 0.06)], 1),
                depth=depth * (0.68 - 0.2 * k) * (0.65 + 0.45 * size),
                width=0.55 * habit.coarse,
                reach=1.9,
                threshold=0.22 + 0.06 * k,
                rest=0.16 * habit.permanence,
                taper=(0.4, 0.4),
            )
        )
    return strokes


def _crows_feet(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    """Return the fan beyond the outer corner of the eye, with branches; age carries it to temple and cheek."""
    corner = marks["eye_outer"]
    spread = habit.scaled("crows_feet_spread", 0.78, 1.2)
    depth = 0.62 * (0.6 + 0.75 * habit.age) * habit.scaled("crows_feet_depth", 0.5, 1.5)
    strokes = []
    for k in range(8):
        turn, length, size, bend, gap, *rest = habit.sided(f"crows {k}", CROWS, 9, side)
        outer = abs(k - 3.2)
        angle = np.radians(spread * (52.0 - 17.5 * k) + 8.0 * turn)
        start = 4.5 + 2.2 * gap + 0.7 * outer
        run = (15.0 + 9.0 * habit.age) * (1 + 0.38 * length) - 1.2 * outer
        t = np.linspace(0, 1, 28)
        r = start + run * t
        # The fan opens: lines above the corner climb towards the temple, lines below sweep down the cheek.
        sweep = np.radians(8.0) * max(k - 3.5, 0.0) / 4.0
        a = angle * (1 + 0.1 * t) + np.radians(8.0 * bend) * (t - 0.3) - (0.06 + sweep) * t * t
        wave = wander(r, np.array(rest), 0.22, 0.07)
        s = corner[0] + r * np.cos(a) - wave * np.sin(angle)
        z = corner[1] + 0.5 + r * np.sin(a) + wave * np.cos(angle)
        major = depth * (0.68 + 0.42 * size) * (1.0 - 0.08 * outer)
        common: dict[str, Any] = {
            "width": 0.42 * habit.coarse,
            "rest": 0.46 * habit.permanence,
        }
        strokes.append(
            Stroke(
                "crows",
                np.stack([side * s, z], 1),
                depth=major,
                reach=1.4 * (0.9 + 0.25 * habit["thickness"]),
                threshold=0.1 + 0.045 * outer,
                taper=(0.22, 0.6),
                strength=uneven(t, np.array(rest[:2]), 0.35),
                **common,
            )
        )
        # A fine branch leaves each line about half-way out.
        fork = (
            np.radians(13.0 + 7.0 * bend) * (1 if turn > -0.2 else -1) * min(abs(turn + 0.2) * 4, 1)
        )
        b = r[10:] - r[10]
        strokes.append(
            Stroke(
                "crows",
                np.stack(
                    [side * (s[10] + b * np.cos(a[10:] + fork)), z[10] + b * np.sin(a[10:] + fork)],
                    1,
                ),
                depth=major * (0.4 + 0.2 * bend),
                reach=0.95,
                threshold=0.26,
                taper=(0.25, 0.6),
                **common,
            )
        )
    return strokes


def _upper_lid(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    """Return the crease of the upper lid, which everybody has, and finer lines between it and the brow."""
    inner, outer, lid = marks["eye_inner"], marks["eye_outer"], marks["upper_lid"]
    depth = 0.28 * habit.scaled("under_eye_depth", 0.6, 1.4)
    strokes = []
    t = np.linspace(0, 1, 32)
    for k in range(4):
        level, size, left, right, *rest = habit.sided(f"upper lid {k}", UNDER_EYE, 8, side)
        u = -0.02 + 0.1 * left * min(k, 1) + (1.12 + 0.08 * right) * t
        s = inner[0] + (outer[0] - inner[0]) * u
        arch = np.sin(np.pi * u.clip(0, 1)) ** 0.8
        above = 1.6 + 2.1 * k + 0.5 * level
        # With age the hood of the lid comes down over its outer third.
        hood = 1.5 * habit.age * smoothstep(0.6, 1.1, u)
        z = inner[1] + (outer[1] - inner[1]) * u + (lid[1] - inner[1]) * arch
        z = z + above * (0.55 + 0.45 * arch) - hood + wander(s, np.array(rest), 0.15, 0.04)
        strokes.append(
            Stroke(
                "upper_lid",
                np.stack([side * s, z], 1),
                depth=depth * (1.0 if k == 0 else (0.3 + 0.4 * habit.age) * (0.8 + 0.3 * size)),
                width=0.42 * habit.coarse,
                reach=1.2 if k == 0 else 0.95,
                threshold=0.08 + 0.06 * k,
                rest=0.5 if k == 0 else 0.35 * habit.permanence,
                taper=(0.35, 0.4),
                strength=uneven(t, np.array(rest[:2]), 0.25),
            )
        )
    return strokes


def _under_eye(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    inner, outer, lid = marks["eye_inner"], marks["eye_outer"], marks["lower_lid"]
    depth = 0.2 * (0.55 + 0.75 * habit.age) * habit.scaled("under_eye_depth", 0.4, 1.6)
    strokes = []
    t = np.linspace(0, 1, 36)
    for k in range(5):
        level, size, left, right, *rest = habit.sided(f"under eye {k}", UNDER_EYE, 8, side)
        below = 2.6 + 2.3 * k + 0.7 * level
        low, high = 0.04 + 0.09 * k + 0.08 * left, 0.8 + 0.05 * k + 0.12 * right
        u = low + (high - low) * t
        s = inner[0] + (outer[0] - inner[0]) * u
        margin = (
            inner[1]
            + (outer[1] - inner[1]) * u
            - (inner[1] - lid[1]) * np.sin(np.pi * u.clip(0, 1)) ** 0.8
        )
        z = margin - below * (0.75 + 0.25 * np.sin(np.pi * u.clip(0, 1))) - 1.2 * k * (1 - u) * 0.7
        z = z + wander(s, np.array(rest), 0.2, 0.06)
        strokes.append(
            Stroke(
                "under_eye",
                np.stack([side * s, z], 1),
                depth=depth * (0.75 + 0.35 * size) * (1.0 - 0.1 * k),
                width=0.4 * habit.coarse,
                reach=1.15,
                threshold=0.12 + 0.04 * k,
                rest=0.45 * habit.permanence,
                taper=(0.4, 0.45),
                strength=uneven(t, np.array(rest[:2]), 0.4),
            )
        )
    # The tear trough below the bag of the lid: broad, mostly a matter of age.
    u = np.linspace(0.02, 0.72, 30)
    s = inner[0] - 1.0 + (outer[0] - inner[0]) * u
    z = inner[1] - 6.0 - 8.0 * np.sin(0.5 * np.pi * (u / 0.72)) + 1.0 * u
    strokes.append(
        Stroke(
            "under_eye",
            np.stack([side * s, z], 1),
            depth=0.62 * habit.scaled("under_eye_depth", 0.3, 1.6) * (0.2 + 0.8 * habit.age),
            width=1.0,
            reach=3.4,
            threshold=0.15,
            rest=0.45 * habit.permanence,
            taper=(0.4, 0.5),
            lean=0.35 * side,
            trough=True,
        )
    )
    return strokes


def _bunny(marks: Marks, habit: Habit, side: int) -> list[Stroke]:
    root, eye = marks["nose_root"], marks["eye_inner"]
    strokes = []
    t = np.linspace(0, 1, 20)
    for k in range(5):
        level, size, slope, ends, *rest = habit.sided(f"bunny {k}", NOSE, 8, side)
        top = root[1] - 5.5 - 3.6 * k + 0.8 * level
        length = (eye[0] - 4.0) + 1.5 * ends + 0.4 * k
        s = 1.6 + length * t
        # Across the oblique fibres of nasalis: the outer end lies higher, then bends down to the cheek.
        z = top + (0.28 + 0.14 * slope) * length * t - 0.016 * (length * t) ** 2
        strokes.append(
            Stroke(
                "bunny",
                np.stack([side * s, z + wander(s, np.array(rest), 0.15, 0.06)], 1),
                depth=0.3
                * (0.65 + 0.45 * habit.age)
                * (0.7 + 0.4 * size)
                * (1 - 0.1 * abs(k - 1.5)),
                width=0.42 * habit.coarse,
                reach=1.25,
                threshold=0.14 + 0.05 * abs(k - 1.5),
                rest=0.12 * habit.permanence,
                taper=(0.35, 0.45),
                strength=uneven(t, np.array(rest[:2]), 0.3),
            )
        )
    return strokes
