"""What a head looks like: node materials by slot for Cycles and EEVEE, no picture of a person in them.

Skin colour follows absorption: white dermis seen through pigment (melanin) and blood. How much of
either a region has, and how oily it is, stands in the tables below; where the regions are, the
mesh's colour attributes ``regions_*`` say, which are copies of its vertex groups for the shader.
Tone, redness, iris and hair are custom properties of the object, so heads share materials and keep
their own looks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import bpy
import numpy as np

from .nodes import Tree

REGIONS_PREFIX = "regions_"
"""Of the attributes that hold four regions each: shaders cannot read vertex groups."""

LOOKS: dict[str, Any] = {
    "furrow_melanin": 0.16,
    "furrow_redness": 0.45,
    "furrow_iris": (0.105, 0.165, 0.19),
    "furrow_hair": (0.030, 0.018, 0.011),
}
"""Custom properties of a head and their first values: melanin and redness in [0, 1], linear colours."""

_DERMIS = (0.83, 0.70, 0.57)
_PIGMENT_BANDS = (1.9, 2.6, 3.4)
_BLOOD_BANDS = (0.10, 0.72, 0.74)
"""Absorption by channel at melanin 1 and redness 1, fitted to light, tan and dark skin."""

_BLOOD = {"cheeks": 0.16, "nose": 0.20, "ears": 0.28, "chin": 0.05, "eyelids": 0.10, "forehead": -0.07, "scalp": -0.08}  # fmt: skip
_PIGMENT = {"eyelids": 0.05, "forehead": 0.012, "neck": 0.015, "cheeks": -0.008}
_OIL = {"nose": 0.45, "forehead": 0.25, "chin": 0.18, "cheeks": 0.10, "neck": -0.15, "ears": -0.1, "eyelids": 0.05}  # fmt: skip

_REGIONS = sorted({"skin", "lips", "scalp", "brow", *_BLOOD, *_PIGMENT, *_OIL})
"""Four share an attribute: an attribute each would take a fifth of the time of a subdivision."""

_VERSION = 2
"""Grows when the nodes change, so that a file's older materials are not taken for these."""


def assign(obj: bpy.types.Object) -> None:
    """Give a head its eight materials in the order of its slots, and its looks.

    Looks that the object has already are kept, and so are materials that an artist put in a slot.
    """
    for name, value in LOOKS.items():
        if name not in obj:
            obj[name] = value
            ui = obj.id_properties_ui(name)
            colour = isinstance(value, tuple)
            ui.update(min=0.0, max=1.0, **({"subtype": "COLOR"} if colour else {}))
    write_regions(obj)
    slots = obj.data.materials
    for index, slot in enumerate(_BUILDERS):
        if index == len(slots):
            slots.append(None)
        if slots[index] is None:
            slots[index] = material(slot)


def material(slot: str) -> bpy.types.Material:
    """The material of a slot (``skin``, ``brows``, ...), built if the file has none of this version."""
    for existing in bpy.data.materials:
        if existing.get("furrow_slot") == slot and existing.get("furrow_version") == _VERSION:
            return existing
    result = bpy.data.materials.new(f"Furrow {slot.capitalize()}")
    result["furrow_slot"], result["furrow_version"] = slot, _VERSION
    colour, build = _BUILDERS[slot]
    result.diffuse_color = colour
    if bpy.app.version < (5, 0):  # always on afterwards, and setting it warns
        result.use_nodes = True
    build(Tree(result.node_tree), result)
    return result


def own_skin(obj: bpy.types.Object) -> bpy.types.Material:
    """A copy of the skin's material for one head, which no other head takes for its own."""
    copy = material("skin").copy()
    del copy["furrow_slot"]
    copy.name = f"{obj.name} Skin"
    return copy


def write_regions(obj: bpy.types.Object) -> None:
    """Copy the head's vertex groups to the colour attributes that the skin's shader reads."""
    columns = {
        group.index: _REGIONS.index(group.name)
        for group in obj.vertex_groups
        if group.name in _REGIONS
    }
    weights = np.zeros((len(obj.data.vertices), -(-len(_REGIONS) // 4) * 4), np.float32)
    for vertex in obj.data.vertices:
        for entry in vertex.groups:
            if entry.group in columns:
                weights[vertex.index, columns[entry.group]] = entry.weight
    for index, channels in enumerate(np.split(weights, weights.shape[1] // 4, axis=1)):
        name = f"{REGIONS_PREFIX}{index}"
        attribute = obj.data.attributes.get(name)
        if attribute is None:
            attribute = obj.data.attributes.new(name, "FLOAT_COLOR", "POINT")
        attribute.data.foreach_set("color", channels.ravel())


def _region(t: Tree) -> Callable[[str], Any]:
    """A function from the name of a region to its weight in the shader."""

    @functools.cache
    def channels(index: int) -> list[Any]:
        outputs = t.attribute(f"{REGIONS_PREFIX}{index}")
        colour = t.node("SeparateColor", {0: outputs["Color"]}).outputs
        return [*colour, outputs["Alpha"]]

    return lambda name: channels(_REGIONS.index(name) // 4)[_REGIONS.index(name) % 4]


def _absorbed(t: Tree, melanin: Any, redness: Any) -> Any:
    """Colour of dermis under pigment and blood: S exp(-(m M + h B)), by channel."""
    bands = []
    for white, pigment, blood in zip(_DERMIS, _PIGMENT_BANDS, _BLOOD_BANDS, strict=True):
        depth = t.add(t.times(melanin, -pigment), t.times(redness, -blood))
        bands.append(t.times(t.math("EXPONENT", depth), white))
    return t.node("CombineColor", {0: bands[0], 1: bands[1], 2: bands[2]}).outputs[0]


def _skin(t: Tree, owner: bpy.types.Material) -> None:
    uv = t.node("UVMap").outputs[0]
    region = _region(t)
    blood, pigment, oil = (
        functools.reduce(t.add, [t.times(region(name), gain) for name, gain in table.items()])
        for table in (_BLOOD, _PIGMENT, _OIL)
    )
    lip, scalp = region("lips"), region("scalp")
    covered = t.math(
        "MAXIMUM", region("skin"), t.step(region("neck"), 0.1, 0.5)
    )  # the bust's edge is dry
    wet = t.add(1.0, t.times(covered, -1.0))
    # The tile spans about a quarter of a metre: scale 30 gives blotches of 8 mm, 400 grains of 0.6 mm.
    blotches = t.add(t.noise(uv, 30.0, 3.0), -0.5)
    grain = t.add(t.noise(uv, 170.0, 2.0), -0.5)
    fine = t.noise(uv, 420.0, 2.0)
    redness = t.add(t.property("furrow_redness"), blood)
    redness = t.add(redness, t.add(t.times(blotches, 0.30), t.times(grain, 0.22)))
    redness = t.add(redness, t.add(t.times(lip, 0.55), t.times(wet, 0.7)))
    freckle = t.step(t.noise(uv, 90.0, 1.0), 0.66, 0.76)
    melanin = t.add(t.property("furrow_melanin"), pigment)
    melanin = t.add(melanin, t.add(t.times(t.noise(uv, 55.0, 2.0), 0.05), t.times(freckle, 0.02)))
    melanin = t.math("MAXIMUM", t.add(melanin, t.times(lip, 0.015)), 0.0)
    colour = _absorbed(t, melanin, redness)
    stubble = t.times(
        scalp, t.add(0.42, t.times(t.step(t.noise(uv, 950.0, 1.0), 0.42, 0.62), 0.40))
    )
    strokes = t.node("VectorMath", {0: uv, 1: (110.0, 520.0, 1.0)}, operation="MULTIPLY").outputs[0]
    ragged = t.add(region("brow"), t.times(t.add(t.noise(strokes, 1.0, 2.0), -0.5), 1.5))
    brow = t.step(ragged, 0.35, 1.0)
    hair = t.math("MAXIMUM", stubble, t.times(brow, 0.35))
    colour = t.mix(hair, colour, t.property("furrow_hair", "Color"))
    lines = t.noise(uv, 260.0, 1.0)
    rough = t.add(0.56, t.times(oil, -0.30))
    rough = t.add(rough, t.add(t.times(t.add(fine, -0.5), 0.25), t.times(lip, -0.16)))
    rough = t.math("MAXIMUM", t.add(rough, t.times(wet, -0.30)), 0.12)
    height = t.add(fine, t.times(lines, 0.8))
    bump = t.node("Bump", {"Height": height, "Strength": 0.10, "Distance": 0.0002}).outputs[0]
    inputs = {
        "Base Color": colour,
        "Roughness": rough,
        "IOR": 1.42,
        "Specular IOR Level": 0.42,
        "Subsurface Weight": 1.0,
        "Subsurface Radius": (0.00367, 0.00137, 0.00068),
        # Lids are 1 mm thick: red light that walks further is lost in the eye and leaves them teal.
        "Subsurface Scale": t.times(t.add(1.0, t.times(region("eyelids"), -0.8)), 0.38),
        "Coat Weight": t.times(t.math("MAXIMUM", t.add(oil, 0.08), 0.0), 0.30),
        "Coat Roughness": 0.32,
        "Coat IOR": 1.45,
        "Normal": bump,
    }
    t.output(t.node("BsdfPrincipled", inputs, subsurface_method="RANDOM_WALK").outputs[0])


def _hair(t: Tree, owner: bpy.types.Material) -> None:
    colour = t.property("furrow_hair", "Color")
    inputs = {"Base Color": colour, "Roughness": 0.45, "Specular IOR Level": 0.35}
    t.output(t.node("BsdfPrincipled", inputs).outputs[0])


_IRIS = 0.25
"""Radius of the iris in the eye's radial UV; the back of the eye lies at 0.5, the lids' rims at about 0.32."""


def _eye(t: Tree, owner: bpy.types.Material) -> None:
    uv = t.node("UVMap").outputs[0]
    centred = t.node("VectorMath", {0: uv, 1: (0.5, 0.5, 0.0)}, operation="SUBTRACT").outputs[0]
    radius = t.node("VectorMath", {0: centred}, operation="LENGTH").outputs["Value"]
    around = t.node("VectorMath", {0: centred}, operation="NORMALIZE").outputs[0]
    ratio = t.math("DIVIDE", radius, _IRIS)
    # Fibres: noise that varies along the circle and hardly along the radius.
    along = t.node("CombineXYZ", {2: t.times(ratio, 0.9)}).outputs[0]
    polar = t.node("VectorMath", {0: around, 1: along}, operation="ADD").outputs[0]
    fibres = t.noise(polar, 9.0, 4.0, 0.4)
    patches = t.noise(polar, 2.2, 1.0)
    iris = t.property("furrow_iris", "Color")
    bright = t.mix(1.0, iris, (2.0, 2.0, 1.9), "MULTIPLY")
    shade = t.add(t.times(t.step(fibres, 0.36, 0.66), 0.75), t.times(patches, 0.25))
    colour = t.mix(shade, t.mix(0.55, iris, (0.006, 0.006, 0.007)), bright)
    warm = t.times(t.step(t.add(ratio, t.times(fibres, 0.25)), 0.72, 0.45), 0.55)
    colour = t.mix(warm, colour, (0.20, 0.115, 0.045))
    limbus = t.step(t.add(ratio, t.times(t.add(patches, -0.5), 0.06)), 0.76, 0.98)
    colour = t.mix(t.times(limbus, 0.88), colour, (0.008, 0.010, 0.012))
    pupil = t.step(t.add(ratio, t.times(t.add(fibres, -0.5), 0.03)), 0.37, 0.33)
    colour = t.mix(pupil, colour, (0.0015, 0.0015, 0.0015))
    white = _sclera(t, around, radius)
    edge = t.step(ratio, 0.94, 1.07)
    inputs = {
        "Base Color": t.mix(edge, colour, white),
        "Roughness": 0.28,
        "Specular IOR Level": t.times(edge, 0.45),
        "Subsurface Weight": t.times(edge, 0.8),
        "Subsurface Radius": (0.0018, 0.0009, 0.0005),
        "Subsurface Scale": 0.6,
    }
    t.output(t.node("BsdfPrincipled", inputs).outputs[0])


def _sclera(t: Tree, around: Any, radius: Any) -> Any:
    """Off-white, pinker towards the lids' rims, with thin branching veins there."""
    # A millimetre takes four times less of the UV along the radius than around it.
    even = t.times(t.add(radius, -0.18), 4.0)
    place = t.node("VectorMath", {0: around, "Scale": even}, operation="SCALE").outputs[0]
    bent = t.node("TexNoise", {"Vector": place, "Scale": 9.0, "Detail": 3.0}).outputs["Color"]
    drift = t.node("VectorMath", {0: bent, "Scale": 0.16}, operation="SCALE").outputs[0]
    place = t.node("VectorMath", {0: place, 1: drift}, operation="ADD").outputs[0]
    cells = t.node("TexVoronoi", {"Vector": place, "Scale": 7.0}, feature="DISTANCE_TO_EDGE")
    veins = t.times(t.step(cells.outputs[0], 0.05, 0.0), t.step(t.noise(place, 5.0), 0.42, 0.62))
    rim = t.step(radius, _IRIS * 1.04, _IRIS * 1.34)
    colour = t.mix(t.times(rim, 0.6), (0.70, 0.665, 0.62), (0.62, 0.42, 0.36))
    return t.mix(t.times(t.times(veins, rim), 0.45), colour, (0.50, 0.12, 0.09))


def _cornea(t: Tree, owner: bpy.types.Material) -> None:
    """Refracts what the camera sees of the iris; light and shadows pass straight through.

    EEVEE would refract the world instead of the iris behind, so there it only reflects.
    """
    clear = t.node("BsdfTransparent").outputs[0]
    glass = t.node("BsdfGlass", {"Roughness": 0.0, "IOR": 1.376}).outputs[0]
    path = t.node("LightPath")
    passing = t.math("MAXIMUM", path.outputs["Is Shadow Ray"], path.outputs["Is Diffuse Ray"])
    t.output(t.node("MixShader", {0: passing, 1: glass, 2: clear}).outputs[0], "CYCLES")
    shine = t.node("BsdfAnisotropic", {"Roughness": 0.03}).outputs[0]
    facing = t.node("Fresnel", {"IOR": 1.376}).outputs[0]
    t.output(t.node("MixShader", {0: facing, 1: clear, 2: shine}).outputs[0], "EEVEE")
    owner.surface_render_method = "BLENDED"


def _moist(
    colour: tuple[float, float, float], radius: float, rough: float
) -> Callable[[Tree, bpy.types.Material], None]:
    """A translucent moist surface; `radius` of scattering in metres."""

    def build(t: Tree, owner: bpy.types.Material) -> None:
        at = t.node("TexCoord").outputs["Object"]
        mottle = t.times(t.noise(at, 260.0, 3.0), 0.5)
        inputs = {
            "Base Color": t.mix(mottle, colour, tuple(c * 0.72 for c in colour)),
            "Roughness": rough,
            "Subsurface Weight": 0.8,
            "Subsurface Radius": (radius, radius * 0.55, radius * 0.4),
            "Subsurface Scale": 1.0,
            "Coat Weight": 0.5,
            "Coat Roughness": 0.12,
        }
        t.output(t.node("BsdfPrincipled", inputs).outputs[0])

    return build


_BUILDERS: dict[str, tuple[tuple[float, float, float, float], Callable[..., None]]] = {
    "skin": ((0.56, 0.33, 0.24, 1.0), _skin),
    "brows": ((0.04, 0.025, 0.017, 1.0), _hair),
    "lashes": ((0.02, 0.014, 0.010, 1.0), _hair),
    "eye": ((0.60, 0.56, 0.52, 1.0), _eye),
    "cornea": ((1.0, 1.0, 1.0, 0.04), _cornea),
    "teeth": ((0.66, 0.59, 0.47, 1.0), _moist((0.68, 0.61, 0.48), 0.0012, 0.22)),
    "gums": ((0.42, 0.13, 0.12, 1.0), _moist((0.46, 0.15, 0.13), 0.0018, 0.25)),
    "tongue": ((0.45, 0.16, 0.15, 1.0), _moist((0.48, 0.18, 0.16), 0.0025, 0.35)),
}
"""Colour in the solid viewport and builder of nodes, in the order of the head's slots."""
