"""Write HTML in which no text can become a tag, and short overviews of objects."""

from .html import Markup, count_elements, element, join, quote
from .overview import MOST_ROWS, Overview, Shown

__all__ = ["MOST_ROWS", "Markup", "Overview", "Shown", "count_elements", "element", "join", "quote"]
