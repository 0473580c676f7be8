"""A finished run's network as a file for elsewhere: safetensors, a compact sparse file or ONNX, and a model card."""
