"""Capture a torch module as a graph of ATen ops."""

from .captured import Captured, InputPort, OutputPort
from .torch_module import capture

__all__ = ["Captured", "InputPort", "OutputPort", "capture"]
