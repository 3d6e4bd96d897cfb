"""What Blender stores with a head: identity, detail settings, and the textures that hold its maps."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ...backend.formats.identity import SHAPE_LIMIT, SKIN
from ..detail import detail_modes, live_updates
from ..head import head_object, head_state
from . import registration

RESOLUTIONS = (
    ("256", "256", "For a fast preview"),
    ("512", "512", "For the viewport and most pictures"),
    ("1024", "1024", "For close pictures"),
)
COMPONENTS = (
    ("4", "4", "Small files; folds are rough"),
    ("8", "8", "For distant heads"),
    ("16", "16", "For most heads"),
    ("32", "32", "Hardly better than 16, twice as large"),
)
SHAPE_ROWS = (8, 16)
"""A vector property holds 32 numbers at most, so the shape is stored in rows; 128 fit."""


def _owner(group: bpy.types.bpy_struct) -> bpy.types.Object:
    """The object that a property group belongs to."""
    assert isinstance(group.id_data, bpy.types.Object)
    return group.id_data


def _identity_changed(self: bpy.types.bpy_struct, _context: bpy.types.Context) -> None:
    head = _owner(self)
    if not head_state.of(head).quiet:
        head_object.sliders_moved(head)
        live_updates.request(head)


def _styles_changed(self: bpy.types.bpy_struct, _context: bpy.types.Context) -> None:
    head = _owner(self)
    if not head_state.of(head).quiet:
        head_object.share_identity(head)
        live_updates.request(head)


def _detail_changed(self: bpy.types.bpy_struct, _context: bpy.types.Context) -> None:
    head = _owner(self)
    if not head_state.of(head).quiet and head_object.is_head(head):
        detail_modes.attach(head)
        live_updates.request(head)


def _is_other_head(self: bpy.types.bpy_struct, obj: bpy.types.Object) -> bool:
    return head_object.is_head(obj) and obj != self.id_data


def _adjustment(name: str, description: str) -> Any:
    """A slider along a direction of W+. It cannot be keyed: a bake takes one identity for all frames."""
    return FloatProperty(
        name=name,
        description=description,
        min=-1.0,
        max=1.0,
        step=1,
        precision=3,
        options=set(),
        update=_styles_changed,
    )


class FurrowDirection(bpy.types.PropertyGroup):
    """One named slider of the identity; `name` is inherited from Blender."""

    group: StringProperty(name="Region")
    value: FloatProperty(
        name="Amount",
        description="How far the head moves along this direction; 0 leaves it as it is",
        soft_min=-2.0,
        soft_max=2.0,
        min=-8.0,
        max=8.0,
        step=1,
        precision=3,
        update=_identity_changed,
    )


class FurrowHead(bpy.types.PropertyGroup):
    """The state of one head, as ``obj.furrow``; an empty id marks every other object."""

    id: StringProperty(name="Head", options={"HIDDEN"})
    person: StringProperty(name="Name", description="Name of this person", default="Average")

    shape: FloatVectorProperty(
        name="Shape",
        size=SHAPE_ROWS,
        min=-SHAPE_LIMIT,
        max=SHAPE_LIMIT,
        options={"HIDDEN"},
        update=_identity_changed,
    )
    shape_count: IntProperty(name="Shape coefficients", options={"HIDDEN"})
    # Files of before there was a second head hold no value: theirs is the first.
    head_generation: IntProperty(name="Head model", default=1, options={"HIDDEN"})
    written: FloatVectorProperty(
        name="Shape in the mesh",
        description="The shape whose vertices the shape keys hold",
        size=SHAPE_ROWS,
        options={"HIDDEN"},
    )
    skin: FloatVectorProperty(
        name="Skin",
        size=len(SKIN),
        default=(0.5,) * len(SKIN),
        min=0.0,
        max=1.0,
        update=_identity_changed,
    )
    directions: CollectionProperty(type=FurrowDirection)
    detail_seed: IntProperty(
        name="Pores Seed",
        description="Decides pores and small variation of the skin; the person stays the same",
        min=0,
        max=2**31 - 1,
        update=_styles_changed,
    )
    skin_age: _adjustment("Skin Age", "Younger or older skin on the same bones")
    furrow_depth: _adjustment("Furrow Depth", "Shallower or deeper lines and folds")
    pore_strength: _adjustment("Pore Strength", "Fainter or stronger pores and fine relief")
    asymmetry: _adjustment("Asymmetry", "Sides of the face that are more or less alike")

    relief_from: PointerProperty(
        name="Relief From",
        description="Take the pores and other relief of this head; lines stay one's own",
        type=bpy.types.Object,
        poll=_is_other_head,
        update=_styles_changed,
    )

    detail_enabled: BoolProperty(
        name="Detail",
        description="Displace the skin by the detail map",
        default=True,
        update=_detail_changed,
    )
    detail_mode: EnumProperty(
        name="Mode",
        items=(
            ("LIVE", "Live", "Wrinkles follow the sliders; the backend makes the maps", 0),
            (
                "PORTABLE",
                "Portable",
                "Wrinkles follow the sliders by a basis of maps in the file, nearly as exactly; "
                "Furrow is not needed to open the file",
                2,  # files hold these numbers
            ),
            (
                "BAKED",
                "Baked",
                "A baked image sequence plays; Furrow is not needed to open the file",
                1,
            ),
        ),
        default="LIVE",
        update=_detail_changed,
    )
    detail_strength: FloatProperty(
        name="Strength",
        description="1 is the true depth of the map, which is in millimetres",
        default=1.0,
        min=0.0,
        soft_max=2.0,
        max=10.0,
        update=_detail_changed,
    )
    detail_resolution: EnumProperty(
        name="Resolution",
        description="Pixels along each side of the detail map",
        items=RESOLUTIONS,
        default="512",
        update=_detail_changed,
    )
    detail_viewport: EnumProperty(
        name="Viewport",
        items=(
            ("DISPLACED", "Displaced", "The viewport moves the vertices, as renders do"),
            (
                "SHADED",
                "Shaded",
                "The viewport only shades the detail, in Material Preview and Rendered: "
                "several times as fast; renders displace",
            ),
        ),
        default="DISPLACED",
        update=_detail_changed,
    )
    detail_viewport_levels: IntProperty(
        name="Viewport",
        description="Subdivisions in the viewport; each takes four times as many faces",
        default=2,
        min=0,
        max=6,
        update=_detail_changed,
    )
    detail_render_levels: IntProperty(
        name="Render",
        description="Subdivisions in renders; each takes four times as many faces",
        default=3,
        min=0,
        max=6,
        update=_detail_changed,
    )
    portable_components: EnumProperty(
        name="Components",
        description="Maps in the basis; three share an image",
        items=COMPONENTS,
        default="16",
    )
    portable_render: EnumProperty(
        name="Renders",
        items=(
            ("DISPLACED", "Displaced", "Renders move the vertices"),
            (
                "SHADED",
                "Material",
                "Renders leave the wrinkles to the skin's material: as bump, or with vertices moved "
                "where the material's displacement says so. Needs no subdivision",
            ),
        ),
        default="DISPLACED",
        update=_detail_changed,
    )
    live_texture: PointerProperty(type=bpy.types.Texture)
    baked_texture: PointerProperty(type=bpy.types.Texture)


CLASSES = (FurrowDirection, FurrowHead)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    registration.attach(bpy.types.Object, FurrowHead)


def unregister() -> None:
    registration.detach(bpy.types.Object)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
