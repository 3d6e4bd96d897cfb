"""ARKit's 52 expressions among the shape keys of any mesh, under the names that programs give them.

No Blender here: names in, names out.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence

from ...backend.formats.expressions import EXPRESSIONS

_SEPARATORS = r"[\s._:|/-]+"
_SIDES = {"l": "left", "r": "right"}

_BY_LETTERS = {name.lower(): name for name in EXPRESSIONS}


def match(names: Iterable[str]) -> dict[str, str]:
    """Find ARKit's expressions among the names of shape keys.

    A name matches if its letters are those of an expression once

    - upper and lower case count the same, and ``. _ - : | /`` and blanks between words count as
      nothing: ``JawOpen``, ``jaw_open``, ``jaw-open``, ``Jaw Open``, ``JAWOPEN``;
    - a last word L or R stands for Left or Right: ``eyeBlink_L``, ``eyeBlink.R``, ``eyeBlinkL``;
    - what comes before a separator may be dropped, as exporters put names of nodes there:
      ``blendShape1.jawOpen``, ``ARKit_jawOpen``, ``Face.M_F00.jawOpen``. It must not hold an
      expression itself: ``jawOpen_mouthClose`` is a corrective shape for both, and matches nothing.

    Where several keys match one expression, the exact ARKit name goes first, then names without
    such a prefix, then those with one; among equals the first in the list. No key stands for two
    expressions.

    Returns
    -------
    dict
        Name of the shape key by ARKit name, in ARKit's order; expressions without a key are absent.
    """
    return dict(_match(tuple(names)))


@functools.lru_cache(maxsize=64)  # a panel asks at every redraw
def _match(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    best: dict[str, tuple[int, str]] = {}
    for name in names:
        expression, rank = _read(name)
        if expression is not None and rank < best.get(expression, (9, ""))[0]:
            best[expression] = rank, name
    return tuple((name, best[name][1]) for name in EXPRESSIONS if name in best)


def missing(names: Mapping[str, str]) -> list[str]:
    """The expressions that are absent from what :func:`match` returned, in ARKit's order."""
    return [name for name in EXPRESSIONS if name not in names]


def in_words(names: Sequence[str], most: int = 3) -> str:
    """The first few names and how many more there are: ``jawOpen, tongueOut and 4 more``."""
    if len(names) <= most:
        return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def _read(name: str) -> tuple[str | None, int]:
    """The expression that a name means and how exactly: 0 itself, 1 spelled otherwise, 2 prefixed."""
    if name in _BY_LETTERS.values():
        return name, 0
    parts = [part for part in re.split(_SEPARATORS, name) if part]
    for first in range(len(parts)):
        expression = _expression(parts[first:])
        if expression is not None:
            return (None, 0) if _holds_expression(parts[:first]) else (expression, 1 + (first > 0))
    return None, 0


def _expression(parts: Sequence[str]) -> str | None:
    """The expression that these parts of a name spell together."""
    letters = "".join(parts)
    if parts[-1] in ("L", "R", "l", "r") or re.search("[a-z][LR]$", letters):
        letters = letters[:-1] + _SIDES[letters[-1].lower()]
    return _BY_LETTERS.get(letters.lower())


def _holds_expression(parts: Sequence[str]) -> bool:
    return any(
        _expression(parts[first:last]) is not None
        for first in range(len(parts))
        for last in range(first + 1, len(parts) + 1)
    )
