"""Write the explorer: one page, with its data and the script that shows them."""

from .page import write_circuit_page, write_page
from .scene import Layer, LedgerLine, OpLine, Scene, TargetScene, Traces

__all__ = [
    "Layer",
    "LedgerLine",
    "OpLine",
    "Scene",
    "TargetScene",
    "Traces",
    "write_circuit_page",
    "write_page",
]
