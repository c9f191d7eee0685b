"""Draw several pictures as one: columns of equal width, each picture in the shortest so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..colours import LIGHT
from .draw import Layout, Picture, lay_out, new_figure
from .region import Region

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 2
_DPI = 100


def draw_board(pictures: Sequence[Picture], columns: int = _COLUMNS) -> Figure:
    """Return a figure of all pictures, in the order of reading as far as their heights allow.

    Args:
        pictures: What is drawn, at least one.
        columns: So many side by side.

    Raises:
        InputError: matplotlib is missing.
    """
    layouts = [lay_out(picture) for picture in pictures]
    width = max(layout.width for layout in layouts)
    heights = [0.0] * columns
    places: list[tuple[Layout, float, float]] = []
    for layout in layouts:
        column = heights.index(min(heights))
        places.append((layout, column * width, heights[column]))
        heights[column] += layout.height
    figure = new_figure(columns * width, max(heights))
    figure.set(dpi=_DPI, facecolor=LIGHT.paper, layout_engine="none")
    page = Region.of_figure(figure)
    for layout, left, top in places:
        layout.draw(page.part(left, top, layout.width, layout.height))
    return figure
