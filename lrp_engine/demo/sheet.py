"""Draw explanations of images as one sheet: the inputs, and one heatmap per preset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..show.colours import LIGHT
from .sheet_layout import COLUMNS, SheetLayout
from .sheet_map import (
    HeatMap,
    draw_colour_bar,
    draw_image,
    draw_map,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, QUIET, RULE = LIGHT.ink, LIGHT.quiet, "#e4e7ec"


@dataclass(frozen=True)
class ExplainedClass:
    """One class, and the relevance (H, W) of every pixel for it, by preset.

    The note, if any, says in a few words why this class is shown ("its answer", "the truth").
    """

    label: str
    maps: Mapping[str, HeatMap]
    note: str = ""


@dataclass(frozen=True)
class SheetRow:
    """One image (H, W), what was said about it, and one or more explained classes."""

    image: HeatMap
    title: str
    explained: Sequence[ExplainedClass]


def draw_heatmap_sheet(rows: list[SheetRow], presets: list[str], about: str = COLUMNS) -> Figure:
    """Draw a figure with one band per row: the image, then its maps, one column per preset.

    `about` says in one line what the columns are.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("the sheet is drawn with matplotlib: pip install matplotlib") from error
    layout = SheetLayout([len(row.explained) for row in rows], columns=len(presets), about=about)
    figure = Figure(figsize=(layout.width, layout.height), facecolor="white", dpi=150)
    _draw_headings(figure, layout, presets)
    for number, row in enumerate(rows):
        _draw_rule(figure, layout, number)
        _draw_band(figure, layout, number, row, presets)
    _draw_legend(figure, layout)
    return figure


def _draw_headings(figure: Figure, layout: SheetLayout, presets: list[str]) -> None:
    x, y = layout.at(layout.margin, layout.title_y)
    figure.text(x, y, "What did the model look at?", size=19, weight="bold", color=INK, va="top")
    x, y = layout.at(layout.margin, layout.subtitle_y)
    figure.text(x, y, layout.subtitle(), size=10.5, color=QUIET, va="top", linespacing=1.5)
    headings = [(layout.image_centre, "the image")]
    headings += [(layout.map_centre(i), _broken(name)) for i, name in enumerate(presets)]
    for centre, heading in headings:
        x, y = layout.at(centre, layout.headings_y)
        figure.text(x, y, heading, size=10.5, weight="bold", color=INK, ha="center", va="bottom")


def _broken(name: str, longest: int = 14) -> str:
    """Break a long name on two lines, before an underscore."""
    cut = name.rfind("_", 1, longest)
    return name if len(name) <= longest or cut < 0 else f"{name[:cut]}\n{name[cut:]}"


def _draw_rule(figure: Figure, layout: SheetLayout, number: int) -> None:
    """Draw a thin line above a band."""
    from matplotlib.lines import Line2D

    left, y = layout.at(layout.margin, layout.rule_y(number))
    right, _ = layout.at(layout.width - layout.margin, 0)
    figure.add_artist(Line2D([left, right], [y, y], color=RULE, linewidth=1))


def _draw_band(
    figure: Figure, layout: SheetLayout, number: int, row: SheetRow, presets: list[str]
) -> None:
    """Draw one image with its title, and one line of maps per explained class."""
    axes = figure.add_axes(layout.image_box(number))
    draw_image(axes, row.image)
    axes.set_title(row.title, size=9.5, color=INK, pad=6)
    for line, explained in enumerate(row.explained):
        _draw_question(figure, layout, (number, line), explained)
        for column, preset in enumerate(presets):
            axes = figure.add_axes(layout.map_box(number, line, column))
            draw_map(axes, explained.maps[preset], row.image)


def _draw_question(
    figure: Figure, layout: SheetLayout, place: tuple[int, int], explained: ExplainedClass
) -> None:
    """Write the class that a line of maps is about to the left of it."""
    x, y = layout.question_at(*place)
    step = 0.26 / layout.height
    texts = [("for or against", 9, QUIET), (explained.label, 17, INK), (explained.note, 9, QUIET)]
    for offset, (text, size, colour) in zip((step, 0, -step), texts, strict=True):
        figure.text(x, y + offset, text, size=size, color=colour, ha="center", va="center")


def _draw_legend(figure: Figure, layout: SheetLayout) -> None:
    """Draw the colour bar under the maps, in words."""
    bar = figure.add_axes(layout.legend_box())
    draw_colour_bar(bar, ["speaks against", "no say", "speaks for"])
    bar.tick_params(length=0, pad=5, labelsize=10, labelcolor=INK)
    x, y = layout.at(layout.width / 2, layout.footnote_y)
    figure.text(x, y, layout.footnote, size=8.5, color=QUIET, ha="center", va="bottom")
