"""Draw memory over time, one curve per policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..promises.policy import format_bytes
from .figure.draw import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..promises.memory import Timeline

_COLOURS = ("#c0392b", "#d98e04", "#2c5fa8", "#2e8b57", "#7d5ba6")


def draw_memory(timelines: Mapping[str, Timeline]) -> Figure:
    """Draw the bytes alive at every op, one curve per name.

    Both programs are stretched to the same width, since policies that recompute have more ops.
    Raises InputError if matplotlib is missing.
    """
    top = max((t.peak for t in timelines.values()), default=0)
    scale, unit = _unit(top)
    figure = new_figure(8.0, 4.2)
    axis = figure.subplots()
    for i, (name, timeline) in enumerate(timelines.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        heights = [count / scale for count in timeline.bytes]
        label = f"{name}: peak {format_bytes(timeline.peak)}"
        axis.plot(_positions(timeline), heights, color=colour, linewidth=1.3, label=label)
        axis.axhline(timeline.peak / scale, color=colour, linewidth=0.7, linestyle=":")
    axis.axvline(1.0, color="black", linewidth=0.8)
    axis.set_xlim(0.0, 2.0)
    axis.set_ylim(0.0, 1.4 * top / scale or 1.0)
    axis.set_xticks([0.5, 1.5], ["forward pass", "relevance program"])
    axis.tick_params(axis="x", length=0)
    axis.set_ylabel(f"alive beside parameters and inputs, {unit}")
    axis.legend(loc="upper left", frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def _positions(timeline: Timeline) -> list[float]:
    """Return 0 to 1 in the forward pass, 1 to 2 in the relevance program."""
    first, second = timeline.forward_steps, len(timeline.bytes) - timeline.forward_steps
    return [(i + 1) / first for i in range(first)] + [1 + (i + 1) / second for i in range(second)]


def _unit(top: int) -> tuple[float, str]:
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if top >= scale:
            return scale, unit
    return 1.0, "bytes"
