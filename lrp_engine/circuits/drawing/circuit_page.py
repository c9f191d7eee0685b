"""Write a circuit as one self-contained HTML page: it needs no network."""

from __future__ import annotations

from ...explorer import write_circuit_page
from .layout import Drawing


def page(drawing: Drawing, *, notes: tuple[str, ...] = ()) -> str:
    """Return the page as text.

    A slider and a number set the threshold, hovering shows names and scores, a click shows all
    paths through a component. Only what is shown takes room.

    Args:
        drawing: as `arrange` gives it.
        notes: lines below the title, such as the verification's statement.
    """
    data = drawing.as_dict()
    shown = {name: data[name] for name in ("places", "lines", "rows", "tokens")}
    return write_circuit_page(drawing.title, notes, shown)
