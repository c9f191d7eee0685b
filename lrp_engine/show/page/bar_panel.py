"""Write tables and plain numbers as bars: name, value, relevance; the smaller ones summed."""

from __future__ import annotations

from ...markup import Markup, element, join, quote
from ...markup.numbers import signed
from ..kinds import Kind
from .bar import Scale, Span, write_track
from .entries import name_entry, strongest_entries
from .source import SourceView
from .table import write_table

_MOST_BARS = 12
_UNKNOWN = (
    "The axes of this source are unknown, so its entries are shown one by one. Say them for a"
    ' picture: explanation.with_labels(axes="batch channel time").'
)


def write_bars(view: SourceView) -> Markup:
    """Write a bar per feature, strongest first, and one for all others."""
    amounts = view.own.reshape(-1)
    shown = strongest_entries(amounts, _MOST_BARS)
    rest = amounts.numel() - len(shown)
    others = float(amounts.sum() - amounts[shown].sum()) if rest else 0.0
    scale = Scale.around(*amounts[shown].tolist(), others)
    rows = [_row(name_entry(view, i), float(amounts[i]), scale) for i in shown]
    if rest:
        rows.append(_row(f"{rest:,} others", others, scale))
    table = write_table(("", "against | for", "relevance#"), rows, kind="chart")
    notes = [element("p", _UNKNOWN, class_="quiet")] if view.kind is Kind.NUMBERS else []
    return join([*notes, table])


def _row(name: str, amount: float, scale: Scale) -> tuple[Markup, Markup, str]:
    return quote(name), write_track([Span.of(amount)], scale), signed(amount)
