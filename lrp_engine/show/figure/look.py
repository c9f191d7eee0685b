"""Define how a picture is to look, as the caller wishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, TypeVar

from ...errors import InputError, suggest
from ..colours import LIGHT

_Choice = TypeVar("_Choice", bound=Enum)


class Overlay(Enum):
    """Say how a map lies over its image."""

    GHOST = "ghost"  # in its own colours, over a pale grey copy of the image; its outline if small
    ALPHA = "alpha"  # the image in true colours below; the stronger, the less of it is seen
    BESIDE = "beside"  # the map alone


class View(Enum):
    """Hold what is shown of an image and its map."""

    BOTH = "both"
    MAP = "map"
    IMAGE = "image"


class Scale(Enum):
    """Say which pictures share the end of their colours."""

    OWN = "own"
    ROW = "row"  # the sources of one sample, or the explanations that are compared
    ALL = "all"


@dataclass(frozen=True)
class Look:
    """Say how a picture is to look.

    Args:
        overlay: How a map lies over its image.
        absolute: Show |R|, without signs.
        scale: Which pictures share a scale, or the number at which all colours end.
        clip: Per cent of the entries of large maps that are within the colours; 100: all.
            None: 99.5, and of spectrograms 99.9.
        cmap: Colours of maps: a name or a colour map of matplotlib; None: blue over white to red.
        contour: Draw lines at half the limit, dashed where relevance is negative: for grey print.
        pieces: Show the pieces of words, not whole words.
        waterfall: Show tables as a waterfall from 0 to the explained number.
        top: How many features, frames or channels are shown.
    """

    overlay: Overlay = Overlay.GHOST
    absolute: bool = False
    scale: Scale | float = Scale.OWN
    clip: float | None = None
    cmap: Any = None
    contour: bool = False
    pieces: bool = False
    waterfall: bool = False
    top: int | None = None

    def colours(self) -> Any:
        """Return the colour map: white at zero, which needs an odd number of colours."""
        from matplotlib import colormaps
        from matplotlib.colors import LinearSegmentedColormap

        if self.cmap is not None:
            if not isinstance(self.cmap, str):
                return self.cmap
            if self.cmap not in colormaps:
                raise InputError(f"matplotlib has no colour map {self.cmap!r}")
            return colormaps[self.cmap]
        return LinearSegmentedColormap.from_list("against_to_for", LIGHT.scale, N=257)


def choose(kinds: type[_Choice], word: str | _Choice, what: str) -> _Choice:
    """Return a choice by its name. Raises InputError if there is none of that name."""
    if isinstance(word, kinds):
        return word
    known = {choice.value: choice for choice in kinds}
    if word not in known:
        raise InputError(f"{what}={word!r}{suggest(str(word), known)}")
    return known[str(word)]


def read_look(wanted: Mapping[str, Any], *, waterfall: bool = False) -> Look:
    """Return the look that keyword arguments ask for.

    Raises:
        InputError: There is no such argument, or no such choice.
    """
    known = [f.name for f in fields(Look)]
    for name in wanted:
        if name not in known:
            raise InputError(f"plot() knows no {name!r}{suggest(name, known)}")
    found = dict(wanted)
    if "overlay" in found:
        found["overlay"] = choose(Overlay, found["overlay"], "overlay")
    scale = found.get("scale", Scale.OWN)
    found["scale"] = choose(Scale, scale, "scale") if isinstance(scale, (str, Scale)) else scale
    if not isinstance(found["scale"], Scale) and not found["scale"] > 0:
        raise InputError(f"scale={scale}: colours end at a number above 0")
    clip = found.get("clip")
    if clip is not None and not 0 < clip <= 100:
        raise InputError(f"clip={clip}: per cent of the entries, above 0 and at most 100")
    return Look(**{"waterfall": waterfall} | found)
