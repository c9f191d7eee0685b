"""Show relevance as figures and HTML."""

from .explanation_page import write_html
from .figures import draw_figure

__all__ = ["draw_figure", "write_html"]
