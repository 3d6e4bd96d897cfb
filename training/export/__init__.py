"""From trained networks to what the runtime reads: ONNX, safetensors and detail.json."""
