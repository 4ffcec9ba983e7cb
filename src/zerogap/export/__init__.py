"""Models of other libraries: PyTorch in and out, ONNX out. Neither is imported before a function needs it."""
