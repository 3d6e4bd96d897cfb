"""Names of the networks' files: Blender's panels look for them without loading what runs them."""

from __future__ import annotations

from ...formats.files import ASSETS

DETAIL = ASSETS / "detail"
"""The folder of the networks that ship."""

NETWORKS = ("encoder.onnx", "noise.onnx", "bases.onnx", "generator.onnx")
TORCH_NETWORKS = ("encoder.safetensors", "generator.safetensors")
"""Files that engines load."""

DIRECTIONS, MAPPING = "directions.safetensors", "mapping.onnx"
"""What detail adjustments and random people need, and nothing else does."""
