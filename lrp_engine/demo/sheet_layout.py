"""Lay out a sheet, in inches from its top left corner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

Box = tuple[float, float, float, float]

SUBTITLE = (
    "Each line of maps takes one image and one possible answer.",
    "Red pixels speak for that answer, blue pixels against it; the stronger the colour, the more.",
)
COLUMNS = "The columns are different recipes for sharing out the model's answer over the pixels."


@dataclass(frozen=True)
class SheetLayout:
    """A sheet with `lines[i]` lines of maps in band i, and `columns` maps in every line.

    `about` says in one line what the columns are.
    """

    lines: Sequence[int]
    columns: int
    about: str = COLUMNS

    margin: ClassVar[float] = 0.45
    cell: ClassVar[float] = 1.35
    gap: ClassVar[float] = 0.16
    question_width: ClassVar[float] = 1.35
    band_gap: ClassVar[float] = 0.56
    title_room: ClassVar[float] = 0.38
    title_y: ClassVar[float] = 0.4
    subtitle_y: ClassVar[float] = 0.88
    headings_y: ClassVar[float] = 2.2
    first_band_y: ClassVar[float] = 2.72
    legend_height: ClassVar[float] = 0.85
    footnote: ClassVar[str] = (
        "Every map has its own colour scale. The thin line is the outline of the image."
    )

    @property
    def width(self) -> float:
        """The width of the sheet; at least that of the text above the maps."""
        return max(7.6, self._maps_left + self.columns * (self.cell + self.gap) + self.margin)

    @property
    def height(self) -> float:
        """The height of the sheet."""
        return self._band_top(len(self.lines)) + self.legend_height

    @property
    def footnote_y(self) -> float:
        """The foot of the footnote."""
        return self.height - 0.18

    @property
    def image_centre(self) -> float:
        """The middle of the column of images."""
        return self.margin + self.cell / 2

    def rule_y(self, band: int) -> float:
        """Return the height of the thin line above a band."""
        return self._band_top(band) - self.title_room

    @property
    def _maps_left(self) -> float:
        return self.margin + self.cell + self.question_width

    def map_centre(self, column: int) -> float:
        """Return the middle of a column of maps."""
        return self._maps_left + column * (self.cell + self.gap) + self.cell / 2

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the point in matplotlib's figure coordinates."""
        return x / self.width, 1 - y / self.height

    def subtitle(self) -> str:
        """Return the text above the maps."""
        return "\n".join((*SUBTITLE, self.about))

    def image_box(self, band: int) -> Box:
        """Return the place of the image of a band, in the middle of its lines."""
        middle = self._band_top(band) + self._band_height(band) / 2
        return self._box(self.margin, middle - self.cell / 2, self.cell, self.cell)

    def map_box(self, band: int, line: int, column: int) -> Box:
        """Return the place of one map."""
        left = self.map_centre(column) - self.cell / 2
        return self._box(left, self._line_top(band, line), self.cell, self.cell)

    def question_at(self, band: int, line: int) -> tuple[float, float]:
        """Return the middle of the text that says which answer a line is about."""
        x = self.margin + self.cell + self.question_width / 2
        return self.at(x, self._line_top(band, line) + self.cell / 2)

    def legend_box(self) -> Box:
        """Return the place of the colour bar."""
        width = 3.6
        return self._box((self.width - width) / 2, self.height - 0.86, width, 0.16)

    def _box(self, x: float, y: float, width: float, height: float) -> Box:
        left, bottom = self.at(x, y + height)
        return left, bottom, width / self.width, height / self.height

    def _line_top(self, band: int, line: int) -> float:
        return self._band_top(band) + line * (self.cell + self.gap)

    def _band_height(self, band: int) -> float:
        return self.lines[band] * (self.cell + self.gap) - self.gap

    def _band_top(self, band: int) -> float:
        above = sum(self._band_height(i) + self.band_gap for i in range(band))
        return self.first_band_y + above
