"""Write the bar that says what the colours mean."""

from __future__ import annotations

from functools import cache

import numpy as np

from ...markup import Markup, element
from ...markup.numbers import plain
from ..colours import LEVELS
from .palette import class_of, map_palette
from .png import data_uri, palette_png

_COLOURS = 255


def write_legend(limit: float, unit: str = "") -> Markup:
    """Write the bar of maps, from against to for, with the amounts at its ends."""
    return _write(element("img", src=_bar(), alt=""), limit, unit)


def write_word_legend(limit: float, unit: str = "") -> Markup:
    """Write the bar of words, whose colours are those of the theme."""
    steps = (element("i", class_=class_of(level)) for level in range(-LEVELS, LEVELS + 1))
    return _write(element("div", *steps, class_="steps"), limit, unit)


def _write(bar: Markup, limit: float, unit: str) -> Markup:
    ends = (f"−{plain(limit)} against", "0", f"for +{plain(limit)}{unit}")
    names = element("div", *(element("span", text) for text in ends), class_="ends")
    return element("div", bar, names, class_="legend")


@cache
def _bar() -> str:
    places = np.arange(_COLOURS, dtype=np.uint8)[None]
    return data_uri(palette_png(places, map_palette(_COLOURS)))
