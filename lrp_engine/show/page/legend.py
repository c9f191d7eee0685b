"""Write the bar that says what the colours mean."""

from __future__ import annotations

from functools import cache

import numpy as np

from ...markup import Markup, element
from ...markup.numbers import plain
from .palette import map_palette
from .png import data_uri, palette_png

_COLOURS = 255


def write_legend(limit: float, unit: str = "") -> Markup:
    """Write the bar, from against to for, with the amounts at its ends."""
    ends = (f"−{plain(limit)}{unit} against", "0", f"for +{plain(limit)}{unit}")
    bar = element("img", src=_bar(), alt="")
    return element("div", bar, *(element("span", text) for text in ends), class_="legend")


@cache
def _bar() -> str:
    places = np.arange(_COLOURS, dtype=np.uint8)[None]
    return data_uri(palette_png(places, map_palette(_COLOURS)))
