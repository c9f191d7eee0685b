"""Captured graph in, simpler captured graph out; one pass per file, none changes a result."""

from .decompose import decompose
from .drop_inert import drop_inert

__all__ = ["decompose", "drop_inert"]
