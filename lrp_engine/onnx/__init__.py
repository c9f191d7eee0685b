"""ONNX files: graph -> torch module -> the very same capture."""

from .capture_onnx import capture_onnx
from .load_model import load, with_output
from .onnx_module import OnnxModule
from .unsupported import Unsupported

__all__ = ["OnnxModule", "Unsupported", "capture_onnx", "load", "with_output"]
