"""A circuit as one self-contained HTML page: hover for names and scores, a slider for the
threshold. It needs no network."""

from __future__ import annotations

import html
import json
from importlib import resources

from .figure import places_of
from .layout import Drawing


def page(drawing: Drawing, *, notes: tuple[str, ...] = ()) -> str:
    """The page as text. `notes`, such as the verification's statement, stand below the title."""
    data = drawing.as_dict() | {
        "where": [places_of(drawing)[i] for i in range(len(drawing.places))]
    }
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
