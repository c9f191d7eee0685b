"""Explanations as pictures and HTML."""

from .explanation_page import html
from .figures import figure

__all__ = ["figure", "html"]
