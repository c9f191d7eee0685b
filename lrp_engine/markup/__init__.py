"""Write HTML in which no text can become a tag, and short overviews of objects."""

from .html import Markup, count_elements, element, join, quote
from .overview import Overview, Shown

__all__ = ["Markup", "Overview", "Shown", "count_elements", "element", "join", "quote"]
