"""Draw the outline of a small image over its map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..colours import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Plane = np.ndarray[Any, np.dtype[np.floating[Any]]]


def draw_outline(axes: Axes, image: Plane, finer: int = 8) -> None:
    """Draw the line at half brightness around an image (H, W), closed at the border and smooth.

    An image of one brightness has none.
    """
    if not image.min() < image.max():
        return
    padded = np.pad(image, 1, constant_values=image.min())
    rows, columns = (np.linspace(0, n - 1, (n - 1) * finer + 1) for n in padded.shape)
    smooth = _resampled(_resampled(padded, rows).T, columns).T
    half = float(image.min() + image.max()) / 2
    line: dict[str, Any] = {"levels": [half], "linewidths": 1, "alpha": 0.5}
    axes.contour(columns - 1, rows - 1, smooth, colors=LIGHT.ink, **line)
    height, width = image.shape
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _resampled(values: Plane, at: Plane) -> Plane:
    """Values (N, M) interpolated along the first axis at the given places (K,): (K, M)."""
    places = np.arange(len(values))
    return np.stack([np.interp(at, places, column) for column in values.T], axis=1)
