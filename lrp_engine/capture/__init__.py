"""Torch module in, `Captured` graph of primitive ops out."""

from .captured import Captured, InputPort, OutputPort
from .torch_module import capture

__all__ = ["Captured", "InputPort", "OutputPort", "capture"]
