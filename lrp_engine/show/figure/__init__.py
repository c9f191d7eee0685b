"""Draw relevance with matplotlib, which is imported when the first picture is made."""

from .board import draw_board
from .draw import Part, Picture, draw_picture
from .look import Look, Overlay, Scale
from .sample import Sample

__all__ = ["Look", "Overlay", "Part", "Picture", "Sample", "Scale", "draw_board", "draw_picture"]
