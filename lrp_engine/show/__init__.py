"""Explanations as pictures and HTML."""

from .figures import figure
from .page import html

__all__ = ["figure", "html"]
