"""Draw tables: a bar per feature, or a waterfall from 0 to the explained number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ...errors import InputError
from ...markup.numbers import plain, signed
from ..colours import LIGHT
from ..limits import Limit
from .look import Look
from .region import Region, cut, width_of, write
from .sample import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW, _TOP = 0.27, 12
_NUMBERS = 0.75  # inches for a number beside its bar
_WIDEST = 2.6


@dataclass(frozen=True)
class Row:
    """One bar: its name, and its amount. `absorbed`: it is no feature."""

    name: str
    amount: float
    absorbed: bool = False


def rows_of(sample: Sample, look: Look) -> list[Row]:
    """Return the features of most |R|, largest first; the last row sums the others.

    Raises:
        InputError: There is another number of names or values than of features.
    """
    amounts = (sample.amounts.abs() if look.absolute else sample.amounts).tolist()
    names, top = feature_texts(sample, len(amounts)), look.top or _TOP
    rows = [Row(name, amount) for name, amount in zip(names, amounts, strict=True)]
    rows.sort(key=lambda row: -abs(row.amount))
    if len(rows) <= top + 1:
        return rows
    rest = rows[top:]
    return [*rows[:top], Row(f"{len(rest)} others", sum(row.amount for row in rest))]


def feature_texts(sample: Sample, count: int) -> list[str]:
    """Return a text per feature: "alcohol = 14.2"."""
    known = sample.labels
    names: Sequence[str] = known.feature_names or [f"feature {i}" for i in range(count)]
    values: Sequence[str] = known.feature_values[0] if known.feature_values else ()
    for what, given in (("names", names), ("values", values or names)):
        if len(given) != count:
            raise InputError(f"{len(given)} {what} were given for {count} features: one each")
    if not values:
        return list(names)
    return [f"{name} = {value}" for name, value in zip(names, values, strict=True)]


@dataclass(frozen=True)
class BarsPanel:
    """A bar per feature, against to the left and for to the right, with its number."""

    sample: Sample
    look: Look
    limit: Limit
    bar: bool = True

    width: ClassVar[float] = 6.6

    def height(self, width: float) -> float:
        """Return the height in inches."""
        return _ROW * len(rows_of(self.sample, self.look)) + 0.34

    def draw(self, region: Region) -> None:
        """Draw the bars."""
        rows = rows_of(self.sample, self.look)
        steps = [(0.0, row.amount) for row in rows]
        _draw_rows(
            region, rows, steps, self.limit.end, "relevance, from 0: left against, right for"
        )


@dataclass(frozen=True)
class WaterfallPanel:
    """Bars that go on where the last one ended: from 0, over features and what was absorbed."""

    sample: Sample
    look: Look
    explained: float
    absorbed: Sequence[Row]

    width: ClassVar[float] = 6.6
    limit: ClassVar[Limit] = Limit(1.0, 1.0)

    def _rows(self) -> list[Row]:
        return [*rows_of(self.sample, self.look), *self.absorbed]

    def height(self, width: float) -> float:
        """Return the height in inches."""
        return _ROW * (len(self._rows()) + 1) + 0.34

    def draw(self, region: Region) -> None:
        """Draw the steps, and the explained number below them."""
        rows, at = self._rows(), 0.0
        steps = []
        for row in rows:
            steps.append((at, at + row.amount))
            at += row.amount
        total = Row("explained", self.explained)
        end = max(abs(x) for step in [*steps, (0.0, self.explained)] for x in step) or 1.0
        _draw_rows(
            region, [*rows, total], [*steps, (0.0, self.explained)], end, "from 0 to the explained"
        )


def _draw_rows(
    region: Region, rows: Sequence[Row], steps: Sequence[tuple[float, float]], end: float, said: str
) -> None:
    """Draw one bar per row, from the first number of its step to the second."""
    names = [cut(row.name, _WIDEST) for row in rows]
    left = max(map(width_of, names), default=0.0) + 0.1
    wide = region.width - left
    axes = region.part(left, 0, wide, _ROW * len(rows)).axes()
    lows, highs = min(min(s) for s in steps), max(max(s) for s in steps)
    room = _NUMBERS / max(0.5, wide - 2 * _NUMBERS) * ((highs - lows) or end)
    axes.set(xlim=(lows - room, highs + room), ylim=(len(rows) - 0.5, -0.5))
    axes.axvline(0, color=LIGHT.quiet, linewidth=0.8)
    for y, (row, step) in enumerate(zip(rows, steps, strict=True)):
        _draw_step(axes, y, row, step, room / _NUMBERS * 0.06)
    for a, b in zip(range(len(rows)), steps, strict=True):
        if b[0] and a:
            axes.plot([b[0]] * 2, [a - 1, a], color=LIGHT.quiet, linewidth=0.5, zorder=0)
    axes.set_yticks(range(len(rows)), ["" for _ in rows])
    axes.tick_params(labelsize=7.5, colors=LIGHT.quiet, length=2, width=0.6)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set(color=LIGHT.quiet, linewidth=0.6)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda x, _: plain(x))
    sheet = region.sheet()
    for y, name in enumerate(names):
        write(sheet, left - 0.08, (y + 0.5) * _ROW, name, ha="right")
    write(sheet, left, _ROW * len(rows) + 0.29, said, size=7.5, color=LIGHT.quiet)


def _draw_step(axes: Axes, y: int, row: Row, step: tuple[float, float], gap: float) -> None:
    begin, end = step
    colour = LIGHT.speaks_for if row.amount >= 0 else LIGHT.speaks_against
    if row.absorbed:
        axes.barh(
            y,
            end - begin,
            0.62,
            begin,
            color=LIGHT.paper,
            edgecolor=LIGHT.absorbed,
            hatch="/////",
            linewidth=0.8,
        )
    else:
        axes.barh(y, end - begin, 0.62, begin, color=colour)
    right = row.amount >= 0
    write(
        axes,
        max(step) + gap if right else min(step) - gap,
        y,
        signed(row.amount),
        ha="left" if right else "right",
        size=8,
    )
