"""Give relevance its colours: places in the palette of a PNG, classes of words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..colours import LEVELS, colour_at
from .png import Colour

_DARKEST_TONE = 0.82


def levels(relevance: Tensor, limit: float, count: int) -> NDArray[np.uint8]:
    """Return for each entry its place among `count` colours, an odd number; none is in the middle.

    Args:
        relevance: Any shape.
        limit: Where the colours end, above 0.
        count: Of the colours, at most 255.
    """
    half = count // 2
    scaled = (relevance.double() / limit * half).round().clamp(-half, half)
    places: NDArray[np.uint8] = (scaled + half).numpy().astype(np.uint8)
    return places


def map_palette(count: int) -> list[Colour]:
    """Return `count` colours from against to for."""
    half = count // 2
    return [colour_at(i / half) for i in range(-half, half + 1)]


def ghost_palette(count: int, tones: int) -> list[Colour]:
    """Return `count` colours in as many tones of a pale image: at place `colour * tones + tone`."""
    shades = [_DARKEST_TONE + (1 - _DARKEST_TONE) * t / (tones - 1) for t in range(tones)]
    return [
        (round(r * shade), round(g * shade), round(b * shade))
        for r, g, b in map_palette(count)
        for shade in shades
    ]


def word_class(amount: float, limit: float) -> str:
    """Return the CSS class of a word: `p10` is fully for, `n10` fully against, `p0` nothing."""
    return class_of(max(-LEVELS, min(LEVELS, round(LEVELS * amount / limit))))


def class_of(level: int) -> str:
    """Return the CSS class of a level from -10 to 10."""
    return f"n{-level}" if level < 0 else f"p{level}"
