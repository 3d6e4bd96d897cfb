"""The engines by name: everything else that lists them reads this table.

Standard library only: launch.py and Blender's preferences need it before any package is there.
"""

from __future__ import annotations

from dataclasses import dataclass

AUTO = "auto"
"""Stands for the engine that :func:`.engines.choose` takes."""


@dataclass(frozen=True)
class Kind:
    """An engine.

    Attributes
    ----------
    title
        Its name for people.
    package
        What is imported and whose version counts.
    description
        For whom it is.
    remedy
        How it is added where it is missing.
    """

    title: str
    package: str
    description: str
    remedy: str


KINDS = {
    "torch": Kind(
        "PyTorch",
        "torch",
        "For a GPU, where the chosen Python has PyTorch",
        "Add it with: make train-env",
    ),
    "openvino": Kind(
        "OpenVINO",
        "openvino",
        "Faster on many CPUs, where it was added",
        'Add it with: .venv/bin/pip install "furrow[openvino]"',
    ),
    "ort": Kind("ONNX Runtime", "onnxruntime", "Runs on every CPU; comes with Furrow", ""),
}
"""By the word of flags and messages, the most preferred first."""

CHOICES = (AUTO, *reversed(KINDS))
"""What a flag or a preference may say, what ships first."""
