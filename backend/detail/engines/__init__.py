"""What runs the networks of detail: ONNX Runtime, OpenVINO, PyTorch, and which of them is taken."""
