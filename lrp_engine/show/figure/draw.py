"""Put headings and panels together into one figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import InputError
from ..colours import LIGHT
from ..kinds import Kind
from .bar import BAR_HEIGHT, draw_bar
from .heading import Heading
from .look import Look, Scale, View
from .maps import MapPanel
from .panels import Panel, Shown, limits_of, panel_for
from .region import SMALL, TEXT, Region, cut, width_of, write
from .sample import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARGIN, _GAP, _LABEL = 0.22, 0.26, 0.24
_WIDEST = 13.0
_DPI = 150
_SIDE, _SMALL_SIDE = 3.0, 2.0  # of images: one, or several
_BAR = 3.6


@dataclass(frozen=True)
class Part:
    """One sample in a picture, with a line above it; "" for none. `view` is of images alone.

    Parts of one `row` share their colours under `Scale.ROW`.
    """

    shown: Shown
    label: str = ""
    view: View = View.BOTH
    row: int = 0

    @property
    def sample(self) -> Sample:
        """Return what is shown."""
        return self.shown.sample


@dataclass(frozen=True)
class Picture:
    """A heading, and parts side by side in so many columns.

    `foot`: a table below, head first.
    """

    heading: Heading
    parts: Sequence[Part]
    look: Look = field(default_factory=Look)
    columns: int = 1
    foot: Sequence[Sequence[str]] = ()

    @property
    def one_bar(self) -> bool:
        """True if one bar of colours stands below all parts: they are several of one kind."""
        kinds = {part.sample.kind for part in self.parts}
        return len(self.parts) > 1 and len(kinds) == 1 and not kinds & {Kind.TABLE}


def draw_picture(picture: Picture, ax: Axes | None = None) -> Figure:
    """Draw a picture, on axes of the caller's or as a figure of its own.

    Returns:
        A figure that shows itself in notebooks; with `ax`, the figure that it is part of.

    Raises:
        InputError: matplotlib is missing.
    """
    try:
        from .canvas import RelevanceFigure
    except ImportError as error:
        raise InputError("pictures need matplotlib: pip install matplotlib") from error
    if ax is not None:
        return _draw_on(ax, picture)
    layout = lay_out(picture)
    figure = RelevanceFigure(figsize=(layout.width, layout.height), facecolor=LIGHT.paper, dpi=_DPI)
    layout.draw(Region.of_figure(figure))
    return figure


def lay_out(picture: Picture) -> Layout:
    """Return where everything of a picture is; it can be drawn on any region of its size."""
    return Layout(picture, _panels(picture))


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, sizes in inches. Raises InputError if matplotlib is missing."""
    try:
        from .canvas import RelevanceFigure
    except ImportError as error:
        raise InputError("pictures need matplotlib: pip install matplotlib") from error
    return RelevanceFigure(figsize=(width, height), layout="constrained")


def _panels(picture: Picture) -> list[Panel]:
    samples = [part.sample for part in picture.parts]
    limits = limits_of(samples, picture.look, [part.row for part in picture.parts])
    bar, side = not picture.one_bar, _SIDE if len(samples) == 1 else _SMALL_SIDE
    return [
        panel_for(part.shown, picture.look, limit, bar=bar, side=side, view=part.view)
        for part, limit in zip(picture.parts, limits, strict=True)
    ]


def _draw_on(ax: Axes, picture: Picture) -> Figure:
    """Draw the one part on a user's axes, with the title above them: of an image, the map alone."""
    if len(picture.parts) != 1:
        raise InputError("ax= takes one source of one sample: name them, source= and sample=")
    region, (part,) = Region.of_axes(ax), picture.parts
    (limit,) = limits_of([part.sample], picture.look)
    if part.sample.kind is Kind.IMAGE:
        region = region.shrunk_to(*part.sample.amounts.shape)
        side, view = max(region.width, region.height), View.MAP
        MapPanel(part.sample, picture.look, limit, False, view, side, captions=False).draw(region)
    else:
        shown, look = part.shown, picture.look
        panel_for(shown, look, limit, bar=False, side=_SIDE, view=View.BOTH).draw(region)
    ax.set_title(picture.heading.title, size=SMALL, color=LIGHT.ink, loc="left").set_parse_math(
        False
    )
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


@dataclass(frozen=True)
class Layout:
    """Say where everything is, in inches from the top left corner."""

    picture: Picture
    panels: Sequence[Panel]

    @property
    def columns(self) -> int:
        """Return how many parts are side by side: fewer than wished where they are too wide."""
        fit = int((_WIDEST - 2 * _MARGIN + _GAP) // (self._cell + _GAP))
        return max(1, min(self.picture.columns, fit, len(self.panels)))

    @property
    def _cell(self) -> float:
        return max(panel.width for panel in self.panels)

    @property
    def width(self) -> float:
        """The width of the figure."""
        return max(4.4, self.columns * (self._cell + _GAP) - _GAP + 2 * _MARGIN)

    @property
    def height(self) -> float:
        """The height of the figure."""
        rows = sum(height + _GAP for height in self._row_heights()) - _GAP
        below = self._bar_height + self._foot_height
        return _MARGIN + self.picture.heading.height + rows + below + _MARGIN

    @property
    def _bar_height(self) -> float:
        return BAR_HEIGHT + 0.14 if self.picture.one_bar else 0.0

    @property
    def _foot_height(self) -> float:
        return 0.2 * len(self.picture.foot) + 0.3 if self.picture.foot else 0.0

    def _row_heights(self) -> list[float]:
        heights = [
            panel.height(self._panel_width) + _LABEL * bool(part.label)
            for panel, part in zip(self.panels, self.picture.parts, strict=True)
        ]
        return [max(heights[i : i + self.columns]) for i in range(0, len(heights), self.columns)]

    @property
    def _is_one_scale(self) -> bool:
        """True if colours mean the same number in all parts."""
        own = self.picture.look.scale is Scale.OWN
        return not own and len({panel.limit.end for panel in self.panels}) == 1

    @property
    def _panel_width(self) -> float:
        """The width of each panel: all there is if they stand below each other."""
        return self.width - 2 * _MARGIN if self.columns == 1 else self._cell

    def draw(self, region: Region) -> None:
        """Draw heading, parts and foot."""
        heading, inside = self.picture.heading, self.width - 2 * _MARGIN
        heading.draw(region.part(_MARGIN, _MARGIN, inside, heading.height))
        y = _MARGIN + heading.height
        pairs = list(zip(self.picture.parts, self.panels, strict=True))
        for row, height in enumerate(self._row_heights()):
            for column, (part, panel) in enumerate(pairs[row * self.columns :][: self.columns]):
                x = _MARGIN + column * (self._cell + _GAP)
                self._draw_part(region.part(x, y, self._panel_width, height), part, panel)
            y += height + _GAP
        self._draw_below(region.part(_MARGIN, y - _GAP, inside, self.height - y))

    def _draw_below(self, region: Region) -> None:
        """Draw the one bar of all parts, and the table."""
        y, look = 0.0, self.picture.look
        if self.picture.one_bar:
            bar = region.part(0, 0.14, min(_BAR, region.width), BAR_HEIGHT)
            draw_bar(bar, self.panels[-1].limit, look, shared=self._is_one_scale)
            y = self._bar_height
        if self.picture.foot:
            below = region.part(0, y + 0.3, region.width, self._foot_height - 0.3)
            _draw_table(below, self.picture.foot)

    def _draw_part(self, region: Region, part: Part, panel: Panel) -> None:
        top = 0.0
        if part.label:
            sheet = region.part(0, 0, region.width, _LABEL).sheet()
            label = cut(part.label, region.width, TEXT)
            write(sheet, 0, 0.1, label, size=TEXT, weight="bold")
            top = _LABEL
        panel.draw(region.part(0, top, region.width, region.height - top))


def _draw_table(region: Region, rows: Sequence[Sequence[str]]) -> None:
    """Draw a table, its head in bold, numbers to the right of their columns."""
    sheet = region.sheet()
    widths = [
        max(width_of(row[i], SMALL, "bold") for row in rows) + 0.25 for i in range(len(rows[0]))
    ]
    for y, row in enumerate(rows):
        x = 0.0
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            x += width
            place = (x - 0.25, "right") if i else (0.0, "left")
            weight = "bold" if y == 0 or i == 0 else "normal"
            write(sheet, place[0], 0.1 + 0.2 * y, cell, ha=place[1], weight=weight)
