"""Colour relevance on one scale: red speaks for, blue speaks against, white is nothing."""

from __future__ import annotations

from torch import Tensor

COLOUR_MAP = "bwr"


def limit_of(relevance: Tensor) -> float:
    """Return the symmetric limit of the colour scale: the largest |R|, or 1 if all is zero."""
    return float(relevance.abs().max()) or 1.0


def css_colour(amount: float, limit: float) -> str:
    """Return a CSS colour for one amount on the scale from -limit to limit."""
    strength = min(1.0, abs(amount) / limit)
    fade = round(255 * (1 - strength))
    return f"rgb(255,{fade},{fade})" if amount >= 0 else f"rgb({fade},{fade},255)"


def text_colour(amount: float, limit: float) -> str:
    """Return black or white, whichever reads better on `css_colour`."""
    return "white" if abs(amount) / limit > 0.65 else "black"
