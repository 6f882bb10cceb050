"""Networks in and out: the form of the reference's checkpoints, and ONNX."""
