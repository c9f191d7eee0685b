"""Colour relevance on one scale: red speaks for, blue speaks against, white is nothing.

The colours end equally light on both sides, and stay apart where red and green are seen alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from torch import Tensor

Colour = tuple[int, int, int]
LEVELS = 10  # of strength on each side, for what is coloured by class


@dataclass(frozen=True)
class Theme:
    """The colours of pictures on light or on dark paper, as hex codes.

    `scale` runs from fully against over nothing to fully for, in equal steps.
    """

    scale: tuple[str, ...]
    speaks_for: str
    speaks_against: str
    absorbed: str
    ink: str
    quiet: str
    paper: str


LIGHT: Theme = Theme(
    scale=("#0b3c7d", "#2f79b9", "#9cc7e0", "#ffffff", "#f4ae90", "#cf4a41", "#7f0a1f"),
    speaks_for="#b3362f",
    speaks_against="#1f66a8",
    absorbed="#6b7280",
    ink="#1f2328",
    quiet="#5b6470",
    paper="#ffffff",
)
DARK: Theme = Theme(
    scale=("#9fd0f5", "#4f97d3", "#234f7c", "#15181c", "#7c2f2a", "#d8675c", "#ffc0ab"),
    speaks_for="#f08a7c",
    speaks_against="#7ab8ee",
    absorbed="#8b93a0",
    ink="#e8eaed",
    quiet="#a4adb9",
    paper="#15181c",
)


def colour_at(strength: float, theme: Theme = LIGHT) -> Colour:
    """Return the colour of a strength from -1, fully against, to 1, fully for.

    Example:
        >>> from lrp_engine.show.colours import colour_at
        >>> colour_at(0.0), colour_at(1.0), colour_at(-0.5)
        ((255, 255, 255), (127, 10, 31), (102, 160, 204))
    """
    stops = [rgb(stop) for stop in theme.scale]
    place = (min(1.0, max(-1.0, strength)) + 1) / 2 * (len(stops) - 1)
    below = min(int(place), len(stops) - 2)
    part = place - below
    low, high = stops[below], stops[below + 1]
    mixed = [round(a + (b - a) * part) for a, b in zip(low, high, strict=True)]
    return mixed[0], mixed[1], mixed[2]


@cache
def rgb(code: str) -> Colour:
    """Return red, green and blue of a hex code `#rrggbb`, from 0 to 255."""
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def hex_code(colour: Colour) -> str:
    """Return the hex code of a colour."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def text_on(colour: Colour) -> str:
    """Return black or white, whichever contrasts more with a colour."""
    on_black, on_white = contrast(colour, (0, 0, 0)), contrast(colour, (255, 255, 255))
    return "#000000" if on_black >= on_white else "#ffffff"


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast of two colours after WCAG: 1 for equal ones, 21 for black on white."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    parts = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


COLOUR_MAP = "bwr"


def limit_of(relevance: Tensor) -> float:
    """Return the symmetric limit of the colour scale: the largest |R|, or 1 if all is zero."""
    return float(relevance.abs().max()) or 1.0
