"""Draw what stands above a picture: what was asked, of what, and where relevance went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...markup.numbers import percent, plain, signed
from ..balance import Balance, Part, PartKind
from ..colours import LIGHT
from .region import SMALL, TEXT, TITLE, Region, cut, width_of, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STRIP = 6 / 72
_LEAST = 0.005  # of the whole: smaller parts have no name in the strip


@dataclass(frozen=True)
class Heading:
    """Hold what stands above a picture.

    Args:
        title: What was asked, and the explained number.
        quiet: Preset, data, sample.
        balance: Where the explained number went; None leaves the strip out.
        samples: Over how many samples the balance sums.
        notes: What a reader has to know, one line each.
    """

    title: str
    quiet: str = ""
    balance: Balance | None = None
    samples: int = 1
    notes: Sequence[str] = ()

    @property
    def height(self) -> float:
        """The height in inches."""
        strip = 0.0 if self.balance is None else 0.36
        return 0.55 + strip + 0.18 * len(self.notes) + 0.1

    def draw(self, region: Region) -> None:
        """Draw title, quiet line, strip and notes."""
        sheet = region.sheet()
        title = cut(self.title, region.width * 0.94, TITLE)
        write(sheet, 0, 0.14, title, size=TITLE, weight="bold")
        write(sheet, 0, 0.39, cut(self.quiet, region.width, TEXT), size=TEXT, color=LIGHT.quiet)
        y = 0.55
        if self.balance is not None:
            _draw_strip(sheet, self.balance, self.samples, y, region.width)
            y += 0.36
        for note in self.notes:
            write(sheet, 0, y + 0.08, cut(note, region.width), size=SMALL, color=LIGHT.quiet)
            y += 0.18


def _draw_strip(sheet: Axes, balance: Balance, samples: int, y: float, width: float) -> None:
    """Draw shares as a strip; where signs cancel, nothing but numbers."""
    said = f"sum over {samples} samples: " if samples > 1 else ""
    shares = balance.shares()
    if shares is None:
        shown = [part for part in balance.parts if abs(part.amount) > _LEAST * balance.size]
        numbers = ", ".join(f"{part.text()} {signed(part.amount)}" for part in shown)
        text = f"{said}explained {signed(balance.explained)} = {numbers}"
        write(sheet, 0, y + 0.12, cut(text, width), color=LIGHT.quiet)
        return
    left = 0.0
    ordered = _arrived_first(balance, shares)
    for part, share in ordered:
        _draw_part(sheet, part, (left, y), share * width)
        left += share * width
    x = 0.0
    for text in _legend(said, balance, ordered):
        if x + width_of(text) > width:
            break
        write(sheet, x, y + 0.22, text, color=LIGHT.quiet)
        x += width_of(text) + 0.14


def _arrived_first(balance: Balance, shares: Sequence[float]) -> list[tuple[Part, float]]:
    pairs = list(zip(balance.parts, shares, strict=True))
    return sorted(pairs, key=lambda pair: pair[0].kind is not PartKind.ARRIVED)


def _legend(said: str, balance: Balance, ordered: Sequence[tuple[Part, float]]) -> Iterator[str]:
    if said:
        yield said.rstrip()
    for part, share in ordered:
        if share >= _LEAST:
            yield f"{part.text()} {percent(share)}"
    if not balance.balances:
        yield f"does not balance by {plain(balance.total(PartKind.RESIDUAL))}"


def _draw_part(sheet: Axes, part: Part, at: tuple[float, float], width: float) -> None:
    from matplotlib.patches import Rectangle

    arrived = part.kind is PartKind.ARRIVED
    outlined = part.kind is PartKind.RESIDUAL
    box = Rectangle(
        at,
        width,
        _STRIP,
        facecolor=LIGHT.ink if arrived else LIGHT.paper,
        edgecolor=LIGHT.paper if arrived else LIGHT.ink if outlined else LIGHT.absorbed,
        hatch=None if arrived or outlined else "////////",
        linewidth=0.6,
    )
    sheet.add_patch(box)
