"""Node trees written as expressions: `tree.mix(share, a, b)` instead of ten lines of links."""

from __future__ import annotations

from typing import Any

import bpy

Value = Any
"""What an input takes: an output socket, a number, or a tuple for vectors and colours."""


class Tree:
    """Builds a node tree from nothing; each method adds a node and returns its first output."""

    def __init__(self, tree: bpy.types.NodeTree) -> None:
        self.tree = tree
        self.tree.nodes.clear()

    def node(self, kind: str, inputs: dict[Any, Value] | None = None, **settings: Any) -> Any:
        """Add a node, set properties, link or set its inputs by name or index.

        `kind` is the node's type; ``Math`` is short for ``ShaderNodeMath``.
        """
        node = self.tree.nodes.new(kind if "Node" in kind else f"ShaderNode{kind}")
        for name, value in settings.items():
            setattr(node, name, value)
        for name, value in (inputs or {}).items():
            self._set(node.inputs[name], value)
        column = len(self.tree.nodes)
        node.location = (column % 12 * 180 - 2000, column // 12 * -260)
        return node

    def _set(self, socket: Any, value: Value) -> None:
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        elif isinstance(value, tuple) and len(value) == 3 and socket.type == "RGBA":
            socket.default_value = (*value, 1.0)
        else:
            socket.default_value = value

    def math(self, operation: str, a: Value, b: Value = 0.0, clamp: bool = False) -> Any:
        """A Math node."""
        return self.node("Math", {0: a, 1: b}, operation=operation, use_clamp=clamp).outputs[0]

    def add(self, a: Value, b: Value) -> Any:
        """a + b."""
        return self.math("ADD", a, b)

    def times(self, a: Value, b: Value) -> Any:
        """a x b."""
        return self.math("MULTIPLY", a, b)

    def step(self, value: Value, low: float, high: float) -> Any:
        """0 at `low`, 1 at `high`, smooth between; `low` may be the larger."""
        flip = low > high
        ends = (high, low) if flip else (low, high)
        to = (1.0, 0.0) if flip else (0.0, 1.0)
        inputs = {
            "Value": value,
            "From Min": ends[0],
            "From Max": ends[1],
            "To Min": to[0],
            "To Max": to[1],
        }
        return self.node("MapRange", inputs, interpolation_type="SMOOTHSTEP").outputs[0]

    def mix(self, share: Value, a: Value, b: Value, blend: str = "MIX") -> Any:
        """Colour `a` where share is 0, `b` where it is 1."""
        node = self.node("Mix", data_type="RGBA", blend_type=blend)
        for index, value in ((0, share), (6, a), (7, b)):
            self._set(node.inputs[index], value)
        return node.outputs[2]

    def noise(
        self, vector: Value, scale: float, detail: float = 2.0, distortion: float = 0.0
    ) -> Any:
        """Perlin noise about 0.5."""
        inputs = {"Vector": vector, "Scale": scale, "Detail": detail, "Distortion": distortion}
        return self.node("TexNoise", inputs).outputs[0]

    def attribute(self, name: str) -> Any:
        """The outputs of an attribute of the mesh, by name."""
        return self.node("Attribute", attribute_name=name, attribute_type="GEOMETRY").outputs

    def property(self, name: str, output: str = "Fac") -> Any:
        """A custom property of the object that has the material."""
        return self.node("Attribute", attribute_name=name, attribute_type="OBJECT").outputs[output]

    def output(self, surface: Any, target: str = "ALL") -> None:
        """Make `surface` what the material shows, in every engine or in one."""
        self.node("OutputMaterial", {"Surface": surface}, target=target)
