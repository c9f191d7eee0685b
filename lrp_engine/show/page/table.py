"""Write tables with heads, numbers aligned right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...markup import Markup, element


def write_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str | None = None
) -> Markup:
    """Write a table.

    Args:
        head: One name per column; one that ends in `#` is of numbers. All empty: no head.
        rows: The cells; what is not Markup is escaped. The first of a row is its head.
        kind: The table's CSS class.
    """
    numeric = [name.endswith("#") for name in head]
    names = [name.removesuffix("#") for name in head]
    body = [_write_row(row, numeric) for row in rows]
    heads = [_write_head(n, is_number) for n, is_number in zip(names, numeric, strict=True)]
    top = [element("thead", element("tr", *heads))] if any(names) else []
    return element("table", *top, element("tbody", *body), class_=kind)


def _write_head(name: str, is_number: bool) -> Markup:
    if not name:
        return element("td")
    return element("th", name, scope="col", class_="number" if is_number else None)


def _write_row(row: Sequence[str], numeric: Sequence[bool]) -> Markup:
    first, *others = row
    cells = [
        element("td", cell, class_="number" if is_number else None)
        for cell, is_number in zip(others, numeric[1:], strict=True)
    ]
    return element("tr", element("th", first, scope="row"), *cells)


def fold(title: str, *content: str, open_: bool = False) -> Markup:
    """Write a part that opens at a click; what is wider than the page scrolls inside."""
    inside = element("div", *content, class_="scroll", tabindex="0", role="group", aria_label=title)
    return element("details", element("summary", title), inside, open="" if open_ else None)
