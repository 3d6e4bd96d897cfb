"""All furrows of a face."""

from __future__ import annotations

from ..chart import Marks
from ..furrows import Stroke
from ..habit import Habit
from .cheeks import cheek, marionette, nasolabial
from .eyes import crows_feet, under_eye, upper_lid
from .forehead import forehead
from .glabella import glabella
from .mouth import chin, lip_lines, vermilion
from .neck import neck, platysma
from .nose import bunny


def furrows_of(marks: Marks, habit: Habit) -> list[Stroke]:
    """Return a person's furrows; their order decides the order in which maps are summed up."""
    strokes = forehead(marks, habit) + glabella(marks, habit)
    for side in (-1, 1):
        for region in (crows_feet, upper_lid, under_eye, bunny):
            strokes += region(marks, habit, side)
    strokes += chin(marks, habit) + neck(marks, habit)
    for half in ("upper", "lower"):
        strokes += lip_lines(marks, habit, half) + vermilion(marks, habit, half)
    for side in (-1, 1):
        for region in (nasolabial, cheek, marionette, platysma):
            strokes += region(marks, habit, side)
    return strokes
