"""A part of a figure, measured in inches from its top left corner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..colours import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE, TEXT, SMALL = 12, 9.5, 8.5  # points
FONT = "DejaVu Sans"
_HINTED = 1.04  # letters on a grid of pixels are that much wider than their outlines


@dataclass(frozen=True)
class Region:
    """A rectangle of a figure, or of a user's axes, with its top left corner at (left, top)."""

    host: Figure | Axes
    whole: tuple[float, float]
    left: float
    top: float
    width: float
    height: float

    @classmethod
    def of_figure(cls, figure: Figure) -> Region:
        """Return a whole figure as one region."""
        width, height = figure.get_size_inches()
        return cls(figure, (width, height), 0.0, 0.0, width, height)

    @classmethod
    def of_axes(cls, axes: Axes) -> Region:
        """Return a user's axes as one region; their frame and ticks are taken away."""
        box = axes.get_position().size * axes.get_figure().get_size_inches()  # type: ignore[union-attr]
        axes.set_axis_off()
        width, height = float(box[0]), float(box[1])
        return cls(axes, (width, height), 0.0, 0.0, width, height)

    def part(self, left: float, top: float, width: float, height: float) -> Region:
        """Return a rectangle within this one."""
        return Region(self.host, self.whole, self.left + left, self.top + top, width, height)

    def shrunk_to(self, rows: int, columns: int) -> Region:
        """Return the largest rectangle of these proportions, in the middle of this one."""
        scale = min(self.width / columns, self.height / rows)
        width, height = columns * scale, rows * scale
        left, top = (self.width - width) / 2, (self.height - height) / 2
        return self.part(left, top, width, height)

    def axes(self) -> Axes:
        """Return new axes that fill the region."""
        width, height = self.whole
        box = (
            self.left / width,
            1 - (self.top + self.height) / height,
            self.width / width,
            self.height / height,
        )
        if hasattr(self.host, "inset_axes"):
            return self.host.inset_axes(box)
        return self.host.add_axes(box)

    def sheet(self) -> Axes:
        """Return axes without a frame, of which the units are inches from the top left corner."""
        axes = self.axes()
        axes.set(xlim=(0, self.width), ylim=(self.height, 0))
        axes.set_axis_off()
        return axes


def write(axes: Axes, x: float, y: float, text: str, **style: Any) -> Any:
    """Write a text as it stands: a dollar sign starts no formula."""
    given: dict[str, Any] = {"family": FONT, "color": LIGHT.ink, "size": SMALL, "va": "center"}
    given |= style
    return axes.text(x, y, text, parse_math=False, **given)


def width_of(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """Return the width of a text in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=FONT, size=size, weight=weight)
    points, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(points) / 72 * _HINTED + 0.01


def wrap(text: str, width: float, size: float = SMALL) -> list[str]:
    """Return a text as lines of at most so many inches, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and width_of(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def cut(text: str, width: float, size: float = SMALL) -> str:
    """Return a text that is at most so many inches wide, cut at its end."""
    if width_of(text, size) <= width:
        return text
    while text and width_of(f"{text}…", size) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"
