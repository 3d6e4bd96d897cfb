"""The wrinkles of a portable head in its skin's material: bump, or true displacement in Cycles.

The modifier stores the weights of the basis as attributes where it does not displace; a node group
mixes the images by them into the material's displacement. Where the attributes are absent they read
as 0, so a material with the group does nothing to other objects, and nothing where vertices move.
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy

from ..head import materials
from ..head.nodes import Tree
from . import portable_nodes

NODE = "Furrow Wrinkles"

_SKIN_SLOT = 0
_OWN = "furrow_portable"
"""On a material: it is a copy of Furrow's skin that was made for these nodes."""


def attach(obj: bpy.types.Object, images: Sequence[bpy.types.Image], uv_map: str) -> None:
    """Mix images into the displacement of the skin's material, unless it does so already.

    A material that other objects have too is copied. An output whose displacement the artist uses
    keeps it.
    """
    skin = obj.data.materials[_SKIN_SLOT]
    if skin is not None and skin.node_tree is not None and NODE in skin.node_tree.nodes:
        if _images(skin.node_tree.nodes[NODE].node_tree) == list(images):
            return
        if skin.users == 1:
            _remove_node(skin)
    if skin is None or skin.get("furrow_slot") == "skin":
        skin = materials.own_skin(obj)
        skin[_OWN] = True
    elif skin.users > 1:
        skin = skin.copy()
        _remove_node(skin)
    obj.data.materials[_SKIN_SLOT] = skin
    if skin.node_tree is None:
        return  # an artist's material without nodes
    node = skin.node_tree.nodes.new("ShaderNodeGroup")
    node.name = node.label = NODE
    node.node_tree = _group(f"{obj.name} Wrinkles", images, uv_map)
    for output in [n for n in skin.node_tree.nodes if n.type == "OUTPUT_MATERIAL"]:
        node.location = (output.location.x - 200, output.location.y - 200)
        if not output.inputs["Displacement"].is_linked:
            skin.node_tree.links.new(node.outputs[0], output.inputs["Displacement"])


def detach(obj: bpy.types.Object) -> None:
    """Remove the nodes; the ordinary skin comes back in the place of its copy."""
    slots = obj.data.materials
    skin = slots[_SKIN_SLOT] if len(slots) > _SKIN_SLOT else None
    if skin is None or skin.node_tree is None or NODE not in skin.node_tree.nodes:
        return
    _remove_node(skin)
    if skin.get(_OWN):
        obj.data.materials[_SKIN_SLOT] = materials.material("skin")
        if not skin.users:
            bpy.data.materials.remove(skin)


def _remove_node(material: bpy.types.Material) -> None:
    """Remove the node, and its group if no other material has it."""
    node = material.node_tree.nodes.get(NODE)
    if node is None:
        return
    group = node.node_tree
    material.node_tree.nodes.remove(node)
    if group is not None and not group.users:
        bpy.data.node_groups.remove(group)


def _images(group: bpy.types.ShaderNodeTree | None) -> list[bpy.types.Image]:
    """The images that a group mixes, in their order."""
    return [] if group is None else [n.image for n in group.nodes if n.type == "TEX_IMAGE"]


def _group(name: str, images: Sequence[bpy.types.Image], uv_map: str) -> bpy.types.ShaderNodeTree:
    t = Tree(bpy.data.node_groups.new(name, "ShaderNodeTree"))
    t.tree.interface.new_socket("Displacement", in_out="OUTPUT", socket_type="NodeSocketVector")
    uv = t.node("UVMap", uv_map=uv_map).outputs[0]
    height = None
    for index, image in enumerate(images):
        colour = t.node("TexImage", {"Vector": uv}, image=image, extension="EXTEND").outputs[0]
        weights = t.attribute(portable_nodes.ATTRIBUTE.format(index))["Vector"]
        part = t.node("VectorMath", {0: colour, 1: weights}, operation="DOT_PRODUCT")
        height = part.outputs["Value"] if height is None else t.add(height, part.outputs["Value"])
    displacement = t.node(
        "Displacement", {"Height": height, "Midlevel": 0.0, "Scale": 1.0}
    ).outputs[0]
    t.node("NodeGroupOutput", {0: displacement})
    return t.tree
