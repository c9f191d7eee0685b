"""The single pictures of a sheet: an image, a relevance map, the colour bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..show.figure import Look
from ..show.figure.outline import draw_outline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HeatMap = npt.NDArray[np.floating[Any]]

FRAME = "#c9ced6"


def draw_image(axes: Axes, image: HeatMap) -> None:
    """Draw an image (H, W) in grey, ink dark on white paper."""
    axes.imshow(image, cmap="gray_r", interpolation="nearest")
    _frame(axes)


def draw_map(axes: Axes, relevance: HeatMap, image: HeatMap) -> None:
    """Draw a relevance map (H, W) in colours symmetric around zero, under the image's outline."""
    limit = float(np.abs(relevance).max()) or 1.0
    axes.imshow(relevance, cmap=Look().colours(), vmin=-limit, vmax=limit, interpolation="nearest")
    draw_outline(axes, image)
    _frame(axes)


def draw_colour_bar(axes: Axes, words: list[str]) -> None:
    """Draw all colours from left to right, with words for the least, zero and the most."""
    ramp = np.linspace(-1, 1, 256)[None]
    axes.imshow(ramp, cmap=Look().colours(), aspect="auto", extent=(-1, 1, 0, 1))
    _frame(axes)
    axes.set_xticks([-1, 0, 1], words)


def _frame(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=FRAME, linewidth=0.8)
