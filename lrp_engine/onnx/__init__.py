"""ONNX files in: read, checked, turned into a torch module, captured like any other model."""
