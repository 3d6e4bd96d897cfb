"""The SHADED viewport: a map bends the light on the skin, and moves no vertex.

Without subdivision a slider costs a few milliseconds in Blender, a tenth of true displacement. The
head has a copy of the skin's material with the map as bump. A modifier that the viewport alone
evaluates marks the mesh, and the bump's height is multiplied by that mark: renders displace, and do
not bump on top.
"""

from __future__ import annotations

import bpy

from ..head import head_object, materials, settings

MODIFIER = "Furrow Shaded"
MARK = "furrow_shaded"
"""Float attribute of the points: the weight of the skin in the viewport, absent in renders."""

IMAGE_NODE, DISTANCE_NODE = "Furrow Detail", "Furrow Detail Height"

_SKIN_SLOT = 0
_OWNER = "furrow_bump_of"  # on a material: the id of the head that it was copied for


def attach(obj: bpy.types.Object, texture: bpy.types.ImageTexture, height_m: float) -> None:
    """Show a texture's map as bump on the skin, in the viewport.

    Parameters
    ----------
    texture
        Its image, or image sequence, holds millimetres.
    height_m
        Metres for one unit of the map.

    A skin material that an artist made stays as it is, and shows no bump.
    """
    if MODIFIER not in obj.modifiers:
        modifier = obj.modifiers.new(MODIFIER, "NODES")
        modifier.node_group = _marking()
        modifier.show_render = False
    skin = obj.data.materials[_SKIN_SLOT]
    if skin is None or skin.get("furrow_slot") == "skin":
        skin = _bumped(obj)
        obj.data.materials[_SKIN_SLOT] = skin
    if skin.get(_OWNER) != obj.furrow.id:
        return
    nodes = skin.node_tree.nodes
    settings.apply(nodes[IMAGE_NODE], image=texture.image)
    settings.apply(nodes[DISTANCE_NODE].inputs[1], default_value=height_m)
    playing = ("frame_start", "frame_offset", "frame_duration", "use_auto_refresh")
    user = {name: getattr(texture.image_user, name) for name in playing}
    settings.apply(nodes[IMAGE_NODE].image_user, **user)


def detach(obj: bpy.types.Object) -> None:
    """Give the skin its ordinary material back."""
    modifier = obj.modifiers.get(MODIFIER)
    if modifier is None:
        return
    obj.modifiers.remove(modifier)
    skin = obj.data.materials[_SKIN_SLOT]
    if skin is not None and _OWNER in skin:
        obj.data.materials[_SKIN_SLOT] = materials.material("skin")
        if not skin.users:
            bpy.data.materials.remove(skin)


def _bumped(obj: bpy.types.Object) -> bpy.types.Material:
    """A copy of the skin's material with a place for the map."""
    material = materials.own_skin(obj)
    material[_OWNER] = obj.furrow.id
    tree = material.node_tree
    principled = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    image = tree.nodes.new("ShaderNodeTexImage")
    image.name, image.extension = IMAGE_NODE, "EXTEND"
    mark = tree.nodes.new("ShaderNodeAttribute")
    mark.attribute_name = MARK
    distance = tree.nodes.new("ShaderNodeMath")
    distance.name, distance.operation = DISTANCE_NODE, "MULTIPLY"
    bump = tree.nodes.new("ShaderNodeBump")
    normal = principled.inputs["Normal"]
    for source, target in (
        (mark.outputs["Fac"], distance.inputs[0]),
        (distance.outputs[0], bump.inputs["Distance"]),
        (image.outputs["Color"], bump.inputs["Height"]),
        (normal.links[0].from_socket, bump.inputs["Normal"]),
        (bump.outputs[0], normal),
    ):
        tree.links.new(source, target)
    for index, node in enumerate((image, mark, distance, bump)):
        node.location = (principled.location.x - 800 + 200 * index, principled.location.y - 700)
    return material


def _marking() -> bpy.types.GeometryNodeTree:
    """A tree that copies the vertex group of the skin to :data:`MARK`; all heads share it."""
    existing = bpy.data.node_groups.get(MODIFIER)
    if existing is not None:
        return existing
    tree = bpy.data.node_groups.new(MODIFIER, "GeometryNodeTree")
    for direction in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=direction, socket_type="NodeSocketGeometry")
    start, end = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    skin = tree.nodes.new("GeometryNodeInputNamedAttribute")
    skin.inputs["Name"].default_value = head_object.SKIN_GROUP
    store = tree.nodes.new("GeometryNodeStoreNamedAttribute")
    store.inputs["Name"].default_value = MARK
    tree.links.new(skin.outputs[0], store.inputs["Value"])
    tree.links.new(start.outputs[0], store.inputs["Geometry"])
    tree.links.new(store.outputs[0], end.inputs[0])
    for index, node in enumerate((start, skin, store, end)):
        node.location.x = 200 * index
    return tree
