"""Fit texts into the columns of a terminal, where wide characters take two."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return one line, without what would steer a terminal. Spaces at its start stay.

    Example:
        >>> from lrp_engine.markup.cells import printable
        >>> printable(f"two{chr(10)}lines{chr(27)}[31m")
        'two lines [31m'
    """
    return "".join(c if c.isprintable() else " " for c in text)


def cut(text: str, most: int) -> str:
    """Return one line of at most that many columns."""
    from rich.cells import set_cell_size  # only where something is shown

    line = printable(text)
    return line if width_of(line) <= most else f"{set_cell_size(line, most - 1).rstrip()}…"


def pad(text: str, width: int, *, to_the_right: bool = False) -> str:
    """Return a text filled up with spaces to that many columns."""
    space = " " * (width - width_of(text))
    return space + text if to_the_right else text + space


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    from rich.cells import cell_len

    return cell_len(text)
