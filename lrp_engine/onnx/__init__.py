"""ONNX files: from the file to a torch module that captures itself, in the file's own names."""

from .load_model import load
from .onnx_module import OnnxModule
from .unsupported import Unsupported

__all__ = ["OnnxModule", "Unsupported", "load"]
