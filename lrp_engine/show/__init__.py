"""Show relevance as figures and HTML."""

from .figures import draw_figure

__all__ = ["draw_figure"]
