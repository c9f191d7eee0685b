"""ONNX files: graph -> torch module -> the very same capture."""

from .capture import capture_onnx
from .errors import Unsupported
from .load import load, with_output
from .module import OnnxModule

__all__ = ["OnnxModule", "Unsupported", "capture_onnx", "load", "with_output"]
