"""ONNX files: graph -> torch module -> the very same capture."""

from .errors import Unsupported
from .module import OnnxModule, load

__all__ = ["OnnxModule", "Unsupported", "load"]
