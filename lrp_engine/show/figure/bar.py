"""Draw the bar that says what the colours mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...markup.numbers import plain, signed
from ..colours import LIGHT
from ..limits import Limit
from .look import Look
from .region import SMALL, Region, width_of, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAR_HEIGHT = 0.4


def draw_bar(region: Region, limit: Limit, look: Look, *, shared: bool = True) -> None:
    """Draw the colours from left to right, with the numbers at both ends.

    Args:
        region: 0.4 inches high, at least 3 wide.
        limit: Where the colours end.
        look: Of the picture.
        shared: False if the pictures have scales of their own: the bar then has words alone.
    """
    axes = region.part(0, 0.02, region.width, 0.11).axes()
    low = 0.0 if look.absolute else -1.0
    ramp = np.linspace(low, 1, 257)[None]
    axes.imshow(ramp, cmap=look.colours(), vmin=-1, vmax=1, aspect="auto", extent=(low, 1, 0, 1))
    frame(axes)
    if limit.is_cut and shared:
        _point_beyond(axes, low)
    texts = [f"against {signed(-limit.end)}", "no say", f"for {signed(limit.end)}"]
    if not shared:
        texts = ["speaks against", "no say", "speaks for"]
    if sum(map(width_of, texts)) > region.width:
        texts = [signed(-limit.end), "", signed(limit.end)]
    if look.absolute:
        texts = ["", "0", plain(limit.end) if shared else "most"]
    sheet = region.part(0, 0.13, region.width, region.height - 0.13).sheet()
    middle = 0.0 if look.absolute else region.width / 2
    ends = ((0.0, "left"), (middle, "left" if look.absolute else "center"), (region.width, "right"))
    for (x, side), text in zip(ends, texts, strict=True):
        write(sheet, x, 0.11, text, ha=side, color=LIGHT.quiet, size=SMALL)


def _point_beyond(axes: Axes, low: float) -> None:
    """Draw an arrow at each end at which there is more."""
    colours = axes.images[0].cmap
    for x, side in ((1.0, 1), (low, -1)):
        if x:
            points = [(x, 0.05), (x + side * 0.025, 0.5), (x, 0.95)]
            colour = colours(0.0 if side < 0 else 1.0)
            axes.fill(*zip(*points, strict=True), color=colour, clip_on=False)
    axes.set_xlim(low, 1)


def frame(axes: Axes) -> None:
    """Take ticks away, and draw a thin frame."""
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color="#c9ced6", linewidth=0.6)
