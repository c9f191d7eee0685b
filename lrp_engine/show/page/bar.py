"""Write bars as SVG that stretches to its cell; sizes are attributes: no style is inline."""

from __future__ import annotations

from dataclasses import dataclass

from ...markup import Markup, element

_WIDTH, _HEIGHT, _GAP = 1000, 14, 36


@dataclass(frozen=True)
class Span:
    """A bar between two amounts; `kind` is its CSS class: for, against, absorbed, open."""

    start: float
    end: float
    kind: str

    @classmethod
    def of(cls, amount: float, start: float = 0.0) -> Span:
        """Return the bar of an amount that speaks for or against."""
        return cls(start, start + amount, "for" if amount >= 0 else "against")


@dataclass(frozen=True)
class Scale:
    """The amounts at both ends of a track; bars of one chart share it."""

    low: float
    high: float

    @classmethod
    def around(cls, *amounts: float) -> Scale:
        """Return the scale that holds zero and all amounts."""
        low, high = min(0.0, *amounts), max(0.0, *amounts)
        return cls(low, high if high > low else low + 1.0)

    def place(self, amount: float) -> float:
        """Return where an amount is on the track, in its units."""
        return round(_WIDTH * (amount - self.low) / (self.high - self.low), 1)


def write_track(spans: list[Span], scale: Scale, height: int = _HEIGHT) -> Markup:
    """Write bars on one track, and the line of zero where both signs occur.

    It is hidden from screen readers: the number stands beside it.
    """
    parts = [_write_span(span, scale, height) for span in spans]
    if scale.low < 0 < scale.high:
        zero = scale.place(0.0)
        parts.append(element("line", x1=zero, x2=zero, y1=0, y2=height, class_="zero"))
    return element(
        "svg",
        *parts,
        class_="track",
        viewBox=f"0 0 {_WIDTH} {height}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _write_span(span: Span, scale: Scale, height: int) -> Markup:
    left, right = sorted((scale.place(span.start), scale.place(span.end)))
    width = max(right - left, 2.0)
    box = element("rect", x=left, y=0, width=width, height=height, class_=span.kind)
    if span.kind != "absorbed":
        return box
    return Markup(box + element("path", d=_hatch(left, left + width, height), class_="hatch"))


def _hatch(left: float, right: float, height: int) -> str:
    """Return slanted lines between two places: what was absorbed is neither for nor against."""
    lines, x = [], left
    while x < right:
        reach = min(_GAP / 2, right - x)
        lines.append(f"M{x:.6g} {height}L{x + reach:.6g} {height * (1 - 2 * reach / _GAP):.6g}")
        x += _GAP / 2
    return "".join(lines)
