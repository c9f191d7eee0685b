"""Compiled programs in one file: written by an engine, loaded without the model's code."""

from .load import load_package
from .package import Package
from .write import write_package

__all__ = ["Package", "load_package", "write_package"]
