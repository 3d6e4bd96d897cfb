"""The geometry nodes of a portable head: 52 weights to displaced vertices, by a basis of maps.

A hinge max(0, b_i + b_j - t) is one point of a small cloud. A table, in an image, says for each point
which two weights it reads, its threshold, and what it adds to each weight c_k of the basis; sums over
the cloud give the c_k. So the tree has two nodes for each image of the basis, however many hinges
there are. Nodes and names are those of Blender 4.2, and there is no Python in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

from ...backend.formats.expressions import EXPRESSIONS
from ..head.nodes import Tree

STRENGTH, SHADE_VIEWPORT, SHADE_RENDER = "Strength", "Shade Viewport", "Shade Renders"

ATTRIBUTE = "furrow_basis_{}"
"""Vectors of the points, for the material: three weights of the basis, in metres for a unit of the map."""

SHADED_IMAGES = 7
"""Images that the material mixes, the most important ones, of 20 components. Where a material reads 15
attributes EEVEE (4.3) draws garbage; with these Furrow's skin reads 11."""


class GeometryTree(Tree):
    """Builds a geometry node group as expressions; see `nodes.Tree`."""

    def input(self, name: str, kind: str, **settings: Any) -> None:
        """Add an input of the group, of socket type ``NodeSocket<kind>``."""
        socket = self.tree.interface.new_socket(
            name, in_out="INPUT", socket_type=f"NodeSocket{kind}"
        )
        for setting, value in settings.items():
            setattr(socket, setting, value)

    def vector(self, operation: str, a: Any, b: Any = (0.0, 0.0, 0.0)) -> Any:
        """A Vector Math node of two vectors, or of a vector and a scale."""
        second = {"Scale": b} if operation == "SCALE" else {1: b}
        outputs = self.node("VectorMath", {0: a, **second}, operation=operation).outputs
        return outputs["Value" if operation == "DOT_PRODUCT" else "Vector"]

    def texture(self, image: bpy.types.Image, at: Any, interpolation: str) -> Any:
        """The colour of an image at a place, edges held."""
        node = self.node(
            "GeometryNodeImageTexture",
            {"Image": image, "Vector": at},
            interpolation=interpolation,
            extension="EXTEND",
        )
        return node.outputs["Color"]

    def field(self, kind: str, name: str) -> Any:
        """A named attribute of the mesh."""
        node = self.node("GeometryNodeInputNamedAttribute", {"Name": name}, data_type=kind)
        return node.outputs["Attribute"]


def build(
    name: str,
    basis: Sequence[bpy.types.Image],
    table: bpy.types.Image,
    uv_map: str,
    skin_group: str,
) -> bpy.types.GeometryNodeTree:
    """Make the node group of one head.

    Parameters
    ----------
    basis
        Maps in mm, three an image; the first is the neutral map, of weight 1.
    table
        A column for each hinge. Row 0, the lowest: numbers of its two weights (52 for none) and its
        threshold; row 1 + g: what it adds to the three weights of image g.
    uv_map, skin_group
        Names of the head's UV map, and of the vertex group that limits the displacement.
    """
    t = GeometryTree(bpy.data.node_groups.new(name, "GeometryNodeTree"))
    t.tree.is_modifier = True
    t.input("Geometry", "Geometry")
    t.input(STRENGTH, "Float", min_value=0.0, default_value=0.001)
    t.input(SHADE_VIEWPORT, "Bool")
    t.input(SHADE_RENDER, "Bool")
    for expression in EXPRESSIONS:
        t.input(expression, "Float", hide_in_modifier=True)
    t.tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    inputs = t.node("NodeGroupInput").outputs
    skin = t.field("FLOAT", skin_group)
    weights = [
        t.vector("SCALE", w, inputs[STRENGTH]) for w in _weights(t, inputs, table, len(basis))
    ]
    shaded = inputs["Geometry"]
    for index, weight in enumerate(weights[:SHADED_IMAGES]):
        shaded = _stored(t, shaded, ATTRIBUTE.format(index), t.vector("SCALE", weight, skin))
    displaced = _displaced(t, inputs["Geometry"], basis, weights, uv_map, skin)
    shades = t.node(
        "GeometryNodeSwitch",
        {
            0: t.node("GeometryNodeIsViewport").outputs[0],
            1: inputs[SHADE_RENDER],
            2: inputs[SHADE_VIEWPORT],
        },
        input_type="BOOLEAN",
    ).outputs[0]
    result = t.node(
        "GeometryNodeSwitch", {0: shades, 1: displaced, 2: shaded}, input_type="GEOMETRY"
    )
    t.node("NodeGroupOutput", {0: result.outputs[0]})
    return t.tree


def textures(group: bpy.types.GeometryNodeTree, interpolation: str) -> list[bpy.types.Node]:
    """The nodes that read images: "Linear" the basis, in its order, and "Closest" the table."""
    nodes = [node for node in group.nodes if node.bl_idname == "GeometryNodeImageTexture"]
    return [node for node in nodes if node.interpolation == interpolation]


def _weights(t: GeometryTree, inputs: Any, table: bpy.types.Image, groups: int) -> list[Any]:
    """The weights of the basis, three a vector; that of the neutral map is 1."""
    hinges, rows = table.size
    index = t.node("GeometryNodeInputIndex").outputs[0]
    column = t.math("DIVIDE", t.add(index, 0.5), hinges)

    def row(number: int) -> Any:
        at = t.node("CombineXYZ", {0: column, 1: (number + 0.5) / rows}).outputs[0]
        return t.texture(table, at, "Closest")

    values = t.node("GeometryNodeIndexSwitch", data_type="FLOAT")
    while len(values.index_switch_items) < len(EXPRESSIONS) + 1:  # the last one is no weight: 0
        values.index_switch_items.new()
    t.tree.links.new(index, values.inputs[0])
    for number, expression in enumerate(EXPRESSIONS):
        t.tree.links.new(inputs[expression], values.inputs[1 + number])
    value = t.node("Clamp", {"Value": values.outputs[0]}).outputs[0]
    cloud = t.node("GeometryNodePoints", {"Count": len(EXPRESSIONS) + 1}).outputs[0]
    first, second, threshold = t.node("SeparateXYZ", {0: row(0)}).outputs
    pair = [
        t.node(
            "GeometryNodeSampleIndex", {"Geometry": cloud, "Value": value, "Index": number}
        ).outputs[0]
        for number in (first, second)
    ]
    hinge = t.math("MAXIMUM", t.math("SUBTRACT", t.add(*pair), threshold), 0.0)
    points = t.node("GeometryNodePoints", {"Count": hinges}).outputs[0]
    sums = []
    for group in range(groups):
        node = t.node("GeometryNodeAttributeStatistic", data_type="FLOAT_VECTOR")
        t.tree.links.new(points, node.inputs["Geometry"])
        added = t.vector("SCALE", row(1 + group), hinge)
        t.tree.links.new(added, next(s for s in node.inputs if s.name == "Attribute" and s.enabled))
        sums.append(next(s for s in node.outputs if s.name == "Sum" and s.enabled))
    return [t.vector("ADD", sums[0], (1.0, 0.0, 0.0)), *sums[1:]]


def _stored(t: GeometryTree, geometry: Any, name: str, vector: Any) -> Any:
    """The geometry with a vector attribute of its points."""
    node = t.node("GeometryNodeStoreNamedAttribute", data_type="FLOAT_VECTOR", domain="POINT")
    t.tree.links.new(geometry, node.inputs["Geometry"])
    node.inputs["Name"].default_value = name
    t.tree.links.new(vector, next(s for s in node.inputs if s.name == "Value" and s.enabled))
    return node.outputs[0]


def _displaced(
    t: GeometryTree,
    geometry: Any,
    basis: Sequence[bpy.types.Image],
    weights: Sequence[Any],
    uv_map: str,
    skin: Any,
) -> Any:
    """The geometry displaced along its normals by the mixed maps.

    At a seam a point takes the UV of its first corner, as the Displace modifier does: the mean of
    both sides would lie anywhere on the tile.
    """
    corner = t.node("GeometryNodeCornersOfVertex").outputs["Corner Index"]
    at_index = t.node("GeometryNodeFieldAtIndex", data_type="FLOAT_VECTOR", domain="CORNER")
    t.tree.links.new(corner, at_index.inputs["Index"])
    value = next(s for s in at_index.inputs if s.name == "Value" and s.enabled)
    t.tree.links.new(t.field("FLOAT_VECTOR", uv_map), value)
    uv = next(s for s in at_index.outputs if s.enabled)
    height = None
    for image, weight in zip(basis, weights, strict=True):
        part = t.vector("DOT_PRODUCT", t.texture(image, uv, "Linear"), weight)
        height = part if height is None else t.add(height, part)
    normal = t.node("GeometryNodeInputNormal").outputs["Normal"]
    offset = t.vector("SCALE", normal, t.times(height, skin))
    return t.node("GeometryNodeSetPosition", {"Geometry": geometry, "Offset": offset}).outputs[0]
