"""The single pictures of a sheet: an image, a relevance map, the colour bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..show.colours import LIGHT
from ..show.figure import Look

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
    if image.min() < image.max():
        _outline(axes, image)
    _frame(axes)


def draw_colour_bar(axes: Axes, words: list[str]) -> None:
    """Draw all colours from left to right, with words for the least, zero and the most."""
    ramp = np.linspace(-1, 1, 256)[None]
    axes.imshow(ramp, cmap=Look().colours(), aspect="auto", extent=(-1, 1, 0, 1))
    _frame(axes)
    axes.set_xticks([-1, 0, 1], words)


def _outline(axes: Axes, image: HeatMap, finer: int = 8) -> None:
    """Draw the line at half brightness around an image (H, W), closed at the border and smooth."""
    padded = np.pad(image, 1, constant_values=image.min())
    rows, columns = (np.linspace(0, n - 1, (n - 1) * finer + 1) for n in padded.shape)
    smooth = _resampled(_resampled(padded, rows).T, columns).T
    half = (image.min() + image.max()) / 2
    line = {"levels": [half], "colors": LIGHT.ink, "linewidths": 1, "alpha": 0.5}
    axes.contour(columns - 1, rows - 1, smooth, **line)
    height, width = image.shape
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _resampled(values: HeatMap, at: HeatMap) -> HeatMap:
    """Values (N, M) interpolated along the first axis at the given places (K,): (K, M)."""
    places = np.arange(len(values))
    return np.stack([np.interp(at, places, column) for column in values.T], axis=1)


def _frame(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=FRAME, linewidth=0.8)
