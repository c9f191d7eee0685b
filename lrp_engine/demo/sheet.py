"""Draws explanations of images as one sheet: the inputs, and one heatmap per preset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lrp_engine.demo.sheet_layout import Layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Map = npt.NDArray[np.floating[Any]]

INK, QUIET, FRAME = "#1f2328", "#667080", "#c9ced6"
COLOURS = "RdBu_r"


@dataclass(frozen=True)
class Explained:
    """One class, and the relevance (H, W) of every pixel for it, by preset."""

    label: str
    maps: Mapping[str, Map]


@dataclass(frozen=True)
class SheetRow:
    """One image (H, W), what was said about it, and one or more explained classes."""

    image: Map
    title: str
    explained: Sequence[Explained]


def heatmap_sheet(rows: list[SheetRow], presets: list[str]) -> Figure:
    """A figure with one band per row: the image, then its maps, one column per preset."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "The sheet is drawn with matplotlib. Install the demo extra: "
            "pip install 'lrp-engine[demo]'"
        ) from error
    layout = Layout([len(row.explained) for row in rows], columns=len(presets))
    figure = Figure(figsize=(layout.width, layout.height), facecolor="white", dpi=150)
    _draw_headings(figure, layout, presets)
    for number, row in enumerate(rows):
        _draw_band(figure, layout, number, row, presets)
    _draw_legend(figure, layout)
    return figure


def _draw_headings(figure: Figure, layout: Layout, presets: list[str]) -> None:
    x, y = layout.at(layout.margin, layout.title_y)
    figure.text(x, y, "What did the model look at?", size=19, weight="bold", color=INK, va="top")
    x, y = layout.at(layout.margin, layout.subtitle_y)
    figure.text(x, y, layout.subtitle(), size=10.5, color=QUIET, va="top", linespacing=1.5)
    headings = [(layout.image_centre, "the image")]
    headings += [(layout.map_centre(i), preset) for i, preset in enumerate(presets)]
    for centre, heading in headings:
        x, y = layout.at(centre, layout.headings_y)
        figure.text(x, y, heading, size=11, weight="bold", color=INK, ha="center", va="bottom")


def _draw_band(
    figure: Figure, layout: Layout, number: int, row: SheetRow, presets: list[str]
) -> None:
    """One image with its title, and one line of maps per explained class."""
    axes = figure.add_axes(layout.image_box(number))
    axes.imshow(row.image, cmap="gray_r", interpolation="nearest")
    _frame(axes)
    axes.set_title(row.title, size=10, color=INK, pad=6)
    for line, explained in enumerate(row.explained):
        x, y = layout.question_at(number, line)
        figure.text(x, y, f"what makes\nit a {explained.label}?", size=10, color=INK, **_CENTRED)
        for column, preset in enumerate(presets):
            axes = figure.add_axes(layout.map_box(number, line, column))
            _draw_map(axes, explained.maps[preset], row.image)


_CENTRED: dict[str, Any] = {"ha": "center", "va": "center", "linespacing": 1.4}


def _draw_map(axes: Axes, relevance: Map, image: Map) -> None:
    """A relevance map (H, W) in colours symmetric around zero, under the image's outline."""
    limit = float(np.abs(relevance).max()) or 1.0
    axes.imshow(relevance, cmap=COLOURS, vmin=-limit, vmax=limit, interpolation="nearest")
    if image.min() < image.max():
        middle = (image.min() + image.max()) / 2
        axes.contour(image, levels=[middle], colors=INK, linewidths=0.9, alpha=0.45)
    _frame(axes)


def _frame(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=FRAME, linewidth=0.8)


def _draw_legend(figure: Figure, layout: Layout) -> None:
    """The colour bar under the maps, in words."""
    bar = figure.add_axes(layout.legend_box())
    bar.imshow(np.linspace(-1, 1, 256)[None], cmap=COLOURS, aspect="auto", extent=(-1, 1, 0, 1))
    _frame(bar)
    bar.set_xticks([-1, 0, 1], ["speaks against it", "no say", "speaks for it"])
    bar.tick_params(length=0, pad=5, labelsize=10, labelcolor=INK)
    x, y = layout.at(layout.width / 2, layout.footnote_y)
    figure.text(x, y, layout.footnote, size=8.5, color=QUIET, ha="center", va="bottom")
