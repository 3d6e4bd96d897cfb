"""Shape keys that go with an expression by themselves: what a straight line to it lacks.

A corrective is a key with a driver of one variable, its expression's value w, mapped to 4 w (1 - w)
by a generator on the driver's own curve: no Python runs, so it plays where scripts are off and
where Furrow is not installed.
"""

from __future__ import annotations

import bpy

from ...backend.head.contact import BLINKS

PARABOLA = (0.0, 4.0, -4.0)
"""Coefficients of 4 w - 4 w^2, from the constant on."""


KEYS = tuple(f"{expression} Half" for expression in BLINKS)
"""Names of the correctives' shape keys."""


def add_drivers(keys: bpy.types.Key) -> None:
    """Drive the correctives' keys by their expressions."""
    for name, expression in zip(KEYS, BLINKS, strict=True):
        curve = keys.key_blocks[name].driver_add("value")
        assert isinstance(curve, bpy.types.FCurve) and curve.driver is not None
        while curve.keyframe_points:
            curve.keyframe_points.remove(curve.keyframe_points[0])
        while curve.modifiers:
            curve.modifiers.remove(curve.modifiers[0])
        generator = curve.modifiers.new("GENERATOR")
        assert isinstance(generator, bpy.types.FModifierGenerator)
        generator.poly_order = len(PARABOLA) - 1
        generator.coefficients = PARABOLA
        curve.driver.type = "SUM"
        variable = curve.driver.variables.new()
        variable.name = "w"
        variable.type = "SINGLE_PROP"
        variable.targets[0].id_type = "KEY"
        variable.targets[0].id = keys
        variable.targets[0].data_path = f'key_blocks["{expression}"].value'
