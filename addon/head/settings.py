"""Settings of Blender's data, written only where they differ: what is written is evaluated anew."""

from __future__ import annotations

import math
from typing import Any


def differs(held: Any, wanted: Any) -> bool:
    """Whether a setting is another than what is wanted; Blender holds numbers in 32 bits."""
    if isinstance(held, float):
        return not math.isclose(held, wanted, rel_tol=1e-6)
    return bool(held != wanted)


def apply(owner: Any, **wanted: Any) -> None:
    """Bring properties of `owner` to what is wanted."""
    for name, value in wanted.items():
        if differs(getattr(owner, name), value):
            setattr(owner, name, value)
