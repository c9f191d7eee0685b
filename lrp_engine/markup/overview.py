"""Show objects in a few lines: as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .cells import cut, pad, printable, width_of
from .html import Markup, element, quote

if TYPE_CHECKING:
    from rich.table import Table

MOST_ROWS = 20
_MOST_LINES = 10
_WIDEST, _WIDEST_FACT = 44, 66
_LEFT, _RIGHT = "text-align: left", "text-align: right"  # some notebooks align all to the right
Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Overview:
    """Hold what an object says of itself.

    Args:
        title: One line.
        facts: Names and values.
        head: The columns of the table; those that end in `#` hold numbers.
        rows: The table, what matters most first.
        left_out: How many more rows there would be.
        notes: What a reader must know, one sentence each.
    """

    title: str
    facts: Sequence[tuple[str, str]] = ()
    head: Sequence[str] = ()
    rows: Rows = ()
    left_out: int = 0
    notes: Sequence[str] = ()

    def table(self) -> Table:
        """Return a table of rich: facts and notes stand below its rows."""
        from .terminal import write_table  # rich is loaded only where it is asked for

        below = [f"{name}: {value}" for name, value in self.facts]
        if self.left_out:
            below.append(f"... {self.left_out} more")
        return write_table(self.title, self.head, self.rows, [*below, *self.notes])

    def text(self) -> str:
        """Return at most ten lines, the table cut where they end."""
        facts = [(f"{name}:", value) for name, value in self.facts]
        lines = [
            printable(self.title),
            *(f"  {line}" for line in _aligned(facts, (), _WIDEST_FACT)),
        ]
        said = self.notes[: _MOST_LINES - 2 - len(lines)]
        lines += [f"  note: {printable(note)}" for note in said]
        room = _MOST_LINES - 1 - len(lines)
        shown = self.rows[: max(0, room)]
        lines += [f"  {line}" for line in _aligned(shown, self.head, _WIDEST)]
        if hidden := len(self.rows) - len(shown) + self.left_out:
            lines.append(f"  … {hidden} more")
        return "\n".join(lines)

    def html(self) -> Markup:
        """Return HTML without colours of its own: it follows the notebook's theme."""
        parts = [element("div", element("strong", quote(self.title)))]
        if self.facts:
            rows = [element("tr", _name(k), _cell(v, _LEFT)) for k, v in self.facts]
            parts.append(element("table", element("tbody", *rows)))
        if self.rows:
            parts.append(self._table())
        if self.left_out:
            parts.append(element("div", f"… {self.left_out} more"))
        parts += [element("div", "note: ", quote(note)) for note in self.notes]
        return element("div", *parts)

    def _table(self) -> Markup:
        sides = [_RIGHT if name.endswith("#") else _LEFT for name in self.head]
        names = [
            element("th", name.removesuffix("#"), scope="col", style=side)
            for name, side in zip(self.head, sides, strict=True)
        ]
        body = [element("tr", *map(_cell, row, sides)) for row in self.rows]
        return element("table", element("thead", element("tr", *names)), element("tbody", *body))


class Shown:
    """Gives an object its text and its HTML, both written from its overview."""

    @abstractmethod
    def overview(self) -> Overview:
        """Return what the object says of itself. Nothing is computed for it."""

    def __repr__(self) -> str:
        return self.overview().text()

    def rich_table(self) -> Table:
        """Return a table of rich, which is what `rich.print(...)` prints of the object."""
        return self.overview().table()

    def __rich__(self) -> Table:
        return self.rich_table()

    def _repr_html_(self) -> str:
        return self.overview().html()

    def _repr_mimebundle_(
        self, include: Container[str] | None = None, exclude: Container[str] | None = None
    ) -> dict[str, str]:
        """Return text and HTML: a notebook shows the HTML, what cannot shows the text."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def _name(text: str) -> Markup:
    return element("th", text, scope="row", style=_LEFT)


def _cell(text: str, side: str) -> Markup:
    return element("td", quote(text), style=side)


def _aligned(rows: Rows, head: Sequence[str], widest: int) -> Iterator[str]:
    """Yield rows with their columns aligned; those of numbers to the right."""
    if not rows:
        return
    numeric = [name.endswith("#") for name in head] or [False] * len(rows[0])
    widths = [min(widest, max(width_of(row[i]) for row in rows)) for i in range(len(rows[0]))]
    for row in rows:
        cells = [
            pad(cut(c, widest), w, to_the_right=n)
            for c, w, n in zip(row, widths, numeric, strict=True)
        ]
        yield "  ".join(cells).rstrip()
