"""ONNX files: graph -> torch module -> the very same capture."""

from .capture import capture_onnx
from .errors import Unsupported
from .module import OnnxModule, load

__all__ = ["OnnxModule", "Unsupported", "capture_onnx", "load"]
