"""Write an explanation as a few lines of text, for terminals: bars of glyphs, no colours."""

from __future__ import annotations

from collections.abc import Iterator

from ...markup.cells import cut, pad, printable
from ...markup.numbers import signed
from ..balance import PartKind
from ..titles import subtitle_of, title_of
from .content import Content
from .entries import strongest
from .source import SourceView

_MOST_LINES, _WIDEST_NAME, _BAR = 10, 30, 24
_FOR, _AGAINST, _ABSORBED = "█", "▒", "/"


def write_lines(content: Content) -> str:
    """Return at most ten lines: the first sample's title and strongest entries, what was absorbed.

    The sign is in the number and in the glyph, so that nothing depends on colours.
    """
    samples = len(content.explained)
    title = title_of(content.labels, 0, float(content.explained[0]))
    line = subtitle_of(content.labels, 0, samples, content.preset)
    absorbed = [*_absorbed(content)] if samples == 1 else []
    rows = [*_rows(content, _MOST_LINES - 2 - len(absorbed)), *absorbed]
    largest = max((abs(amount) for _, amount, _ in rows), default=0.0) or 1.0
    width = max((len(name) for name, _, _ in rows), default=0)
    width = min(_WIDEST_NAME, width)
    lines = [
        f"  {pad(cut(name, width), width)}  {signed(amount):>9}  {_bar(amount / largest, glyph)}"
        for name, amount, glyph in rows
    ]
    return "\n".join([printable(title), printable(f"  {line}"), *lines])


def _rows(content: Content, most: int) -> Iterator[tuple[str, float, str]]:
    """Yield the strongest entries over all sources."""
    found = []
    for source, relevance in content.relevance.items():
        view = SourceView(source, relevance, content.labels, 0, "")
        where = f"{source}: " if len(content.relevance) > 1 else ""
        found += [(f"{where}{name}", amount) for name, amount in strongest(view, most)]
    found.sort(key=lambda item: -abs(item[1]))
    for name, amount in found[:most]:
        yield name, amount, _FOR if amount >= 0 else _AGAINST


def _absorbed(content: Content) -> Iterator[tuple[str, float, str]]:
    if content.balance is None:
        return
    kept = [part for part in content.balance.parts if part.kind is not PartKind.ARRIVED]
    for part in kept[:2]:
        yield f"absorbed: {part.text()}", part.amount, _ABSORBED


def _bar(share: float, glyph: str) -> str:
    return glyph * max(1 if share else 0, round(_BAR * abs(share)))
