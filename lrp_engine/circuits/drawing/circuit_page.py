"""Write a circuit as one self-contained HTML page.

Hovering shows names and scores, a slider sets the threshold. It needs no network.
"""

from __future__ import annotations

import html
import json
from importlib import resources

from .figure import place_components
from .layout import Drawing


def page(drawing: Drawing, *, notes: tuple[str, ...] = ()) -> str:
    """Return the page as text.

    Args:
        drawing: as `arrange` gives it.
        notes: lines below the title, such as the verification's statement.
    """
    where = place_components(drawing)
    data = drawing.as_dict() | {"where": [where[i] for i in range(len(drawing.places))]}
    template = resources.files(__package__ or "").joinpath("circuit_page.html").read_text()
    filled = {
        "{{title}}": html.escape(drawing.title),
        "{{notes}}": "".join(f"<p>{html.escape(note)}</p>" for note in notes),
        # "<" is written as an escape, so that no text can close the script element.
        "{{data}}": json.dumps(data).replace("<", "\\u003c"),
    }
    for mark, text in filled.items():
        template = template.replace(mark, text)
    return template
