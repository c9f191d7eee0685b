"""Write tables of rich, for terminals."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from .cells import printable


def write_table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], below: Sequence[str] = ()
) -> Table:
    """Return a table of rich; no text is read as styling.

    Args:
        title: One line.
        head: The columns; those that end in `#` hold numbers.
        rows: The cells.
        below: What stands below the rows.

    Example:
        >>> from lrp_engine.markup.terminal import write_table
        >>> write_table("ops", ("op", "count#"), [("aten.relu", "3")]).row_count
        1
    """
    table = Table(title=Text(printable(title)), title_justify="left")
    for name in head:
        number = name.endswith("#")
        table.add_column(Text(name.removesuffix("#")), justify="right" if number else "left")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    table.caption = Text(printable("; ".join(below)))
    table.caption_justify = "left"
    return table
